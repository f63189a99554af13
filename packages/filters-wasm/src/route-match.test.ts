// Property tests: virtual host, path, header and query matching of the core against a plain reference.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { matchRoute, matchVirtualHost } from './reference/reference-route.js';
import { createTestCore } from './reference/test-core.js';
import { createTables } from './tables.js';

const { core, wasm, int, options, put, range } = createTestCore();
const tables = createTables(core);
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);

const words = fc.constantFrom(
  '',
  'a',
  'A',
  'ab',
  'jason',
  'Jason',
  'x-long-value-of-more-than-sixteen-bytes',
  'X-LONG-value-of-more-than-sixteen-bytes',
  '5',
  '-3',
  '12',
  '5x',
);
const names = fc.constantFrom('end-user', 'End-User', 'x-a', 'x-b', 'a-header-name-of-more-than-sixteen-bytes');
const paths = fc.constantFrom(
  '/',
  '/a',
  '/A',
  '/a/',
  '/a/b',
  '/ab',
  '/api/v1',
  '/API/v1/x',
  '/long/path/that/passes/sixteen/bytes',
);
const hosts = fc.constantFrom(
  'reviews',
  'reviews.default',
  'a.foo.com',
  'b.a.foo.com',
  'foo.com',
  'reviews.bar',
  'review',
  '[::1]',
  'x',
  '10.1.2.3',
);
const stringMatch = fc
  .tuple(fc.constantFrom('exact', 'prefix', 'suffix', 'contains'), words, fc.boolean())
  .map(([kind, value, ignoreCase]): JsonValue => ({ [kind]: value, ignoreCase }));
const headerMatch = fc
  .record({
    name: fc.oneof(names, fc.constantFrom(':method', ':path', ':authority', 'host', ':scheme')),
    by: fc.oneof(
      stringMatch.map((value): JsonValue => ({ stringMatch: value })),
      fc
        .tuple(fc.constantFrom('exactMatch', 'prefixMatch', 'suffixMatch', 'containsMatch'), words)
        .map(([kind, value]): JsonValue => ({ [kind]: value })),
      fc.boolean().map((presentMatch): JsonValue => ({ presentMatch })),
      fc
        .tuple(fc.integer({ min: -5, max: 5 }), fc.integer({ min: 0, max: 20 }))
        .map(([start, size]): JsonValue => ({ rangeMatch: { start: `${start}`, end: `${start + size}` } })),
      fc.constant<JsonValue>({}),
    ),
    invertMatch: fc.boolean(),
    treatMissingHeaderAsEmpty: fc.boolean(),
  })
  .map(({ by, ...matcher }): JsonValue => ({ ...matcher, ...(by as object) }));
const queryMatch = fc
  .record({
    name: fc.constantFrom('q', 'debug'),
    by: fc.oneof(
      stringMatch.map((value): JsonValue => ({ stringMatch: value })),
      fc.boolean().map((presentMatch): JsonValue => ({ presentMatch })),
      fc.constant<JsonValue>({}),
    ),
  })
  .map(({ name, by }): JsonValue => ({ name, ...(by as object) }));
const match = fc
  .record({
    path: fc.oneof(
      fc.tuple(fc.constantFrom('prefix', 'path'), paths).map(([kind, value]): JsonValue => ({ [kind]: value })),
      paths.filter((path) => !path.endsWith('/')).map((value): JsonValue => ({ pathSeparatedPrefix: value })),
      fc.constant<JsonValue>({ connectMatcher: {} }),
      fc
        .constantFrom(
          '/a.*',
          '/A?',
          '/api/v[0-9]+(/x)?',
          '/api/v1?',
          '/a|/ab',
          '/(a|ab)/.',
          '.*/b',
          '/long/path/.*bytes',
        )
        .map((regex): JsonValue => ({ safeRegex: { regex } })),
    ),
    caseSensitive: fc.boolean(),
    headers: fc.array(headerMatch, { maxLength: 2 }),
    queryParameters: fc.oneof(
      { weight: 4, arbitrary: fc.constant<JsonValue[]>([]) },
      { weight: 1, arbitrary: fc.array(queryMatch, { maxLength: 2 }) },
    ),
  })
  .map(({ path, ...rest }): JsonValue => ({ ...(path as object), ...rest }));
