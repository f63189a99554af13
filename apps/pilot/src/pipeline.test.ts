// Pilot as a whole, in process: Galley, supervisor and proxies speak real gRPC over mTLS with it.

import { credentials as grpcCredentials, status } from '@grpc/grpc-js';
import { grpcChannelCredentials } from '@lateen/identity';
import { TYPE_URL } from '@lateen/xds-proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Pilot } from './pipeline.js';
import { TestMesh } from './test-mesh.js';
import { clustersOf, TestProxy, type TestProxyOptions } from './test-proxy.js';

const REVIEWS = 'reviews.default.svc.cluster.local';
const VIRTUAL_SERVICE = 'networking.istio.io/VirtualService';
const DESTINATION_RULE = 'networking.istio.io/DestinationRule';
const PEER_AUTHENTICATION = 'security.istio.io/PeerAuthentication';

/** productpage, and reviews in three versions. */
const REGISTRY = {
  sequence: 7n,
  namespaces: [{ name: 'default' }],
  services: ['productpage', 'reviews'].map((name) => ({
    namespace: 'default',
    name,
    selector: { app: name },
    ports: [{ name: 'http', port: 9080, targetPort: 9080 }],
  })),
  workloads: [
    pod('productpage', 'v1', '127.9.0.10'),
    ...['v1', 'v2', 'v3'].map((v, i) => pod('reviews', v, `127.9.0.2${i}`)),
  ],
};

function pod(app: string, version: string, address: string) {
  return {
    name: `${app}-${version}`,
    namespace: 'default',
    labels: { app, version },
    serviceAccount: `bookinfo-${app}`,
    workloadName: `${app}-${version}`,
    address,
    ports: [{ port: 9080, appPort: 40_000, name: 'http' }],
    ready: true,
    serviceAddresses: { [REVIEWS]: '127.9.1.1', 'productpage.default.svc.cluster.local': '127.9.1.2' },
  };
}

function subsets(...names: string[]) {
  return {
    typeUrl: DESTINATION_RULE,
    namespace: 'default',
    name: 'reviews',
    spec: { host: 'reviews', subsets: names.map((name) => ({ name, labels: { version: name } })) },
  };
}

function weights(shares: Record<string, number>) {
  const route = Object.entries(shares).map(([subset, weight]) => ({
    destination: { host: 'reviews', subset },
    weight,
  }));
  return {
    typeUrl: VIRTUAL_SERVICE,
    namespace: 'default',
    name: 'reviews',
    spec: { hosts: ['reviews'], http: [{ route }] },
  };
}

let mesh: TestMesh;
beforeEach(async () => {
  mesh = await TestMesh.create();
});
afterEach(() => mesh.close());

async function connect(pilot: Pilot, options: Partial<TestProxyOptions> = {}): Promise<TestProxy> {
  const source = await mesh.source('bookinfo-productpage', 'default');
  const proxy = new TestProxy({
    target: `127.0.0.1:${pilot.ports.xds}`,
    credentials: grpcChannelCredentials(source, { expectedSpiffeIds: [mesh.id('pilot')] }),
    form: 'delta',
    pod: 'productpage-v1',
    namespace: 'default',
    serviceAccount: 'bookinfo-productpage',
    address: '127.9.0.10',
    ...options,
  });
  mesh.onClose(() => proxy.close());
  return proxy;
}

async function syncStatus(pilot: Pilot): Promise<string[]> {
  const { body } = await mesh.debug(pilot, '/debug/syncz');
  return (body as { proxyId: string; types: { type: string; status: string }[] }[]).flatMap(({ proxyId, types }) =>
    types.map(({ type, status: synced }) => `${proxyId} ${type} ${synced}`),
  );
}

const ALL_SYNCED = ['CDS', 'EDS', 'LDS', 'RDS'].map((type) => `productpage-v1.default ${type} SYNCED`);

