// What the core does for gRPC: how requests show themselves, the time they give, answers in gRPC's form, retries by status.
// The expectations of times and answers are what Envoy 1.40 did with the same routes and requests.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as F from './core-functions.js';
import * as L from './layout.js';
import { createTestCore } from './reference/test-core.js';
import { createTables } from './tables.js';

const { core, wasm, int, options, put } = createTestCore();
const tables = createTables(core);
const NONE = 0;

function parse(lines: readonly string[]): void {
  const text = `POST /pkg.Service/Method HTTP/1.1\r\nhost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
  expect(wasm.parseRequest(L.READ_BUFFER, put(text), 0, options(), 0)).toBe(text.length);
}
const isGrpc = () => (int(L.REQ_FLAGS) & L.REQUEST_GRPC) !== 0;
const timeoutMs = () => core.f64[L.REQ_GRPC_TIMEOUT_MS >> 3]!;

describe('a request of gRPC', () => {
  it.each([
    ['application/grpc', true],
    ['application/grpc+proto', true],
    ['application/grpc-web', false],
    ['application/grpcx', false],
    ['application/grp', false],
    ['application/json', false],
    ['', false],
  ])('is told by its content-type: %s', (type, expected) => {
    parse([`content-type: ${type}`, 'grpc-timeout: 5S']);
    expect(isGrpc()).toBe(expected);
    expect(timeoutMs()).toBe(expected ? 5000 : -1);
  });

  it('gives a time of at most eight digits and a unit, rounded up to ms', () => {
    const msOf: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
    const good = fc.tuple(fc.nat(99_999_999), fc.constantFrom(...Object.keys(msOf)));
    const bad = fc.constantFrom('', 'S', '1', '1s', '-1S', '1.5S', '123456789S', '1 S', 'aS', '1SS');
    fc.assert(
      fc.property(fc.oneof(good, bad), (given) => {
        const text = typeof given === 'string' ? given : `${given[0]}${given[1]}`;
        parse(['content-type: application/grpc', `grpc-timeout: ${text}`]);
        if (typeof given === 'string') {
          expect(timeoutMs()).toBe(-1);
          return;
        }
        const [amount, unit] = given;
        const expected = unit === 'u' ? amount / 1000 : unit === 'n' ? amount / 1_000_000 : amount * msOf[unit]!;
        expect(timeoutMs()).toBe(Math.ceil(expected));
      }),
    );
  });
});

describe('time limits', () => {
  const routed = (action: { [key: string]: JsonValue }) => {
    const route = { match: { prefix: '/' }, route: { cluster: 'c', ...action } };
    const config = fromJson(RouteConfigurationSchema, {
      name: 'r',
      virtualHosts: [{ name: 'v', domains: ['*'], routes: [route] }],
    });
    const clusters = [{ cluster: fromJson(ClusterSchema, { name: 'c', type: 'STATIC' }) }];
    expect(tables.compile({ routeConfigurations: [config], clusters, nowMs: 0 }).problems).toEqual([]);
    tables.activate();
  };
  const ask = (timeout: string | undefined, type = 'application/grpc') => {
    parse([`content-type: ${type}`, ...(timeout === undefined ? [] : [`grpc-timeout: ${timeout}`])]);
    expect(wasm.route(tables.routeConfigSlot('r'), -1, 0)).toBe(L.ROUTE_ACTION_FORWARD);
    const length = wasm.writeUpstreamHead(L.OUTPUT_RING, 4096, options(), 0, int(L.ROUTE_CLUSTER));
    const head = core.text(L.OUTPUT_RING, length);
    return {
      route: int(L.ROUTE_TIMEOUT_MS),
      stream: int(L.ROUTE_STREAM_MS),
      told: /^grpc-timeout: (.*)\r$/m.exec(head)?.[1],
      lines: head.match(/grpc-timeout/g)?.length ?? 0,
    };
  };

  it.each([
    ['1S', 1000, '1000m'],
    ['100S', 5000, '5000m'],
    [undefined, 5000, '5000m'],
    ['0S', 5000, '5000m'],
    ['nonsense', 5000, '5000m'],
  ])('are what grpc-timeout %s says within max_grpc_timeout, and the upstream is told', (timeout, ms, told) => {
    routed({ timeout: '5s', maxGrpcTimeout: '5s' });
    expect(ask(timeout)).toEqual({ route: ms, stream: 0, told, lines: 1 });
  });

  it.each([
    ['200m', 200, '200m'],
    [undefined, 0, undefined],
    ['0m', 0, '0m'],
    ['99999999H', 2_147_483_647, '99999999H'],
    ['99999999S', 2_147_483_647, '99999999S'],
  ])('are unbounded where max_grpc_timeout is 0: %s', (timeout, ms, told) => {
    routed({ timeout: '5s', maxGrpcTimeout: '0s' });
    expect(ask(timeout)).toMatchObject({ route: ms, told });
  });

  it('tell the upstream the time of an attempt, and leave others than gRPC alone', () => {
    routed({ timeout: '5s', maxGrpcTimeout: '5s', retryPolicy: { retryOn: 'unavailable', perTryTimeout: '0.2s' } });
    expect(ask('3S')).toMatchObject({ route: 3000, told: '200m' });
    expect(ask('3S', 'text/plain')).toMatchObject({ route: 5000, told: '3S' });
    routed({ timeout: '0.3s' });
    expect(ask('100m')).toEqual({ route: 300, stream: 0, told: '100m', lines: 1 });
  });

  it('are of the whole stream where the route says so by grpc_timeout_header_max', () => {
    routed({ timeout: '0s', maxStreamDuration: { maxStreamDuration: '9s', grpcTimeoutHeaderMax: '0s' } });
    expect(ask('150m')).toMatchObject({ route: 0, stream: 150, told: '150m' });
    expect(ask(undefined)).toMatchObject({ stream: 9000, told: '9000m' });
    routed({ timeout: '0.2s', maxStreamDuration: { maxStreamDuration: '0.6s' } });
    expect(ask(undefined)).toMatchObject({ route: 0, stream: 600, told: '600m' });
    expect(ask('1S')).toMatchObject({ route: 0, stream: 600, told: '600m' });
    expect(ask(undefined, 'text/plain')).toMatchObject({ route: 0, stream: 600, told: undefined });
    routed({ timeout: '0s', maxStreamDuration: { grpcTimeoutHeaderMax: '1s', grpcTimeoutHeaderOffset: '0.1s' } });
    expect([ask('5S').stream, ask('500m').stream, ask('50m').stream]).toEqual([900, 400, 50]);
  });

  it('retry by the gRPC status of a head where the policy names its condition', () => {
    const codes = { cancelled: 1, 'deadline-exceeded': 4, 'resource-exhausted': 8, internal: 13, unavailable: 14 };
    for (const [condition, code] of Object.entries(codes)) {
      routed({ retryPolicy: { retryOn: condition } });
      ask(undefined);
      const policy = int(L.ROUTE_POLICY);
      for (let status = 0; status <= 16; status++) {
        const answer = `HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: ${status}\r\ncontent-length: 0\r\n\r\n`;
        wasm.parseResponse(L.READ_BUFFER, put(answer), 0, L.METHOD_POST, 0, options());
        expect(wasm.isRetriableStatus(policy, 200)).toBe(status === code ? 1 : 0);
      }
    }
  });
});

describe('a local answer to gRPC', () => {
  const reply = (status: number, body: string, flags = F.DOWNSTREAM_GRPC | F.DOWNSTREAM_HTTP_2, location = '') => {
    const at = L.PATH_SCRATCH;
    put(body, at);
    put(location, at + 32_768);
    const length = wasm.writeLocalReply(
      L.OUTPUT_RING,
      65_536,
      options(),
      NONE,
      flags,
      status,
      at,
      body.length,
      at + 32_768,
      location.length,
    );
    return core
      .text(L.OUTPUT_RING, length)
      .replace(/date: [^\r]+\r\n/, '')
      .split('\r\n')
      .filter((line) => line !== '');
  };

  it.each([
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
    [500, 2],
    [418, 2],
  ])('of status %i has grpc-status %i', (status, code) => {
    expect(reply(status, 'fault filter abort')).toEqual([
      'HTTP/1.1 200 OK',
      'content-type: application/grpc',
      `grpc-status: ${code}`,
      'grpc-message: fault filter abort',
    ]);
    expect(int(L.RESP_GRPC_STATUS)).toBe(code);
    expect(wasm.grpcStatusOf(status)).toBe(code);
  });

  it('encodes its message, has none without a body, and keeps a location', () => {
    expect(reply(418, 'tea pot %\u00e9')[3]).toBe('grpc-message: tea pot %25%E9');
    expect(reply(404, '')).toHaveLength(3);
    expect(reply(301, '', undefined, 'http://x/')[1]).toBe('location: http://x/');
    expect(reply(503, 'x'.repeat(43_690))).toEqual([]);
  });

  it('has the status that it is given, and to HTTP/1.1 a length', () => {
    const given = F.DOWNSTREAM_GRPC | (5 << F.DOWNSTREAM_GRPC_STATUS_SHIFT);
    expect(reply(408, 'late', given)).toEqual([
      'HTTP/1.1 200 OK',
      'content-length: 0',
      'content-type: application/grpc',
      'grpc-status: 4',
      'grpc-message: late',
    ]);
    expect(reply(503, 'busy', 0)).toEqual([
      'HTTP/1.1 503 Service Unavailable',
      'content-length: 4',
      'content-type: text/plain',
      'busy',
    ]);
    expect(int(L.RESP_GRPC_STATUS)).toBe(-1);
  });
});