const domains = fc.oneof(
  fc.tuple(hosts, fc.constantFrom('', '', ':80', ':9080')).map((parts) => parts.join('')),
  fc.constantFrom('*', '*.com', '*.foo.com', '*foo.com', 'reviews.*', 'rev*', 'REVIEWS', '*:9080', '10.*'),
);
/** Routes for other paths, before, between and after. */
function amongOthers(routes: readonly JsonValue[], count: number): JsonValue[] {
  const others = Array.from({ length: count }, (_, length): JsonValue => ({ prefix: `/other${'x'.repeat(length)}` }));
  const share = Math.ceil(count / (routes.length + 1));
  return [...routes, undefined].flatMap((route, index) => [
    ...others.slice(index * share, (index + 1) * share),
    ...(route === undefined ? [] : [route]),
  ]);
}

const configs = fc
  .array(
    fc.record({
      domains: fc.array(domains, { minLength: 1, maxLength: 3 }),
      routes: fc.array(match, { maxLength: 5 }),
      // With many literals routes are found by an index; with literals of many lengths, not all of them.
      others: fc.constantFrom(0, 0, 14, 80),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((virtualHosts) => {
    const seen = new Set<string>();
    const unique = virtualHosts.map((host) => ({
      ...host,
      domains: host.domains.filter((domain) => !seen.has(domain.toLowerCase()) && seen.add(domain.toLowerCase())),
    }));
    return fromJson(RouteConfigurationSchema, {
      name: 'under-test',
      virtualHosts: unique
        .filter((host) => host.domains.length > 0)
        .map((host, index) => ({
          name: `vh-${index}`,
          domains: host.domains,
          routes: amongOthers(host.routes, host.others).map((one, place) => ({
            name: `${index}.${place}`,
            match: one,
            route: { cluster: 'c' },
          })),
        })),
    });
  });
const requests = fc.record({
  method: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom('GET', 'POST') },
    { weight: 1, arbitrary: fc.constant('CONNECT') },
  ),
  path: fc
    .tuple(
      paths,
      fc.constantFrom('', '', '?', '?q=a', '?q=jason&q=b', '?debug', '?x=1&debug=Jason', '?q', '?&q=', '?q=a=b'),
    )
    .map((parts) => parts.join('')),
  authority: fc
    .tuple(fc.oneof(hosts, fc.constant('Reviews')), fc.constantFrom('', ':80', ':9080', ':'))
    .map((parts) => parts.join('')),
  headers: fc.array(fc.record({ name: names, value: words }), { maxLength: 4 }),
  secure: fc.boolean(),
});

describe('route', () => {
  it('agrees with the reference', () => {
    let matched = 0;
    fc.assert(
      fc.property(configs, fc.array(requests, { minLength: 1, maxLength: 8 }), (config, list) => {
        expect(tables.compile({ routeConfigurations: [config], clusters: [], nowMs: 0 })).toMatchObject({ ok: true });
        tables.activate();
        for (const { method, path, authority, headers, secure } of list) {
          const target = method === 'CONNECT' ? 'h:1' : path;
          const lines = [
            `${method} ${target} HTTP/1.1`,
            `host: ${authority}`,
            ...headers.map((h) => `${h.name}: ${h.value}`),
          ];
          const length = put(`${lines.join('\r\n')}\r\n\r\n`);
          expect(wasm.parseRequest(L.READ_BUFFER, length, 0, options(), 0)).toBe(length);
          const action = wasm.route(tables.routeConfigSlot('under-test'), -1, secure ? 1 : 0);
          const seen = method === 'CONNECT' ? { path: '', authority: 'h:1' } : { path, authority };
          const host = matchVirtualHost(config, seen.authority, method);
          const route = host && matchRoute(host, { method, ...seen, headers, scheme: secure ? 'https' : 'http' });
          const name = action === L.ROUTE_ACTION_FORWARD ? range(L.ROUTE_NAME_OFFSET, L.ROUTE_NAME_LENGTH) : undefined;
          expect(name).toBe(route?.name);
          if (host !== undefined) expect(int(L.ROUTE_VIRTUAL_HOST_TABLE)).not.toBe(0);
          if (route !== undefined) matched++;
        }
      }),
      { numRuns: RUNS },
    );
    expect(matched).toBeGreaterThan(RUNS / 20);
  });
});