test.each(['sotw', 'delta'] as const)(
  'a %s client gets a consistent set in order; a new subset is made before it is used',
  async (form) => {
    await mesh.startGalley();
    mesh.apply(subsets('v1'), weights({ v1: 100 }));
    const pilot = await mesh.startPilot({ removalGraceMs: 100 });
    expect(await mesh.report(pilot, REGISTRY)).toBe(7n);
    // Listeners wait for a first subscription to endpoints only so long: another proxy takes what a cold start costs.
    const other = await connect(pilot, { form });
    await expect.poll(() => other.names(TYPE_URL.route)).toContain('9080');
    other.close();
    await expect.poll(() => syncStatus(pilot)).toEqual([]);
    const proxy = await connect(pilot, { form });
    await expect.poll(() => syncStatus(pilot)).toEqual(ALL_SYNCED);
    expect([...new Set(proxy.order)]).toEqual(['CDS', 'EDS', 'LDS', 'RDS']);
    expect(proxy.names(TYPE_URL.cluster)).toContain(`outbound|9080|v1|${REVIEWS}`);
    expect(proxy.names(TYPE_URL.listener)).toContain('127.9.0.10_9080');

    // There: a cluster that did not exist before.
    const v3 = `outbound|9080|v3|${REVIEWS}`;
    proxy.log.length = 0;
    mesh.apply(subsets('v1', 'v3'), weights({ v1: 50, v3: 50 }));
    await expect.poll(() => clustersOf(proxy.route('9080'))).toContain(v3);
    const made = proxy.log.filter((line) => line === `CDS ${v3}` || line === `EDS ${v3}` || line === 'RDS 9080');
    expect([...new Set(made)]).toEqual([`CDS ${v3}`, `EDS ${v3}`, 'RDS 9080']);

    // And back: the cluster goes last.
    proxy.log.length = 0;
    mesh.apply(subsets('v1'), weights({ v1: 100 }));
    await expect.poll(() => proxy.names(TYPE_URL.cluster)).not.toContain(v3);
    const broken = proxy.log.filter((line) => line === `CDS -${v3}` || line === 'RDS 9080');
    expect([...new Set(broken)]).toEqual(['RDS 9080', `CDS -${v3}`]);
    expect(proxy.violations).toEqual([]);
    await expect.poll(() => syncStatus(pilot)).toEqual(ALL_SYNCED);
  },
);

test('changing weights twenty times back and forth never leaves a route without its cluster', async () => {
  await mesh.startGalley();
  mesh.apply(subsets('v1'), weights({ v1: 100 }));
  const pilot = await mesh.startPilot({ removalGraceMs: 30 });
  await mesh.report(pilot, REGISTRY);
  const proxies = [await connect(pilot, { form: 'sotw' }), await connect(pilot, { form: 'delta' })];
  const v3 = `outbound|9080|v3|${REVIEWS}`;
  for (let turn = 0; turn < 20; turn++) {
    const there = turn % 2 === 0;
    if (there) mesh.apply(subsets('v1', 'v3'), weights({ v1: 50, v3: 50 }));
    else mesh.apply(subsets('v1'), weights({ v1: 100 }));
    for (const proxy of proxies) {
      await expect
        .poll(() => proxy.names(TYPE_URL.route).includes('9080') && clustersOf(proxy.route('9080')).has(v3))
        .toBe(there);
    }
  }
  expect(proxies.map(({ violations }) => violations)).toEqual([[], []]);
});

test('nothing is sent before the first report and the first configuration', async () => {
  const pilot = await mesh.startPilot();
  const proxy = await connect(pilot);
  await expect.poll(() => syncStatus(pilot)).toContain('productpage-v1.default LDS NOT SENT');
  const ready = async () => (await fetch(`http://127.0.0.1:${pilot.ports.monitoring}/ready`)).text();
  expect(await ready()).toMatch(/no workload registry report/);
  await mesh.report(pilot, REGISTRY);
  expect(await ready()).toMatch(/no configuration from galley/);
  expect(proxy.order).toEqual([]);
});

