// Choice by hash: the endpoints that a stock Envoy chose (test/interop asks it), a plain reference, stability, distribution.
import { readFileSync } from 'node:fs';
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as H from './compile/hashing/hash-layout.js';
import * as L from './layout.js';
import { chooseFromRing, fillMaglevTable, xxHash64 } from './reference/reference-hash.js';
import { createTestCore } from './reference/test-core.js';
import * as T from './table-layout.js';
import { createTables, setEjected } from './tables.js';

type Json = { [key: string]: JsonValue };

interface Choices {
  readonly clusters: readonly {
    readonly cluster: Json & { readonly name: string };
    readonly retried: boolean;
    readonly chosen: readonly string[];
  }[];
  readonly hashPolicies: readonly {
    readonly name: string;
    readonly hashPolicy: Json[];
    readonly requests: readonly { readonly path: string; readonly headers: Record<string, string>; chosen: string }[];
  }[];
  readonly keys: readonly string[];
}

const choices = JSON.parse(
  readFileSync(new URL('../src/reference/envoy-choices.json', import.meta.url), 'utf8'),
) as Choices;
const { core, wasm, int, options, put } = createTestCore();
const tables = createTables(core);
const listener = options();
const connection = core.connections.create({ remoteAddress: '127.0.0.1', tls: false, mutualTls: false, xfcc: '' });

/** Puts clusters in use, with one route that hashes by these policies. */
function use(clusters: readonly Json[], hashPolicy: Json[] = [{ header: { headerName: 'x-key' } }]): void {
  const route = { match: { prefix: '/' }, route: { cluster: 'c', hashPolicy } };
  const config = fromJson(RouteConfigurationSchema, {
    name: 'r',
    virtualHosts: [{ name: 'v', domains: ['*'], routes: [route] }],
  });
  const input = clusters.map((json) => ({ cluster: fromJson(ClusterSchema, json) }));
  expect(tables.compile({ routeConfigurations: [config], clusters: input, nowMs: 0 })).toMatchObject({ ok: true });
  tables.activate();
}

/** Hashes a request; what hashRequest() says. */
function hash(headers: Record<string, string>, path = '/', from = connection): number {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = put(`GET ${path} HTTP/1.1\r\nhost: a\r\n${lines.join('')}\r\n`);
  if (wasm.parseRequest(L.READ_BUFFER, length, 0, listener, from) <= 0) throw new Error(`${path} is not parsed`);
  wasm.route(tables.routeConfigSlot('r'), -1, 0);
  return wasm.hashRequest(listener, from);
}

function addressOf(slot: number): string {
  const endpoint = tables.endpoint(slot);
  return endpoint === undefined ? `none (${slot})` : `${endpoint.address}:${endpoint.port}`;
}

function chosenFor(cluster: string, key: string): string {
  if (hash({ 'x-key': key }) !== 1) throw new Error(`${key} is not hashed`);
  return addressOf(wasm.pick(tables.clusterSlot(cluster), 0, 1));
}

function hosts(count: number, skipped = -1): JsonValue[] {
  const indexes = Array.from({ length: count }, (_, index) => index).filter((index) => index !== skipped);
  return indexes.map((index) => ({
    endpoint: { address: { socketAddress: { address: `10.0.0.${index}`, portValue: 80 } } },
  }));
}

function cluster(lbPolicy: string, lbEndpoints: JsonValue[], more: Json = {}): Json {
  return {
    name: 'c',
    type: 'STATIC',
    lbPolicy,
    loadAssignment: { clusterName: 'c', endpoints: [{ lbEndpoints }] },
    ...more,
  };
}

