// Distribution, over real gRPC: who asks is answered when every proxy has taken a version of Galley's, or one has refused it.

import { grpcChannelCredentials } from '@lateen/identity';
import type { DistributionReport } from '@lateen/telemetry';
import { TYPE_URL } from '@lateen/xds-proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Pilot } from '../pipeline.js';
import { TestMesh } from '../test-mesh.js';
import { TestProxy } from '../test-proxy.js';

const VIRTUAL_SERVICE = 'networking.istio.io/VirtualService';
const REVIEWS = 'reviews.default.svc.cluster.local';
const REGISTRY = {
  sequence: 1n,
  namespaces: [{ name: 'default' }],
  services: [
    { namespace: 'default', name: 'reviews', selector: { app: 'reviews' }, ports: [{ name: 'http', port: 9080 }] },
  ],
  workloads: ['a', 'b'].map((name, index) => ({
    name,
    namespace: 'default',
    labels: { app: name },
    serviceAccount: 'caller',
    workloadName: name,
    address: `127.9.0.1${index}`,
    ready: true,
    serviceAddresses: { [REVIEWS]: `127.9.1.1${index}` },
  })),
};

/** `timeout` gives it another content. */
const rule = (timeout: string | undefined) => ({
  typeUrl: VIRTUAL_SERVICE,
  namespace: 'default',
  name: 'reviews',
  ...(timeout === undefined
    ? {}
    : { spec: { hosts: ['reviews'], http: [{ timeout, route: [{ destination: { host: 'reviews' } }] }] } }),
});

let mesh: TestMesh;
let pilot: Pilot;
let proxies: TestProxy[];
beforeEach(async () => {
  mesh = await TestMesh.create();
  await mesh.startGalley();
  mesh.apply(rule('1s'));
  pilot = await mesh.startPilot();
  await mesh.report(pilot, REGISTRY);
  proxies = await Promise.all(REGISTRY.workloads.map(({ name, address }) => connect(name, address)));
});
afterEach(() => mesh.close());

async function connect(pod: string, address: string): Promise<TestProxy> {
  const source = await mesh.source('caller', 'default');
  const credentials = grpcChannelCredentials(source, { expectedSpiffeIds: [mesh.id('pilot')] });
  const target = `127.0.0.1:${pilot.ports.xds}`;
  const fields = { form: 'delta', namespace: 'default', serviceAccount: 'caller' } as const;
  const proxy = new TestProxy({ target, credentials, pod, address, ...fields });
  mesh.onClose(() => proxy.close());
  await expect.poll(() => proxy.names(TYPE_URL.route)).toContain('9080');
  return proxy;
}

async function ask(query: string): Promise<DistributionReport> {
  const { status, body } = await mesh.debug(pilot, `/debug/distribution?${query}`);
  expect(status).toBe(200);
  return body as DistributionReport;
}

const TAKEN = { complete: true, proxies: ['a', 'b'].map((name) => ({ proxyId: `${name}.default`, state: 'taken' })) };

test('answers when all have taken a version, and when they have lost what is gone', async () => {
  // The test's Galley counts each object: the rule is 1, and what changes next 2, 3, ...
  expect(await ask(`config=${VIRTUAL_SERVICE}@1&timeoutMs=20000`)).toEqual(TAKEN);
  const asked = ask(`config=${VIRTUAL_SERVICE}@2&timeoutMs=20000`);
  mesh.apply(rule('2s'));
  expect(await asked).toEqual(TAKEN);
  for (const proxy of proxies) {
    expect(
      JSON.stringify(proxy.route('9080'), (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
    ).toContain('"seconds":"2"');
  }

  const gone = ask(`absent=${VIRTUAL_SERVICE}@default/reviews&proxyID=a.default&timeoutMs=20000`);
  mesh.apply(rule(undefined));
  expect(await gone).toEqual({ complete: true, proxies: [TAKEN.proxies[0]] });
  // Nothing is named: everything that Pilot knows of.
  expect(await ask('timeoutMs=20000')).toEqual(TAKEN);
  expect(await ask('proxyID=absent.default&timeoutMs=50')).toEqual({
    complete: false,
    waitingFor: 'absent.default, which is not connected to pilot',
    proxies: [],
  });
});

test('says who refused it, with the reason, and what has not come when the time is over', async () => {
  proxies[1]!.rejectNext = { type: 'RDS', error: 'too many routes' };
  mesh.apply(rule('3s'));
  expect(await ask(`config=${VIRTUAL_SERVICE}@2&timeoutMs=20000`)).toEqual({
    complete: false,
    proxies: [
      TAKEN.proxies[0],
      { proxyId: 'b.default', state: 'refused', reasons: [{ type: 'RDS', reason: 'too many routes' }] },
    ],
  });
  expect(await ask(`config=${VIRTUAL_SERVICE}@9&timeoutMs=50`)).toEqual({
    complete: false,
    waitingFor: 'VirtualService of version 9 from galley',
    proxies: [],
  });
  expect((await mesh.debug(pilot, '/debug/distribution?config=VirtualService')).status).toBe(400);
});