test('a restarted Pilot serves what it knew, without Galley and without a new report', async () => {
  const galley = await mesh.startGalley();
  mesh.apply(subsets('v1', 'v2'), weights({ v2: 100 }));
  const first = await mesh.startPilot();
  await mesh.report(first, REGISTRY);
  const before = await connect(first);
  await expect.poll(() => before.names(TYPE_URL.route)).toContain('9080');
  await expect.poll(() => syncStatus(first)).toEqual(ALL_SYNCED);
  await galley.close(0);
  await first.stop();

  const second = await mesh.startPilot();
  const ready = await fetch(`http://127.0.0.1:${second.ports.monitoring}/ready`);
  expect(ready.status).toBe(200);
  const again = await connect(second, { initial: before.versions() });
  // It holds everything already: nothing but the answers to the two wildcards comes.
  await expect.poll(() => again.order).toEqual(['CDS', 'LDS']);
  expect(again.log).toEqual([]);
  const fresh = await connect(second);
  await expect.poll(() => fresh.names(TYPE_URL.route)).toContain('9080');
  expect(clustersOf(fresh.route('9080'))).toContain(`outbound|9080|v2|${REVIEWS}`);

  // When Galley returns, what changed meanwhile arrives.
  mesh.apply(weights({ v1: 100 }));
  await mesh.startGalley();
  await expect
    .poll(() => clustersOf(fresh.route('9080')), { timeout: 10_000 })
    .toContain(`outbound|9080|v1|${REVIEWS}`);
});

test('a NACK is shown with its text, and counted', async () => {
  await mesh.startGalley();
  mesh.apply(subsets('v1', 'v2'), weights({ v1: 100 }));
  const pilot = await mesh.startPilot();
  await mesh.report(pilot, REGISTRY);
  const proxy = await connect(pilot);
  await expect.poll(() => syncStatus(pilot)).toEqual(ALL_SYNCED);
  proxy.rejectNext = { type: 'RDS', error: 'virtual_hosts[0]: no thanks' };
  mesh.apply(weights({ v2: 100 }));
  await expect.poll(() => syncStatus(pilot)).toContain('productpage-v1.default RDS NACK');
  const { body } = await mesh.debug(pilot, '/debug/syncz');
  expect(JSON.stringify(body)).toContain('virtual_hosts[0]: no thanks');
  const metrics = await (await fetch(`http://127.0.0.1:${pilot.ports.monitoring}/metrics`)).text();
  expect(metrics).toContain('pilot_total_xds_rejects{type="rds"} 1');
  expect(metrics).toContain('pilot_xds{version="9.9.9"} 1');
  expect(metrics).toContain('pilot_services 2');
  expect(metrics).toMatch(/pilot_xds_pushes\{type="cds"\} \d/);
  expect(metrics).toMatch(/pilot_proxy_convergence_time_count [1-9]/);
  expect(metrics).toMatch(/pilot_conflict_inbound_listener 0/);
  mesh.apply(weights({ v1: 50, v2: 50 }));
  await expect.poll(() => syncStatus(pilot)).toEqual(ALL_SYNCED);
});

test('a proxy is served only as itself', async () => {
  await mesh.startGalley();
  const pilot = await mesh.startPilot();
  await mesh.report(pilot, REGISTRY);
  const impostor = await connect(pilot, { serviceAccount: 'bookinfo-reviews' });
  expect(await impostor.ended).toMatchObject({
    code: status.PERMISSION_DENIED,
    details: expect.stringContaining('a proxy is served only as itself'),
  });
  const elsewhere = await connect(pilot, { namespace: 'other' });
  expect(await elsewhere.ended).toMatchObject({ code: status.PERMISSION_DENIED });
  const nobody = await connect(pilot, { address: 'not-an-address' });
  expect(await nobody.ended).toMatchObject({ code: status.INVALID_ARGUMENT });
  expect([impostor.order, elsewhere.order, nobody.order]).toEqual([[], [], []]);
  await expect(mesh.report(pilot, REGISTRY, 'bookinfo-productpage')).rejects.toMatchObject({
    code: status.PERMISSION_DENIED,
  });
});