describe('the same choice as a stock Envoy', () => {
  it.each(choices.clusters.map((entry) => [entry.cluster.name, entry] as const))('of %s', (name, entry) => {
    use([entry.cluster]);
    const slot = tables.clusterSlot(name);
    const chosen = choices.keys.map((key) => {
      hash({ 'x-key': key });
      const keep = [int(H.PICK_HASH), int(H.PICK_HASH + 4)] as const;
      let endpoint = wasm.pick(slot, 0, 1);
      for (let tried = 1; entry.retried && tried <= 2; tried++) {
        core.i32[(L.PICK_TRIED >> 2) + tried - 1] = endpoint;
        [core.i32[H.PICK_HASH >> 2], core.i32[(H.PICK_HASH + 4) >> 2]] = keep;
        core.i32[H.PICK_HASH_SET >> 2] = 1;
        endpoint = wasm.pick(slot, tried, 5);
      }
      return addressOf(endpoint);
    });
    expect(chosen).toEqual(entry.chosen);
  });

  it.each(choices.hashPolicies.map((entry) => [entry.name, entry] as const))('%s', (name, { hashPolicy, requests }) => {
    const [first] = choices.clusters;
    use([first!.cluster], hashPolicy);
    for (const { path, headers, chosen } of requests) {
      expect(hash(headers, `/${name}${path}`)).toBe(1);
      const found = addressOf(wasm.pick(tables.clusterSlot('ring'), 0, 1));
      expect(found, `${path} ${JSON.stringify(headers)}`).toBe(chosen);
    }
  });
});

