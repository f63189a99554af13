// Property tests: which fault a request gets and how often, against the plain reference; what is refused by name.
import { fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HTTPFaultSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { compileFault } from './compile/filters/fault.js';
import { ProblemList } from './compile/problems.js';
import { createCore } from './core.js';
import { ROUTE_FAULT_ABORT_STATUS, ROUTE_FAULT_DELAY_MS } from './filter-layout.js';
import * as L from './layout.js';
import { internListenerOptions } from './listener-options.js';
import { type FaultAt, faultFor, outcomes, type PlainFault } from './reference/reference-fault.js';
import { PLAIN_OPTIONS } from './reference/test-core.js';
import { createTables } from './tables.js';

const RUNS = Math.ceil(Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000) / 20);
const TRIES = 2000;
const FILTER = 'envoy.filters.http.fault';
const TYPE = `type.googleapis.com/${HTTPFaultSchema.typeName}`;
const FILTER_CONFIG = 'type.googleapis.com/envoy.config.route.v3.FilterConfig';

let core = createCore({ seed: [3, 5] });
let tables = createTables(core);
beforeEach(() => {
  core = createCore({ seed: [3, 5] });
  tables = createTables(core);
});

function configOf({ delayMs, delayShare, status, abortShare }: PlainFault): JsonObject {
  const percentage = (numerator: number) => ({ numerator, denominator: 'MILLION' });
  return {
    delay: { fixedDelay: `${delayMs / 1000}s`, percentage: percentage(delayShare) },
    abort: { httpStatus: status, percentage: percentage(abortShare) },
  };
}

function perFilter(fault: FaultAt): JsonObject {
  if (fault === undefined) return {};
  const config: JsonObject =
    fault === 'off' ? { '@type': FILTER_CONFIG, disabled: true } : { '@type': TYPE, ...configOf(fault) };
  return { typedPerFilterConfig: { [FILTER]: config } };
}

function compile(routes: readonly JsonObject[], virtualHost: JsonObject = {}) {
  const json = { name: 'c', virtualHosts: [{ name: 'v', domains: ['a'], routes, ...virtualHost }] };
  const config = fromJson(RouteConfigurationSchema, json as unknown as JsonValue, { registry: xdsRegistry });
  const result = tables.compile({ routeConfigurations: [config], clusters: [], nowMs: 0 });
  if (result.ok) tables.activate();
  return result;
}

function listener(own: PlainFault | undefined): number {
  const problems = new ProblemList('Listener', 'l');
  const message = fromJson(HTTPFaultSchema, (own === undefined ? {} : configOf(own)) as JsonValue);
  const record = compileFault(problems, 'x', message);
  expect(problems.problems).toEqual([]);
  const fault = { filterId: tables.limitSlots.filterId(FILTER, 'fault'), record };
  return internListenerOptions(core, { ...PLAIN_OPTIONS, fault }, 0);
}