test('plaintext on loopback serves the same', async () => {
  await mesh.startGalley();
  mesh.apply(subsets('v1'), weights({ v1: 100 }));
  const pilot = await mesh.startPilot();
  await mesh.report(pilot, REGISTRY);
  const target = `127.0.0.1:${pilot.ports.plaintext}`;
  const proxy = await connect(pilot, { form: 'sotw', target, credentials: grpcCredentials.createInsecure() });
  await expect.poll(() => proxy.names(TYPE_URL.route)).toContain('9080');
  expect(proxy.violations).toEqual([]);
});

test('the debug API shows what is served, to those who may see it', async () => {
  await mesh.startGalley();
  mesh.apply(subsets('v1'), weights({ v1: 100 }), {
    typeUrl: PEER_AUTHENTICATION,
    namespace: 'default',
    name: 'default',
    spec: { mtls: { mode: 'STRICT' } },
  });
  const pilot = await mesh.startPilot();
  await mesh.report(pilot, REGISTRY);
  await connect(pilot);
  await expect.poll(() => syncStatus(pilot)).toEqual(ALL_SYNCED);

  const dump = await mesh.debug(pilot, '/debug/config_dump?proxyID=productpage-v1.default');
  expect(dump.body).toMatchObject({
    configs: [
      { '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump' },
      {
        dynamic_endpoint_configs: expect.arrayContaining([
          expect.objectContaining({
            endpoint_config: expect.objectContaining({ cluster_name: `outbound|9080||${REVIEWS}` }),
          }),
        ]),
      },
      {
        dynamic_listeners: expect.arrayContaining([
          expect.objectContaining({ name: '127.9.1.1_9080', active_state: expect.anything() }),
        ]),
      },
      {
        dynamic_route_configs: expect.arrayContaining([
          expect.objectContaining({ route_config: expect.objectContaining({ name: '9080' }) }),
        ]),
      },
    ],
  });
  const missing = await mesh.debug(pilot, '/debug/config_dump?proxyID=nobody.default');
  expect(missing).toMatchObject({ status: 404, body: { error: expect.stringContaining('productpage-v1.default') } });

  const authn = await mesh.debug(pilot, '/debug/authn?proxyID=productpage-v1.default');
  expect(authn.body).toMatchObject({
    connected: true,
    inbound: [{ port: 9080, mode: 'STRICT', authnPolicy: 'default/default' }],
    outbound: expect.arrayContaining([
      expect.objectContaining({
        host: REVIEWS,
        port: 9080,
        subset: 'v1',
        status: 'OK',
        server: ['STRICT'],
        client: 'ISTIO_MUTUAL',
        authnPolicy: 'default/default',
        destinationRule: 'default/reviews',
      }),
    ]),
  });
  const registry = await mesh.debug(pilot, '/debug/registryz');
  expect(registry.body).toMatchObject({
    services: [{ name: 'productpage' }, { hostname: REVIEWS, endpoints: [{ ready: true }, {}, {}] }],
    workloads: expect.arrayContaining([
      expect.objectContaining({ name: 'reviews-v2', address: '127.9.0.21', ready: true }),
    ]),
  });
  expect((await mesh.debug(pilot, '/debug/snapshot')).body).toMatchObject({
    configs: { DestinationRule: 1, PeerAuthentication: 1, VirtualService: 1 },
    proxies: [{ proxyId: 'productpage-v1.default', faults: [] }],
  });
  const made = await mesh.debug(pilot, '/debug/mesh');
  expect(made.body).toMatchObject({
    configs: expect.arrayContaining([expect.objectContaining({ kind: 'VirtualService', source: expect.anything() })]),
    workloads: expect.arrayContaining([expect.objectContaining({ name: 'reviews-v2', ready: true })]),
  });
  await expect(mesh.debug(pilot, '/debug/syncz', 'bookinfo-productpage')).rejects.toThrow();
});