describe('a plain reference agrees', () => {
  it('about xxHash64', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (content, seed) => {
        core.bytes.set(content, L.READ_BUFFER);
        wasm.hash64(L.READ_BUFFER, content.length, seed);
        expect(core.bytes.readBigUInt64LE(H.HASH64_RESULT)).toBe(xxHash64(content, BigInt(seed)));
      }),
    );
    expect(xxHash64(Buffer.from(''), 0n)).toBe(0xef46db3751d8e999n);
    expect(xxHash64(Buffer.from('abc'), 0n)).toBe(0x44bc2cf5ad770999n);
  });

  const weighted = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });

  it.each(['RING_HASH', 'MAGLEV'])('about the endpoint under %s, by weight', (policy) => {
    fc.assert(
      fc.property(weighted, fc.array(fc.uuid(), { minLength: 5, maxLength: 5 }), (weights, keys) => {
        const endpoints = hosts(weights.length).map((host, index) => ({
          ...(host as Json),
          loadBalancingWeight: weights[index]!,
        }));
        use([cluster(policy, endpoints, policy === 'MAGLEV' ? { maglevLbConfig: { tableSize: 503 } } : {})]);
        const all = weights.map((weight, index) => ({ key: `10.0.0.${index}:80`, weight }));
        const table = policy === 'MAGLEV' ? fillMaglevTable(all, 503) : undefined;
        for (const key of keys) {
          const value = xxHash64(Buffer.from(key), 0n);
          expect(chosenFor('c', key)).toBe(table?.[Number(value % 503n)] ?? chooseFromRing(all, 1024, value));
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe.each(['RING_HASH', 'MAGLEV'])('%s', (policy) => {
  const keys = Array.from({ length: 5000 }, (_, index) => `key-${index}`);

  it('moves at most 2 % beyond the share of one endpoint of 100 that leaves', () => {
    use([cluster(policy, hosts(100))]);
    const before = keys.map((key) => chosenFor('c', key));
    use([cluster(policy, hosts(100, 42))]);
    const moved = keys.filter((key, index) => chosenFor('c', key) !== before[index]).length;
    const departed = before.filter((host) => host === '10.0.0.42:80').length;
    expect(departed).toBeGreaterThan(0);
    expect((moved - departed) / keys.length).toBeLessThanOrEqual(0.02);
  });

  it('leaves the others where they are when an endpoint is ejected, and takes it back', () => {
    use([cluster(policy, hosts(20))]);
    const some = keys.slice(0, 1000);
    const before = some.map((key) => chosenFor('c', key));
    const { slot } = tables.endpointsOf(tables.clusterSlot('c')).find(({ address }) => address === '10.0.0.7')!;
    setEjected(core, tables.clusterSlot('c'), slot, true);
    some.forEach((key, index) => {
      const now = chosenFor('c', key);
      if (before[index] === '10.0.0.7:80') expect(now).not.toBe('10.0.0.7:80');
      else expect(now).toBe(before[index]);
    });
    setEjected(core, tables.clusterSlot('c'), slot, false);
    expect(some.map((key) => chosenFor('c', key))).toEqual(before);
  });

  it('spreads keys over the endpoints, and requests without a key too', () => {
    use([cluster(policy, hosts(10), policy === 'RING_HASH' ? { ringHashLbConfig: { minimumRingSize: '20000' } } : {})]);
    for (const headersOf of [(key: string) => ({ 'x-key': key }), (): Record<string, string> => ({})]) {
      const counts = new Map<string, number>();
      for (const key of keys) {
        hash(headersOf(key));
        const host = addressOf(wasm.pick(tables.clusterSlot('c'), 0, 1));
        counts.set(host, (counts.get(host) ?? 0) + 1);
      }
      expect(counts.size).toBe(10);
      for (const count of counts.values()) expect(Math.abs(count / keys.length - 0.1)).toBeLessThan(0.025);
    }
  });

  it('says so where nothing is left', () => {
    use([cluster(policy, [])]);
    hash({ 'x-key': 'a' });
    expect(wasm.pick(tables.clusterSlot('c'), 0, 1)).toBe(T.PICK_NO_HEALTHY);
    use([cluster(policy, hosts(1), { commonLbConfig: { healthyPanicThreshold: { value: 0 } } })]);
    const slot = wasm.pick(tables.clusterSlot('c'), 0, 1);
    setEjected(core, tables.clusterSlot('c'), slot, true);
    expect(wasm.pick(tables.clusterSlot('c'), 0, 1)).toBe(T.PICK_NO_HEALTHY);
    setEjected(core, tables.clusterSlot('c'), slot, false);
  });
});

describe('hash policies', () => {
  it('do not care about the order of a repeated header', () => {
    use([cluster('RING_HASH', hosts(50))]);
    const hashOf = (values: readonly string[]) => {
      const length = put(`GET / HTTP/1.1\r\nhost: a\r\n${values.map((value) => `x-key: ${value}\r\n`).join('')}\r\n`);
      wasm.parseRequest(L.READ_BUFFER, length, 0, listener, connection);
      wasm.route(tables.routeConfigSlot('r'), -1, 0);
      expect(wasm.hashRequest(listener, connection)).toBe(1);
      return core.bytes.readBigUInt64LE(H.PICK_HASH);
    };
    expect(hashOf(['b', 'a', 'aa'])).toBe(xxHash64(Buffer.from('aaab'), 0n));
    expect(hashOf(['aa', 'b', 'a'])).toBe(hashOf(['a', 'aa', 'b']));
    expect(hashOf(['a'])).not.toBe(hashOf(['b']));
  });

  it('make a cookie once for a connection, and say it in the response', () => {
    use(
      [cluster('RING_HASH', hosts(50))],
      [
        { header: { headerName: 'x-absent' } },
        { cookie: { name: 'affinity', ttl: '60s', path: '/shop', attributes: [{ name: 'SameSite', value: 'Lax' }] } },
      ],
    );
    const record = core.connections.create({ remoteAddress: '10.0.0.1', tls: false, mutualTls: false, xfcc: '' });
    expect(hash({}, '/', record)).toBe((2 << 1) | 1);
    const made = wasm.pick(tables.clusterSlot('c'), 0, 1);
    const head = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
    wasm.parseResponse(L.READ_BUFFER, put(head), 0, L.METHOD_GET, 0, listener);
    const write = (cookies: number) => {
      core.i32[H.SET_COOKIES >> 2] = cookies;
      core.i32[H.SET_COOKIES_CONNECTION >> 2] = record;
      const length = wasm.writeDownstreamHead(L.OUTPUT_RING, 65_536, listener, int(L.ROUTE_POLICY), 0, 1, 1);
      return core.text(L.OUTPUT_RING, length);
    };
    const [, value] = /set-cookie: affinity="([0-9a-f]{16})"; Max-Age=60; Path=\/shop; SameSite=Lax; HttpOnly\r\n/.exec(
      write(2),
    )!;
    expect(write(0)).not.toContain('set-cookie');
    // The client comes back with it, on this connection or another one.
    expect(hash({ cookie: `affinity="${value}"` })).toBe(1);
    expect(wasm.pick(tables.clusterSlot('c'), 0, 1)).toBe(made);
    expect(hash({}, '/', record)).toBe(5);
    expect(wasm.pick(tables.clusterSlot('c'), 0, 1)).toBe(made);
    core.connections.release(record);
  });

  it('make no cookie without a ttl, and a session cookie for 0 s', () => {
    use([cluster('RING_HASH', hosts(5))], [{ cookie: { name: 'affinity' } }]);
    expect(hash({})).toBe(0);
    use([cluster('RING_HASH', hosts(5))], [{ cookie: { name: 'affinity', ttl: '0s' } }]);
    expect(hash({ cookie: 'affinity=' })).toBe(3);
  });

  it('trust x-forwarded-for by the number of trusted hops', () => {
    use([cluster('RING_HASH', hosts(5))], [{ connectionProperties: { sourceIp: true } }]);
    const hashOf = (useRemoteAddress: boolean, xffNumTrustedHops: number, forwarded: string) => {
      const edge = options({ useRemoteAddress, xffNumTrustedHops });
      const length = put(`GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: ${forwarded}\r\n\r\n`);
      wasm.parseRequest(L.READ_BUFFER, length, 0, edge, connection);
      wasm.route(tables.routeConfigSlot('r'), -1, 0);
      expect(wasm.hashRequest(edge, connection)).toBe(1);
      return core.bytes.readBigUInt64LE(H.PICK_HASH);
    };
    const of = (address: string) => xxHash64(Buffer.from(address), 0n);
    expect(hashOf(true, 0, '1.1.1.1, 2.2.2.2')).toBe(of('127.0.0.1'));
    expect(hashOf(true, 1, '1.1.1.1, 2.2.2.2')).toBe(of('2.2.2.2'));
    expect(hashOf(true, 2, '1.1.1.1 , 2.2.2.2')).toBe(of('1.1.1.1'));
    expect(hashOf(false, 0, '1.1.1.1,::1')).toBe(of('::1'));
    expect(hashOf(false, 1, '1.1.1.1,::1')).toBe(of('1.1.1.1'));
    expect(hashOf(false, 5, '1.1.1.1')).toBe(of('127.0.0.1'));
    expect(hashOf(false, 0, 'localhost')).toBe(of('127.0.0.1'));
  });
});

describe('what cannot be done is refused by name', () => {
  const refusal = (json: Json, hashPolicy: Json[] = []) => {
    const route = { match: { prefix: '/' }, route: { cluster: 'c', hashPolicy } };
    const virtualHosts = [{ name: 'v', domains: ['*'], routes: [route] }];
    const result = tables.compile({
      routeConfigurations: [fromJson(RouteConfigurationSchema, { name: 'r', virtualHosts })],
      clusters: [{ cluster: fromJson(ClusterSchema, json) }],
      nowMs: 0,
    });
    return result.problems.map(({ path, message }) => `${path} ${message}`).join('\n');
  };

  it.each([
    ['MAGLEV', { maglevLbConfig: { tableSize: '100' } }, 'maglev_lb_config.table_size 100 is not a prime'],
    ['RING_HASH', { ringHashLbConfig: { minimumRingSize: '9000000' } }, 'more than maximum_ring_size'],
    ['RING_HASH', { ringHashLbConfig: { minimumRingSize: '9', maximumRingSize: '8' } }, 'more than maximum_ring_size'],
    ['RING_HASH', { ringHashLbConfig: { hashFunction: 'MURMUR_HASH_2' } }, 'hash_function is not supported'],
  ] as const)('%s %j', (policy, more, message) => {
    expect(refusal(cluster(policy, hosts(2), more))).toContain(message);
  });

  it.each([
    [{ cookie: { name: 'a;b' } }, 'is not the name of a cookie'],
    [{ cookie: { name: 'a', path: '/; Domain=x' } }, 'is not the path of a cookie'],
    [{ cookie: { name: 'a', attributes: [{ name: 'x', value: 'a;b' }] } }, 'is not an attribute of a cookie'],
    [{ header: { headerName: 'a b' } }, 'header_name "a b" is not one'],
    [{ connectionProperties: {} }, 'source_ip must be true'],
    [{ filterState: { key: 'a' } }, 'must have header, cookie'],
  ] as const)('%j', (policy, message) => {
    expect(refusal(cluster('RING_HASH', hosts(1)), [policy as Json])).toContain(message);
  });
});
