// Quotas of the core: which bucket a request has, what is let through without an assignment and with one, what a refusal says.
import { fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { RateLimitQuotaFilterConfigSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
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

const TYPES = 'type.googleapis.com/';
const SETTINGS = `${TYPES}envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings`;
const HEADER_INPUT = `${TYPES}envoy.type.matcher.v3.HttpRequestHeaderMatchInput`;
const SSL_INPUT = `${TYPES}envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput`;
const IP_INPUT = `${TYPES}envoy.extensions.matching.common_inputs.network.v3.SourceIPInput`;
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 1000);

let core = createCore({ seed: [3, 5] });
let tables = createTables(core);
beforeEach(() => {
  core = createCore({ seed: [3, 5] });
  tables = createTables(core);
});

const text = (value: string): JsonObject => ({ stringValue: value });
const input = (type: string, fields: JsonObject = {}): JsonObject => ({
  customValue: { name: 'input', typedConfig: { '@type': type, ...fields } },
});
const header = (headerName: string) => input(HEADER_INPUT, { headerName });
const perSecond = (requests: number): JsonObject => ({
  fallbackRateLimit: { tokenBucket: { maxTokens: requests, tokensPerFill: requests, fillInterval: '1s' } },
});

function settings(id: Record<string, JsonObject>, requests: number, fields: JsonObject = {}): JsonObject {
  return {
    '@type': SETTINGS,
    bucketIdBuilder: { bucketIdBuilder: id },
    reportingInterval: '0.2s',
    noAssignmentBehavior: perSecond(requests),
    ...fields,
  };
}

const action = (config: JsonObject): JsonObject => ({ action: { name: 'bucket', typedConfig: config } });

function config(bucketMatchers: JsonObject, fields: JsonObject = {}): JsonObject {
  const rlqsServer = { envoyGrpc: { clusterName: 'xds-grpc' } };
  return { rlqsServer, domain: 'd', bucketMatchers, ...fields };
}

function tryListener(...configs: JsonObject[]) {
  return tryListenerThatTells(false, configs);
}

function tryListenerThatTells(tells: boolean, configs: readonly JsonObject[]) {
  const problems = new ProblemList('Listener', 'l');
  const quotas = configs.map((json, index) => {
    const message = fromJson(RateLimitQuotaFilterConfigSchema, json as JsonValue, { registry: xdsRegistry });
    return tables.quota(`q${index}`, message, 'x', problems, tells);
  });
  return { record: internListenerOptions(core, { ...PLAIN_OPTIONS, quotas }, 0), problems: problems.problems };
}

function listener(...configs: JsonObject[]): number {
  const { record, problems } = tryListener(...configs);
  expect(problems).toEqual([]);
  return record;
}

/** A request of so many headers. */
function ask(record: number, nowMs: number, lines: readonly string[] = [], path = '/', connection = 0): number {
  const head = [`GET ${path} HTTP/1.1`, 'host: a', ...lines, '', ''].join('\r\n');
  const length = core.bytes.write(head, L.READ_BUFFER, 'latin1');
  expect(core.wasm.parseRequest(L.READ_BUFFER, length, 0, record, connection)).toBe(length);
  core.wasm.route(tables.routeConfigSlot('c'), -1, 0);
  return core.wasm.chargeQuotas(record, connection, 0, nowMs);
}

const int = (place: number) => core.i32[place >> 2] as number;

/** The ids of the buckets that the last request made. */
function made(): { bucket: number; id: Record<string, string> }[] {
  return Array.from({ length: int(B.QUOTA_MADE_COUNT) }, (_, index) => {
    const bucket = int(B.QUOTA_MADE + index * 8);
    let at = int(B.QUOTA_MADE + index * 8 + 4);
    const id: Record<string, string> = {};
    for (const key of tables.quotaBranches.branch(int(bucket + B.QUOTA_BUCKET_BRANCH))?.keys ?? []) {
      id[key] = core.text(at + 4, int(at));
      at += 4 + ((int(at) + 3) & ~3);
    }
    return { bucket, id };
  });
}

describe('what answers tell', () => {
  const DENY = { denyResponseSettings: { responseHeadersToAdd: [{ header: { key: 'ratelimit-limit', value: '2' } }] } };
  const rule = (name: string, requests: number) =>
    config({ onNoMatch: action(settings({ rule: text(name) }, requests, DENY)) });
  const told = () => {
    if (int(B.QUOTA_TOLD) === 0) return undefined;
    const limit = core.text(int(B.QUOTA_TOLD_TEXT), int(B.QUOTA_TOLD_LENGTH));
    return [limit, int(B.QUOTA_TOLD_LEFT), int(B.QUOTA_TOLD_RESET)];
  };

  it('is what the tightest limit leaves', () => {
    const { record } = tryListenerThatTells(true, [rule('wide', 5), rule('tight', 2), rule('middle', 3)]);
    expect(ask(record, 0)).toBe(0);
    expect(told()).toEqual(['2', 1, 1]);
    expect(ask(record, 0)).toBe(0);
    expect(told()).toEqual(['2', 0, 1]);
    expect(ask(record, 0)).toBe(429);
    expect(ask(record, 10_000)).toBe(0);
    expect(told()).toEqual(['2', 1, 1]);
  });

  it('is nothing where nobody wants it told, or all are let through', () => {
    expect(ask(listener(rule('silent', 5)), 0)).toBe(0);
    expect(told()).toBeUndefined();
    const all = settings({ rule: text('all') }, 1, {
      ...DENY,
      noAssignmentBehavior: { fallbackRateLimit: { blanketRule: 'ALLOW_ALL' } },
    });
    const { record } = tryListenerThatTells(true, [config({ onNoMatch: action(all) })]);
    expect(ask(record, 0)).toBe(0);
    expect(told()).toBeUndefined();
  });
});

describe('a quota filter', () => {
  it('counts each id by itself', () => {
    const record = listener(config({ onNoMatch: action(settings({ rule: text('r'), user: header('x-user') }, 2)) }));
    expect(ask(record, 0, ['x-user: ann'])).toBe(0);
    expect(made().map(({ id }) => id)).toEqual([{ rule: 'r', user: 'ann' }]);
    expect(ask(record, 0, ['x-user: ann'])).toBe(0);
    expect(made()).toEqual([]);
    expect(ask(record, 0, ['x-user: ann'])).toBe(429);
    expect(ask(record, 0, ['x-user: bob'])).toBe(0);
    expect(ask(record, 499, ['x-user: ann'])).toBe(429);
    expect(ask(record, 500, ['x-user: ann'])).toBe(0);
  });

  it('does not limit a request that lacks a part of the id', () => {
    const record = listener(config({ onNoMatch: action(settings({ user: header('x-user') }, 1)) }));
    for (let index = 0; index < 5; index++) expect(ask(record, 0)).toBe(0);
    expect(tables.limitSlots.counts()).toMatchObject([{ statPrefix: 'q0', enabled: 0 }]);
  });

  it('tells ids apart whose texts are the same when joined', () => {
    const id = { a: header('x-a'), b: header('x-b') };
    const record = listener(config({ onNoMatch: action(settings(id, 1)) }));
    expect(ask(record, 0, ['x-a: 1', 'x-b: 23'])).toBe(0);
    expect(ask(record, 0, ['x-a: 12', 'x-b: 3'])).toBe(0);
    expect(ask(record, 0, ['x-a: 12', 'x-b: 3'])).toBe(429);
  });

  it('knows clients by certificate and by address', () => {
    const id = { who: input(SSL_INPUT), from: input(IP_INPUT) };
    const record = listener(config({ onNoMatch: action(settings(id, 1)) }));
    const connect = (remoteAddress: string, principal: string) =>
      core.connections.create({ remoteAddress, tls: true, mutualTls: true, xfcc: '', principal });
    const first = connect('10.0.0.1', 'spiffe://cluster.local/ns/a/sa/b');
    expect(ask(record, 0, [], '/', first)).toBe(0);
    expect(made()[0]?.id).toEqual({ who: 'spiffe://cluster.local/ns/a/sa/b', from: '10.0.0.1' });
    expect(ask(record, 0, [], '/', first)).toBe(429);
    expect(ask(record, 0, [], '/', connect('10.0.0.2', 'spiffe://cluster.local/ns/a/sa/b'))).toBe(0);
    expect(ask(record, 0, [], '/', connect('10.0.0.1', 'spiffe://cluster.local/ns/a/sa/c'))).toBe(0);
    expect(ask(record, 0, [], '/', connect('10.0.0.1', ''))).toBe(0);
    expect(ask(record, 0, [], '/', 0)).toBe(0);
  });

  it('takes the first branch that matches', () => {
    const predicate = (headerName: string, valueMatch: JsonObject) => ({
      singlePredicate: { input: { name: 'i', typedConfig: { '@type': HEADER_INPUT, headerName } }, valueMatch },
    });
    const both = {
      andMatcher: { predicate: [predicate(':method', { exact: 'GET' }), predicate('x-a', { prefix: 'b' })] },
    };
    const items = predicate(':path', { safeRegex: { googleRe2: {}, regex: '/items/[^/?]+' } });
    const record = listener(
      config({
        matcherList: {
          matchers: [
            { predicate: both, onMatch: action(settings({ rule: text('both') }, 1)) },
            { predicate: items, onMatch: action(settings({ rule: text('items') }, 1)) },
          ],
        },
      }),
    );
    expect(ask(record, 0, ['x-a: bc'], '/items/1')).toBe(0);
    expect(made()[0]?.id).toEqual({ rule: 'both' });
    expect(ask(record, 0, ['x-a: cb'], '/items/1')).toBe(0);
    expect(made()[0]?.id).toEqual({ rule: 'items' });
    expect(ask(record, 0, [], '/items/2')).toBe(429);
    expect(ask(record, 0, [], '/items/2/x')).toBe(0);
    expect(made()).toEqual([]);
  });

  it('says when to come again, in a refusal with its own status, text and headers', () => {
    const denyResponseSettings: JsonObject = {
      httpStatus: { code: 503 },
      httpBody: Buffer.from('slow down').toString('base64'),
      responseHeadersToAdd: [
        { header: { key: 'retry-after', value: '60' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        { header: { key: 'ratelimit-limit', value: '3' } },
        { header: { key: 'ratelimit-reset', value: '60' } },
      ],
    };
    const bucket: JsonObject = { tokenBucket: { maxTokens: 3, tokensPerFill: 3, fillInterval: '60s' } };
    const fields: JsonObject = { denyResponseSettings, noAssignmentBehavior: { fallbackRateLimit: bucket } };
    const record = listener(config({ onNoMatch: action(settings({ rule: text('r') }, 1, fields)) }));
    for (let index = 0; index < 3; index++) expect(ask(record, 0)).toBe(0);
    const reply = (nowMs: number) => {
      expect(ask(record, nowMs)).toBe(503);
      const out = L.OUTPUT_RING;
      const length = core.wasm.writeLocalReply(
        out, 4096, record, int(B.QUOTA_REPLY_POLICY), 0, 503, int(B.QUOTA_REPLY_BODY), int(B.QUOTA_REPLY_BODY_LENGTH), 0, 0,
      ); // biome-ignore format: as the function has it
      return core.text(out, length);
    };
    expect(reply(0)).toMatch(
      /^HTTP\/1.1 503 .*\r\nretry-after: 21\r\nratelimit-limit: 3\r\nratelimit-reset: 21\r\n.*\r\nslow down$/s,
    );
    expect(reply(15_500)).toContain('retry-after: 5\r\n');
  });

  it('lets requests through in shadow mode, counts them, and adds its headers to them alone', () => {
    const record = listener(
      config(
        { onNoMatch: action(settings({ rule: text('r') }, 1)) },
        {
          filterEnforced: { defaultValue: { numerator: 0 } },
          requestHeadersToAddWhenNotEnforced: [{ header: { key: 'x-over', value: 'yes' } }],
        },
      ),
    );
    const head = () => core.text(L.OUTPUT_RING, core.wasm.writeUpstreamHead(L.OUTPUT_RING, 4096, record, 0, 0));
    expect(ask(record, 0)).toBe(0);
    expect(head()).not.toContain('x-over');
    expect(ask(record, 0)).toBe(0);
    expect(head()).toContain('x-over: yes\r\n');
    expect(tables.limitSlots.counts()).toMatchObject([{ enabled: 2, ok: 1, rateLimited: 1, enforced: 0 }]);
  });

  it('is held against exact arithmetic', () => {
    let run = 0;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.nat(700), { maxLength: 40 }), (requests, pauses) => {
        const id = { rule: text(`run ${run++}`) };
        const record = listener(config({ onNoMatch: action(settings(id, requests)) }));
        const exact = new ReferenceBucket(requests, requests, 1_000_000);
        let nowMs = 0;
        for (const pause of pauses) {
          nowMs += pause;
          expect(ask(record, nowMs) === 0).toBe(exact.take(nowMs * 1000));
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('does as assigned: a rate, everything, nothing', () => {
    const record = listener(config({ onNoMatch: action(settings({ rule: text('r') }, 1)) }));
    ask(record, 0);
    const bucket = made()[0]?.bucket ?? 0;
    const tokens = bucket + B.QUOTA_BUCKET_TOKENS;
    core.i32[(bucket + B.QUOTA_BUCKET_STRATEGY) >> 2] = B.STRATEGY_ALLOW;
    for (let index = 0; index < 9; index++) expect(ask(record, 0)).toBe(0);
    core.i32[(bucket + B.QUOTA_BUCKET_STRATEGY) >> 2] = B.STRATEGY_DENY;
    expect(ask(record, 99_000)).toBe(429);
    core.i32[(bucket + B.QUOTA_BUCKET_STRATEGY) >> 2] = B.STRATEGY_BUCKET;
    core.bytes.writeBigInt64LE(1_000_000n, tokens + B.BUCKET_INTERVAL);
    core.bytes.writeBigInt64LE(2n, tokens + B.BUCKET_MAX_TOKENS);
    core.bytes.writeBigInt64LE(4n, tokens + B.BUCKET_PER_FILL);
    core.bytes.writeBigInt64LE(0n, tokens + B.BUCKET_CREDIT);
    core.bytes.writeBigInt64LE(100_000_000n, tokens + B.BUCKET_FILLED_AT);
    expect(ask(record, 100_249)).toBe(429);
    expect(ask(record, 100_250)).toBe(0);
    expect(core.f64[(bucket + B.QUOTA_BUCKET_ALLOWED) >> 3]).toBe(11);
    expect(core.f64[(bucket + B.QUOTA_BUCKET_DENIED) >> 3]).toBe(2);
  });

  it('forgets the bucket that was used longest ago where there is no room', () => {
    const record = listener(config({ onNoMatch: action(settings({ user: header('x-user') }, 1)) }));
    const places = new Set<number>();
    for (let user = 0; user < B.QUOTA_BUCKET_COUNT * 2; user++) {
      expect(ask(record, user, [`x-user: ${user}`])).toBe(0);
      places.add(made()[0]?.bucket ?? 0);
    }
    expect(places.size).toBeLessThanOrEqual(B.QUOTA_BUCKET_COUNT);
    expect(ask(record, B.QUOTA_BUCKET_COUNT * 2, [`x-user: ${B.QUOTA_BUCKET_COUNT * 2 - 1}`])).toBe(429);
  });

  it('refuses by name what it does not do', () => {
    const bad = config({
      matcherTree: {},
      onNoMatch: action(
        settings({ a: input('type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'), b: text('') }, 1),
      ),
    });
    const faults = tryListener(bad).problems.map(({ path, message }) => `${path}: ${message}`);
    expect(faults).toHaveLength(3);
    expect(faults[0]).toContain('bucket_matchers.matcher_tree');
    expect(faults[1]).toContain('Router is not supported');
    expect(faults[2]).toContain('string_value: is empty');
  });
});