/** Routes a request and throws the dice many times: how often each `DELAY,STATUS` came. */
function throwDice(record: number, path: string, host = 'a'): Map<string, number> {
  const length = core.bytes.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`, L.READ_BUFFER, 'latin1');
  expect(core.wasm.parseRequest(L.READ_BUFFER, length, 0, record, 0)).toBe(length);
  core.wasm.route(tables.routeConfigSlot('c'), -1, 0);
  const counts = new Map<string, number>();
  for (let i = 0; i < TRIES; i++) {
    const happens = core.wasm.decideFault(record) === 1;
    const word = (at: number) => (happens ? core.i32[at >> 2] : 0);
    const outcome = `${word(ROUTE_FAULT_DELAY_MS)},${word(ROUTE_FAULT_ABORT_STATUS)}`;
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

/** Certain or never as often as anything between. */
const share = fc.oneof(fc.constantFrom(0, 1_000_000), fc.integer({ min: 0, max: 1_000_000 }));
const plainFault: fc.Arbitrary<PlainFault> = fc.record({
  delayMs: fc.integer({ min: 1, max: 100_000 }),
  delayShare: share,
  status: fc.integer({ min: 200, max: 599 }),
  abortShare: share,
});
const faultAt: fc.Arbitrary<FaultAt> = fc.oneof(plainFault, fc.constantFrom<FaultAt>('off', undefined));

describe('a fault', () => {
  it('is the one of the nearest place that has a say, and comes as often as it says', () => {
    fc.assert(
      fc.property(faultAt, faultAt, fc.option(plainFault, { nil: undefined }), (route, host, own) => {
        tables = createTables(core);
        const routes = [{ match: { path: '/x' }, route: { cluster: 'c' }, ...perFilter(route) }];
        expect(compile(routes, perFilter(host)).ok).toBe(true);
        const record = listener(own);
        for (const [path, name] of [
          ['/x', 'a'],
          ['/elsewhere', 'a'],
          ['/x', 'unknown'],
        ] as const) {
          const expected = outcomes(faultFor(path === '/x' && name === 'a', route, host, own));
          for (const [outcome, count] of throwDice(record, path, name)) {
            const probability = expected.get(outcome) ?? 0;
            expect(probability, `${outcome} must not come`).toBeGreaterThan(0);
            // Six standard deviations, and some for what is so rare that it has none.
            const bound = 6 * Math.sqrt(TRIES * probability * (1 - probability)) + 3;
            expect(Math.abs(count - TRIES * probability)).toBeLessThanOrEqual(bound);
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('has no say for filters of another name or kind', () => {
    const fault = { delayMs: 5, delayShare: 1_000_000, status: 500, abortShare: 1_000_000 };
    const other = { typedPerFilterConfig: { other: { '@type': TYPE, ...configOf(fault) } } };
    expect(compile([{ match: { prefix: '/' }, route: { cluster: 'c' }, ...other }]).ok).toBe(true);
    const none = internListenerOptions(core, PLAIN_OPTIONS, 0);
    for (const record of [listener(undefined), none]) expect([...throwDice(record, '/').keys()]).toEqual(['0,0']);
  });

  it('rounds a delay up to whole milliseconds', () => {
    const delay = { fixedDelay: '0.0000001s', percentage: { numerator: 100 } };
    const config = { '@type': TYPE, delay };
    compile([
      { match: { prefix: '/' }, route: { cluster: 'c' }, typedPerFilterConfig: { [FILTER]: config } },
    ] as JsonObject[]);
    expect([...throwDice(listener(undefined), '/').keys()]).toEqual(['1,0']);
  });

  it.each<[string, JsonObject, string]>([
    ['delay.header_delay', { delay: { headerDelay: {} } }, 'a client must not choose faults'],
    ['delay', { delay: { percentage: { numerator: 1 } } }, 'needs fixed_delay'],
    ['delay.fixed_delay', { delay: { fixedDelay: '0s' } }, 'must be greater than 0'],
    ['abort.header_abort', { abort: { headerAbort: {} } }, 'a client must not choose faults'],
    ['abort.grpc_status', { abort: { grpcStatus: 17 } }, '17 is not from 0 to 16'],
    ['abort.http_status', { abort: { httpStatus: 600 } }, '600 is not from 200 to 599'],
    ['abort', { abort: {} }, 'needs http_status'],
    ['upstream_cluster', { upstreamCluster: 'c' }, 'is not supported'],
    ['headers', { headers: [{ name: 'x' }] }, 'is not supported'],
    ['max_active_faults', { maxActiveFaults: 3 }, 'is not supported'],
    ['response_rate_limit', { responseRateLimit: { fixedLimit: { limitKbps: '1' } } }, 'is not supported'],
  ])('is refused with %s', (path, config, message) => {
    const problems = new ProblemList('Listener', 'l');
    compileFault(problems, '', fromJson(HTTPFaultSchema, config as JsonValue));
    expect(problems.problems.map((problem) => [problem.path, problem.message.includes(message)])).toEqual([
      [path, true],
    ]);
  });
});
