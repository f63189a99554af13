// Property tests: what becomes of requests of other origins and what their answers say, against the plain reference.
import { fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { CorsPolicySchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { compileCors } from './compile/filters/cors.js';
import { ProblemList } from './compile/problems.js';
import { createCore } from './core.js';
import * as F from './filter-layout.js';
import * as L from './layout.js';
import { internListenerOptions } from './listener-options.js';
import { type PlainCors, type PlainRequest, sharing } from './reference/reference-cors.js';
import { PLAIN_OPTIONS } from './reference/test-core.js';
import { createTables } from './tables.js';

const RUNS = Math.ceil(Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000) / 10);
const FILTER = 'envoy.filters.http.cors';
const TYPE = `type.googleapis.com/${CorsPolicySchema.typeName}`;
const KINDS = ['none', 'shared', 'preflight', 'refused'];

const core = createCore({ seed: [3, 5] });
let tables = createTables(core);
beforeEach(() => {
  tables = createTables(core);
});

function configOf(policy: PlainCors): JsonObject {
  return {
    '@type': TYPE,
    allowOriginStringMatch: policy.origins.map(({ kind, value }) => ({ [kind]: value })),
    allowMethods: policy.methods,
    allowHeaders: policy.headers,
    exposeHeaders: policy.expose,
    maxAge: policy.maxAge,
    allowCredentials: policy.credentials,
    forwardNotMatchingPreflights: policy.forwardUnmatched,
  };
}

function compile(route: JsonObject): void {
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'c' }, ...route }];
  const json = { name: 'c', virtualHosts: [{ name: 'v', domains: ['a'], routes }] };
  const config = fromJson(RouteConfigurationSchema, json as unknown as JsonValue, { registry: xdsRegistry });
  expect(tables.compile({ routeConfigurations: [config], clusters: [], nowMs: 0 })).toMatchObject({ ok: true });
  tables.activate();
}

function listener(name = FILTER): number {
  return internListenerOptions(core, { ...PLAIN_OPTIONS, corsFilterId: tables.limitSlots.filterId(name, 'cors') }, 0);
}

/** What decideCors says of a request. */
function decide(record: number, { method, origin, requestMethod }: PlainRequest): string {
  const lines = [
    ...(origin === undefined ? [] : [`Origin: ${origin}`]),
    ...(requestMethod === undefined ? [] : [`Access-Control-Request-Method: ${requestMethod}`]),
  ];
  const text = [`${method} / HTTP/1.1`, 'host: a', ...lines, '', ''].join('\r\n');
  const length = core.bytes.write(text, L.READ_BUFFER, 'latin1');
  expect(core.wasm.parseRequest(L.READ_BUFFER, length, 0, record, 0)).toBe(length);
  core.wasm.route(tables.routeConfigSlot('c'), -1, 0);
  return KINDS[core.wasm.decideCors(record)]!;
}

/** The access-control-* lines of an answer whose upstream says something of its own. */
function answered(record: number, response: string): string[] {
  const length = core.bytes.write(response, L.READ_BUFFER, 'latin1');
  expect(core.wasm.parseResponse(L.READ_BUFFER, length, 0, L.METHOD_GET, record, 0)).toBe(length);
  const end = core.wasm.writeDownstreamHead(L.EMBEDDER_SCRATCH, L.EMBEDDER_SCRATCH_BYTES, record, 0, 0, -1, 1);
  const lines = core.text(L.EMBEDDER_SCRATCH, end).split('\r\n');
  return lines.filter((line) => line.startsWith('access-control-')).sort();
}

const origin = fc.constantFrom('https://a.example', 'https://b.a.example', 'null', 'http://x', 'https://a.examplexyz');
const matcher = fc.record({
  kind: fc.constantFrom('exact' as const, 'prefix' as const, 'suffix' as const, 'contains' as const),
  value: fc.oneof(origin, fc.constantFrom('*', 'https://', '.example', 'a')),
});
const policy: fc.Arbitrary<PlainCors> = fc.record({
  origins: fc.array(matcher, { maxLength: 3 }),
  methods: fc.constantFrom('', 'GET', 'GET,POST'),
  headers: fc.constantFrom('', 'x-a,x-b'),
  expose: fc.constantFrom('', 'x-c'),
  maxAge: fc.constantFrom('', '86400'),
  credentials: fc.boolean(),
  forwardUnmatched: fc.boolean(),
});
const request: fc.Arbitrary<PlainRequest> = fc.record({
  method: fc.constantFrom('OPTIONS', 'GET', 'POST'),
  origin: fc.option(fc.oneof(origin, fc.constant('')), { nil: undefined }),
  requestMethod: fc.constantFrom('PUT', '', undefined),
});

