// Test support: VirtualServices and requests that fit together often enough to be interesting, the same ones each time.

import fc from 'fast-check';

/** What of a VirtualService is generated: one rule for a host. */
export interface GeneratedRules {
  /** `http:` of a VirtualService, indented by two. */
  readonly http: string;
}

export interface GeneratedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
}

const PATHS = ['/', '/a', '/a/', '/a/b', '/ab', '/A/b', '/b?x=1', '/a/b?x=2&y', '/c/../a', '/a%2fb', '/b//c'];
const VALUES = ['1', '2', 'jason', 'ja', ''];

const stringMatch = (values: readonly string[]) =>
  fc.oneof(
    fc.constantFrom(...values).map((value) => `{exact: "${value}"}`),
    fc.constantFrom(...values.filter((value) => value !== '')).map((value) => `{prefix: "${value}"}`),
    fc.constantFrom('j.*', '[0-9]', '(ja|2)', '/[ab].*').map((value) => `{regex: "${value}"}`),
  );

const uri = stringMatch(['/', '/a', '/a/b', '/b', '/c']);

const condition = fc.oneof(
  { weight: 4, arbitrary: uri.map((value) => `uri: ${value}`) },
  { weight: 4, arbitrary: stringMatch(VALUES).map((value) => `headers: {end-user: ${value}}`) },
  { weight: 2, arbitrary: stringMatch(VALUES).map((value) => `withoutHeaders: {x-test: ${value}}`) },
  { weight: 1, arbitrary: fc.constantFrom('method: {exact: GET}', 'method: {exact: POST}') },
  { weight: 1, arbitrary: fc.constantFrom('authority: {prefix: web}', 'authority: {exact: nobody}') },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('{x: {exact: "1"}}', '{x: {}}', '{y: {}}', '{x: {regex: "[0-9]"}}')
      .map((value) => `queryParams: ${value}`),
  },
  { weight: 1, arbitrary: fc.constantFrom('sourceLabels: {tier: front}', 'sourceLabels: {tier: back}') },
  { weight: 1, arbitrary: fc.constantFrom('sourceNamespace: default', 'sourceNamespace: other') },
  { weight: 1, arbitrary: fc.constantFrom('port: 80', 'port: 81') },
  { weight: 1, arbitrary: fc.constant('ignoreUriCase: true') },
);

/** Few conditions, or hardly any request would match. */
const match = fc.uniqueArray(condition, {
  minLength: 1,
  maxLength: 3,
  selector: (text) => text.slice(0, text.indexOf(':')),
});

const headers = fc.constantFrom(
  'headers: {request: {set: {x-set: one}, remove: [x-test]}}',
  'headers: {request: {add: {end-user: added}}, response: {set: {x-answer: "yes"}, remove: [x-upstream]}}',
  'headers: {request: {set: {host: rewritten.example}}}',
);

const subset = (name: string, weight: number) => `{destination: {host: web, subset: ${name}}, weight: ${weight}}`;
const route = fc.oneof(
  fc.constantFrom('v1', 'v2', 'v3').map((name) => `route: [${subset(name, 100)}]`),
  fc.constant(`route: [${subset('v1', 30)}, ${subset('v2', 70)}, ${subset('v3', 0)}]`),
  fc.constant(
    'route: [{destination: {host: web, subset: v2}, weight: 1, headers: {request: {set: {x-own: "2"}}}}, {destination: {host: web, subset: v3}, weight: 1}]',
  ),
);

const forward = fc
  .record(
    {
      route,
      rewrite: fc.constantFrom(
        'rewrite: {uri: /new}',
        'rewrite: {authority: other.example}',
        "rewrite: {uriRegexRewrite: {match: '^/(a|b)', rewrite: '/again/\\1'}}",
      ),
      headers,
      timeout: fc.constantFrom('timeout: 3s', 'timeout: 20s'),
      retries: fc.constantFrom(
        'retries: {attempts: 0}',
        'retries: {attempts: 3, retryOn: "5xx,429", perTryTimeout: 1s}',
      ),
    },
    { requiredKeys: ['route'] },
  )
  .map((fields) => Object.values(fields))
  // Galley refuses two that set the host.
  .filter(
    (fields) =>
      !fields.some((each) => each.includes('authority')) || !fields.some((each) => each.includes('host: rewritten')),
  );

const action = fc.oneof(
  { weight: 6, arbitrary: forward },
  { weight: 1, arbitrary: fc.constant(['redirect: {uri: /moved, redirectCode: 302}']) },
  { weight: 1, arbitrary: fc.constant(['directResponse: {status: 418, body: {string: "short and stout"}}']) },
);

const rule = fc.tuple(fc.array(match, { maxLength: 3 }), action).map(([matches, all]) => {
  // Galley refuses `rewrite.uri` beside a regular expression for the path.
  const plain = matches.some((each) => each.some((field) => field.startsWith('uri: {regex')));
  const fields = plain ? all.filter((field) => field !== 'rewrite: {uri: /new}') : all;
  const conditions = matches.map((each) => `    - ${each.join('\n      ')}`);
  const lines = conditions.length === 0 ? fields : ['match:', ...conditions, ...fields];
  return lines
    .map((line, index) => (line.startsWith('    ') ? line : `${index === 0 ? '  - ' : '    '}${line}`))
    .join('\n');
});

const rules = fc.array(rule, { minLength: 1, maxLength: 5 }).map((all): GeneratedRules => ({ http: all.join('\n') }));

const request: fc.Arbitrary<GeneratedRequest> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'POST'),
  path: fc.constantFrom(...PATHS),
  headers: fc
    .record({ 'end-user': fc.constantFrom(...VALUES), 'x-test': fc.constantFrom(...VALUES) }, { requiredKeys: [] })
    .map((all) => Object.entries(all)),
});

/** Rule sets with requests to each; the same for the same seed. */
export function generatedCases(
  count: number,
  requests: number,
  seed: number,
): readonly { readonly rules: GeneratedRules; readonly requests: readonly GeneratedRequest[] }[] {
  const asked = fc.array(request, { minLength: requests, maxLength: requests });
  return fc.sample(fc.record({ rules, requests: asked }), { numRuns: count, seed });
}
