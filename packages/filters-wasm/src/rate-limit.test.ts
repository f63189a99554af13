// Property tests: token buckets of the core against exact arithmetic, and which limit a request gets.
import { fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { LocalRateLimitSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ProblemList } from './compile/problems.js';
import { createCore } from './core.js';
import * as B from './filter-layout.js';
import * as L from './layout.js';
import { internListenerOptions } from './listener-options.js';
import { ReferenceBucket } from './reference/reference-bucket.js';
import { PLAIN_OPTIONS } from './reference/test-core.js';
import { createTables } from './tables.js';

const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);
const FILTER = 'envoy.filters.http.local_ratelimit';
const TYPE = `type.googleapis.com/${LocalRateLimitSchema.typeName}`;
const ALL = { defaultValue: { numerator: 100 } };
const NONE = { defaultValue: { numerator: 0 } };

let core = createCore({ seed: [3, 5] });
let tables = createTables(core);
beforeEach(() => {
  core = createCore({ seed: [3, 5] });
  tables = createTables(core);
});

function limit(maxTokens: number, fields: JsonObject = {}): JsonObject {
  const tokenBucket = { maxTokens, tokensPerFill: 1, fillInterval: '1s' };
  return { statPrefix: 's', tokenBucket, filterEnabled: ALL, filterEnforced: ALL, ...fields };
}

/** A listener with filters of this kind. */
function listener(...configs: JsonObject[]): number {
  const problems = new ProblemList('Listener', 'l');
  const rateLimits = configs.map((config, index) => {
    const name = index === 0 ? FILTER : `${FILTER}.${index}`;
    const message = fromJson(LocalRateLimitSchema, config as JsonValue);
    return {
      filterId: tables.limitSlots.filterId(name),
      record: tables.rateLimit(message, 'x', `l ${name}`, problems),
    };
  });
  if (problems.problems.length > 0) throw new Error(JSON.stringify(problems.problems));
  return internListenerOptions(core, { ...PLAIN_OPTIONS, rateLimits }, 0);
}

function compile(routes: readonly JsonObject[], virtualHost: JsonObject = {}) {
  const json = { name: 'c', virtualHosts: [{ name: 'v', domains: ['a'], routes, ...virtualHost }] };
  const config = fromJson(RouteConfigurationSchema, json as unknown as JsonValue, { registry: xdsRegistry });
  const result = tables.compile({ routeConfigurations: [config], clusters: [], nowMs: 0 });
  if (result.ok) tables.activate();
  return result;
}