describe('a CORS policy', () => {
  it('does as the reference does with requests and their answers', () => {
    fc.assert(
      fc.property(policy, fc.array(request, { minLength: 1, maxLength: 5 }), (plain, requests) => {
        compile({ typedPerFilterConfig: { [FILTER]: configOf(plain) } });
        const record = listener();
        for (const each of requests) {
          const [kind, lines] = sharing(plain, each);
          expect(decide(record, each)).toBe(kind);
          expect(answered(record, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')).toEqual(lines);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('is heard in place of the upstream', () => {
    const plain = { origins: [{ kind: 'exact', value: '*' }], methods: '', headers: '', expose: 'x-c', maxAge: '' };
    compile({
      typedPerFilterConfig: {
        [FILTER]: configOf({ ...plain, credentials: true, forwardUnmatched: true } as PlainCors),
      },
    });
    const record = listener();
    const own =
      'Access-Control-Allow-Origin: *\r\nACCESS-CONTROL-EXPOSE-HEADERS: x-own\r\naccess-control-max-age: 5\r\n';
    const response = `HTTP/1.1 200 OK\r\n${own}Access-Control-Allow-Origin: https://b\r\ncontent-length: 0\r\n\r\n`;
    expect(decide(record, { method: 'GET', origin: 'https://a', requestMethod: undefined })).toBe('shared');
    expect(answered(record, response)).toEqual([
      'access-control-allow-credentials: true',
      'access-control-allow-origin: https://a',
      'access-control-expose-headers: x-c',
      'access-control-max-age: 5',
    ]);
  });

  it('allows no origin that is too long to be repeated', () => {
    const config = { '@type': TYPE, allowOriginStringMatch: [{ exact: '*' }] };
    compile({ typedPerFilterConfig: { [FILTER]: config } });
    const of = (length: number) => ({ method: 'GET', origin: 'o'.repeat(length), requestMethod: undefined });
    expect(decide(listener(), of(F.SHARE_ORIGIN_MAX_BYTES))).toBe('shared');
    expect(decide(listener(), of(F.SHARE_ORIGIN_MAX_BYTES + 1))).toBe('none');
  });

  it('holds for its share of the requests, and for the filter of its name alone', () => {
    const config = (numerator: number) => ({
      '@type': TYPE,
      allowOriginStringMatch: [{ exact: '*' }],
      filterEnabled: { defaultValue: { numerator } },
    });
    const from = { method: 'GET', origin: 'https://a', requestMethod: undefined };
    const times = (record: number) => {
      let count = 0;
      for (let i = 0; i < 2000; i++) if (decide(record, from) === 'shared') count++;
      return count;
    };
    compile({ typedPerFilterConfig: { [FILTER]: config(25) } });
    expect(Math.abs(times(listener()) - 500)).toBeLessThan(120);
    expect(times(listener('other'))).toBe(0);
    compile({ typedPerFilterConfig: { [FILTER]: config(0) } });
    expect(times(listener())).toBe(0);
  });

  it.each<[string, JsonObject, string]>([
    ['allow_origin_string_match[0]', { allowOriginStringMatch: [{}] }, 'has no pattern'],
    ['allow_methods', { allowMethods: 'GET\r\nx: y' }, 'has a control character'],
    ['expose_headers', { exposeHeaders: '\u0000' }, 'has a control character'],
  ])('is refused with %s', (path, config, message) => {
    const problems = new ProblemList('RouteConfiguration', 'r');
    compileCors(problems, '', fromJson(CorsPolicySchema, config as JsonValue), () => 0);
    expect(problems.problems).toEqual([{ ...problems.problems[0], path, message }]);
  });
});