/** Routes a request; what the limits say at that time. */
function ask(record: number, nowMs: number, path = '/', host = 'a', bucket = 0): number {
  const length = core.bytes.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`, L.READ_BUFFER, 'latin1');
  expect(core.wasm.parseRequest(L.READ_BUFFER, length, 0, record, 0)).toBe(length);
  core.wasm.route(tables.routeConfigSlot('c'), -1, 0);
  return core.wasm.chargeLimits(record, bucket, nowMs);
}

const perFilter = (config: JsonObject) => ({ typedPerFilterConfig: { [FILTER]: { '@type': TYPE, ...config } } });
const toCluster = (prefix: string, more: JsonObject = {}) => ({ match: { prefix }, route: { cluster: 'c' }, ...more });

describe('a token bucket', () => {
  it('never gives a token too many or too few', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 50_000, max: 3_000_000 }),
        fc.array(fc.oneof(fc.nat(20), fc.nat(400_000), fc.nat(5_000_000)), { maxLength: 40 }),
        (maxTokens, tokensPerFill, intervalUs, pauses) => {
          const nanos = (intervalUs % 1_000_000) * 1000;
          const fillInterval = `${Math.floor(intervalUs / 1_000_000)}.${String(nanos).padStart(9, '0')}s`;
          const tokenBucket = { maxTokens, tokensPerFill, fillInterval };
          // A fresh bucket each time: the name is the settings'.
          tables = createTables(core);
          core.bytes.fill(0, B.BUCKETS, B.BUCKETS + B.BUCKET_BYTES * B.BUCKET_COUNT);
          const record = listener(limit(1, { tokenBucket }));
          const reference = new ReferenceBucket(maxTokens, tokensPerFill, intervalUs);
          let nowUs = 1_000_000;
          for (const pause of pauses) {
            nowUs += pause;
            const allowed = reference.take(nowUs);
            expect(core.wasm.chargeLimits(record, 0, nowUs / 1000)).toBe(allowed ? 0 : 429);
            if (!allowed) refused++;
          }
        },
      ),
      { numRuns: RUNS / 3 },
    );
    expect(refused).toBeGreaterThan(RUNS / 10);
  });

  it('is full after the longest pause, with the largest settings', () => {
    const tokenBucket = { maxTokens: 4_000_000, tokensPerFill: 4_294_967_295, fillInterval: '1000000s' };
    const record = listener(limit(1, { tokenBucket }));
    expect(core.wasm.chargeLimits(record, 0, 0)).toBe(0);
    expect(core.wasm.chargeLimits(record, 0, 9e12)).toBe(0);
    expect(Number(core.bytes.readBigInt64LE(B.BUCKETS + 4096 * B.BUCKET_BYTES + B.BUCKET_CREDIT))).toBe(
      3_999_999 * 1e12,
    );
  });

  it('keeps its tokens over a new configuration, also with other settings', () => {
    const first = listener(limit(3));
    for (let i = 0; i < 3; i++) expect(core.wasm.chargeLimits(first, 0, 0)).toBe(0);
    expect(core.wasm.chargeLimits(listener(limit(3, { statPrefix: 't' })), 0, 0)).toBe(429);
    const larger = listener(limit(10));
    expect(core.wasm.chargeLimits(larger, 0, 0)).toBe(429);
    expect(core.wasm.chargeLimits(larger, 0, 1000)).toBe(0);
    expect(core.wasm.chargeLimits(larger, 0, 1000)).toBe(429);
  });
});

describe('a request', () => {
  it('is charged by its route, else its virtual host, else the filter', () => {
    compile(
      [
        toCluster('/route', perFilter(limit(1, { statPrefix: 'route', status: { code: 'ServiceUnavailable' } }))),
        toCluster('/off', {
          typedPerFilterConfig: {
            [FILTER]: { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true },
          },
        }),
        toCluster('/'),
      ],
      perFilter(limit(2, { statPrefix: 'host' })),
    );
    const record = listener(limit(1, { statPrefix: 'listener' }));
    expect([ask(record, 0, '/route'), ask(record, 0, '/route')]).toEqual([0, 503]);
    expect([ask(record, 0), ask(record, 0), ask(record, 0)]).toEqual([0, 0, 429]);
    expect([ask(record, 0, '/off'), ask(record, 0, '/off'), ask(record, 0, '/off')]).toEqual([0, 0, 0]);
    // What has no virtual host is limited by the filter alone.
    expect([ask(record, 0, '/', 'b'), ask(record, 0, '/', 'b')]).toEqual([0, 429]);
    expect(tables.limitSlots.counts()).toEqual([
      { statPrefix: 'host', enabled: 3, enforced: 1, ok: 2, rateLimited: 1 },
      { statPrefix: 'route', enabled: 2, enforced: 1, ok: 1, rateLimited: 1 },
      { statPrefix: 'listener', enabled: 2, enforced: 1, ok: 1, rateLimited: 1 },
    ]);
  });

  it('tells what the tightest leaves, where it is to', () => {
    const told = () =>
      [B.LIMIT_TOLD, B.LIMIT_TOLD_MAX, B.LIMIT_TOLD_LEFT, B.LIMIT_TOLD_RESET].map((at) => core.i32[at >> 2]);
    const tells = { enableXRatelimitHeaders: 'DRAFT_VERSION_03' };
    const tokenBucket = { maxTokens: 2, tokensPerFill: 2, fillInterval: '10s' };
    const record = listener(
      limit(5, { ...tells, statPrefix: 'a' }),
      limit(2, { ...tells, tokenBucket, statPrefix: 'b' }),
    );
    expect(core.wasm.chargeLimits(record, 0, 0)).toBe(0);
    expect(told()).toEqual([1, 2, 1, 0]);
    expect(core.wasm.chargeLimits(record, 0, 0)).toBe(0);
    expect(told()).toEqual([1, 2, 0, 5]);
    expect(core.wasm.chargeLimits(record, 0, 3000)).toBe(429);
    expect(told()).toEqual([1, 2, 0, 2]);
    core.wasm.chargeLimits(listener(limit(5, { statPrefix: 'silent' })), 0, 0);
    expect(told()[0]).toBe(0);
  });

  it('meets several filters in their order', () => {
    compile([toCluster('/')]);
    const record = listener(limit(2, { statPrefix: 'a' }), limit(1, { statPrefix: 'b', status: { code: 503 } }));
    expect([ask(record, 0), ask(record, 0), ask(record, 0)]).toEqual([0, 503, 429]);
  });

  it('is not looked at, or let through with a header, where the fractions say so', () => {
    compile([toCluster('/')]);
    const off = listener({ statPrefix: 'off', tokenBucket: { maxTokens: 1, fillInterval: '1s' } });
    expect([ask(off, 0), ask(off, 0)]).toEqual([0, 0]);
    const marked = { header: { key: 'x-limited', value: 'yes' } };
    const shadow = listener(limit(1, { filterEnforced: NONE, requestHeadersToAddWhenNotEnforced: [marked] }));
    const sent = () => core.text(L.OUTPUT_RING, core.wasm.writeUpstreamHead(L.OUTPUT_RING, 4096, shadow, 0, 0));
    expect(ask(shadow, 0)).toBe(0);
    expect(sent()).not.toContain('x-limited');
    expect(ask(shadow, 0)).toBe(0);
    expect(sent()).toContain('x-limited: yes\r\n');
    expect(ask(shadow, 1000)).toBe(0);
    expect(sent()).not.toContain('x-limited');
    expect(tables.limitSlots.counts()).toEqual([
      { statPrefix: 'off', enabled: 0, enforced: 0, ok: 0, rateLimited: 0 },
      { statPrefix: 's', enabled: 3, enforced: 0, ok: 2, rateLimited: 1 },
    ]);
    const half = listener(limit(1, { filterEnabled: { defaultValue: { numerator: 50 } }, statPrefix: 'half' }));
    let refused = 0;
    for (let i = 0; i < 2000; i++) if (ask(half, 0) !== 0) refused++;
    expect(refused).toBeGreaterThan(800);
    expect(refused).toBeLessThan(1200);
  });

  it('takes from a bucket of its connection', () => {
    compile([toCluster('/')]);
    const record = listener(limit(1, { localRateLimitPerDownstreamConnection: true }));
    expect(ask(record, 0)).toBe(B.CHARGE_NEEDS_BUCKET);
    const [one, two] = [core.connectionBuckets.take(), core.connectionBuckets.take()];
    expect([ask(record, 0, '/', 'a', one), ask(record, 0, '/', 'a', one)]).toEqual([0, 429]);
    expect([ask(record, 0, '/', 'a', two), ask(record, 0, '/', 'a', two)]).toEqual([0, 429]);
    // No room for a bucket of its own: the limit's own one.
    expect([ask(record, 0, '/', 'a', -1), ask(record, 0, '/', 'a', -1)]).toEqual([0, 429]);
  });

  it('is refused with the headers of the limit', () => {
    compile([toCluster('/')]);
    const added = { header: { key: 'x-why', value: 'limited' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' };
    const record = listener(limit(1, { responseHeadersToAdd: [added] }));
    expect([ask(record, 0), ask(record, 0)]).toEqual([0, 429]);
    const policy = core.i32[B.ROUTE_LIMIT_POLICY >> 2] as number;
    const length = core.wasm.writeLocalReply(L.OUTPUT_RING, 4096, record, policy, 0, 429, L.READ_BUFFER, 4, 0, 0);
    expect(core.text(L.OUTPUT_RING, length)).toMatch(
      /^HTTP\/1.1 429 Too Many Requests\r\n.*x-why: limited\r\n.*\r\n\r\nGET $/s,
    );
  });
});

describe('what cannot be', () => {
  it('is refused by name', () => {
    const bad = (config: JsonObject) =>
      compile([toCluster('/', perFilter(config))]).problems.map(
        ({ path, message }) => `${path.split('].').pop()} ${message}`,
      );
    expect(bad({ statPrefix: 's' })).toEqual(['token_bucket is required here']);
    expect(bad(limit(0))).toEqual(['token_bucket.max_tokens must be greater than 0']);
    expect(bad(limit(1, { tokenBucket: { maxTokens: 1, fillInterval: '0.049s' } }))).toEqual([
      'token_bucket.fill_interval must be at least 50 ms',
    ]);
    expect(bad(limit(1, { tokenBucket: { maxTokens: 4e9, fillInterval: '10000000s' } }))).toEqual([
      'token_bucket holds too many tokens for so long an interval; make one of them smaller',
    ]);
    expect(bad(limit(1, { statPrefix: '', descriptors: [{}] }))).toEqual([
      'descriptors is not supported',
      'stat_prefix is required',
    ]);
  });
});
