// Pilot on a cluster, in process: an API server's objects in, xDS out.

import { grpcChannelCredentials } from '@lateen/identity';
import { TestWebAuthority } from '@lateen/identity/testing';
import { type KubeClient, resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer, refuse } from '@lateen/kubernetes/testing';
import { TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Pilot } from '../pipeline.js';
import { TestMesh } from '../test-mesh.js';
import { TestProxy } from '../test-proxy.js';
import { GATEWAY, putPod, putSecret, putService, putSlice, SIDECAR } from './test-cluster.js';

const WEB = 'outbound|80||web.shop.svc.cluster.local';
let mesh: TestMesh;
let api: FakeApiServer;
let cluster: KubeClient;

beforeEach(async () => {
  mesh = await TestMesh.create();
  api = await FakeApiServer.start();
  cluster = api.client();
  mesh.onClose(() => api.stop());
  await mesh.startGalley();
});
afterEach(() => mesh.close());

async function connect(pilot: Pilot, pod: string, namespace: string, address: string, type: 'sidecar' | 'router') {
  const source = await mesh.source(pod, namespace);
  const proxy = new TestProxy({
    target: `127.0.0.1:${pilot.ports.xds}`,
    credentials: grpcChannelCredentials(source, { expectedSpiffeIds: [mesh.id('pilot')] }),
    form: 'delta',
    pod,
    namespace,
    serviceAccount: pod,
    address,
    type,
  });
  mesh.onClose(() => proxy.close());
  return proxy;
}

/** `10.0.0.1 istio` of each endpoint of a cluster. */
function endpoints(proxy: TestProxy, cluster: string): string[] | undefined {
  const resource = proxy.held.get(TYPE_URL.endpoint)?.get(cluster);
  if (resource === undefined) return undefined;
  return unpackAny(resource.any, ClusterLoadAssignmentSchema)
    .endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)
    .map(({ hostIdentifier, metadata }) => {
      const socket = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      const address = socket?.case === 'socketAddress' ? socket.value.address : '';
      return `${address} ${metadata?.filterMetadata['envoy.transport_socket_match']?.tlsMode ?? 'plain'}`;
    });
}

async function ready(pilot: Pilot): Promise<number> {
  return (await fetch(`http://127.0.0.1:${pilot.ports.monitoring}/ready`)).status;
}

test('proxies get the services and pods of the cluster, as they change, also from a Pilot that starts without it', async () => {
  putPod(api, { name: 'client', ip: '10.0.9.1', serviceAccount: 'client', proxy: SIDECAR });
  putService(api, 'web');
  putPod(api, { name: 'web-1', ip: '10.0.0.1', labels: { app: 'web' }, proxy: SIDECAR });
  putPod(api, { name: 'web-2', ip: '10.0.0.2', labels: { app: 'web' } });
  putSlice(api, 'web', [
    { name: 'web-1', ip: '10.0.0.1' },
    { name: 'web-2', ip: '10.0.0.2' },
  ]);
  const pilot = await mesh.startPilot({ cluster });
  await expect.poll(() => ready(pilot)).toBe(200);
  const proxy = await connect(pilot, 'client', 'shop', '10.0.9.1', 'sidecar');
  await expect.poll(() => endpoints(proxy, WEB)).toEqual(['10.0.0.1 istio', '10.0.0.2 plain']);
  // Who has no sidecar is called in plain text, and takes nothing else.
  const { body } = await mesh.debug(pilot, '/debug/authn?proxyID=client.shop');
  expect(body).toMatchObject({
    connected: true,
    outbound: [{ host: 'web.shop.svc.cluster.local', port: 80, client: 'MIXED', server: ['PERMISSIVE', 'DISABLE'] }],
  });
  putSlice(api, 'web', [{ name: 'web-2', ip: '10.0.0.2' }]);
  await expect.poll(() => endpoints(proxy, WEB)).toEqual(['10.0.0.2 plain']);
  // A pod gets its sidecar: it is another pod then, but the address may be that of before.
  putPod(api, { name: 'web-2', ip: '10.0.0.2', labels: { app: 'web' }, proxy: SIDECAR });
  await expect.poll(() => endpoints(proxy, WEB)).toEqual(['10.0.0.2 istio']);

  await pilot.stop();
  await api.stop();
  const second = await mesh.startPilot({ cluster });
  expect(await ready(second)).toBe(200);
  const again = await connect(second, 'client', 'shop', '10.0.9.1', 'sidecar');
  await expect.poll(() => endpoints(again, WEB)).toEqual(['10.0.0.2 istio']);
});

test('is not ready before everything has been listed, and nobody is served then', async () => {
  let isRefused = true;
  api.intercept = (_request, response, url) => {
    if (!isRefused || !url.pathname.endsWith('/pods')) return false;
    refuse(response, 403, 'Forbidden', 'pods is forbidden');
    return true;
  };
  const pilot = await mesh.startPilot({ cluster });
  await expect.poll(() => api.watches()).toBe(4);
  const answer = await fetch(`http://127.0.0.1:${pilot.ports.monitoring}/ready`);
  expect([answer.status, await answer.text()]).toEqual([503, expect.stringMatching(/pods: .*forbidden/)]);
  isRefused = false;
  await expect.poll(() => ready(pilot), { timeout: 10_000 }).toBe(200);
});

test('a gateway gets the Secret that its Gateway names, waits for no other, and keeps what it has where one is missing', async () => {
  const authority = await TestWebAuthority.create('authority');
  const shop = await authority.issue({ dnsNames: ['shop.example.com'] });
  putPod(api, {
    name: 'gateway',
    namespace: 'istio-system',
    ip: '10.0.8.1',
    labels: { istio: 'ingressgateway' },
    serviceAccount: 'gateway',
    proxy: GATEWAY,
  });
  putSecret(api, 'shop', { 'tls.crt': shop.certPem, 'tls.key': shop.keyPem });
  const server = (name: string, port: number) => ({
    port: { number: port, name: `https-${name}`, protocol: 'HTTPS' },
    hosts: [`${name}.example.com`],
    tls: { mode: 'SIMPLE', credentialName: name },
  });
  const gateway = (...servers: unknown[]) => ({
    typeUrl: 'networking.istio.io/Gateway',
    namespace: 'istio-system',
    name: 'shop',
    spec: { selector: { istio: 'ingressgateway' }, servers },
  });
  mesh.apply(gateway(server('shop', 8443)));
  const pilot = await mesh.startPilot({ cluster });
  await expect.poll(() => ready(pilot)).toBe(200);
  const proxy = await connect(pilot, 'gateway', 'istio-system', '10.0.8.1', 'router');
  await expect.poll(() => proxy.names(TYPE_URL.listener)).toEqual(['0.0.0.0_8443']);
  api.intercept = (_request, response, url) => {
    if (!url.searchParams.get('fieldSelector')?.endsWith('=other')) return false;
    refuse(response, 403, 'Forbidden', 'secrets "other" is forbidden');
    return true;
  };
  mesh.apply(gateway(server('shop', 8443), server('other', 9443)));
  await expect
    .poll(async () => (await mesh.debug(pilot, '/debug/secrets')).body)
    .toMatchObject([
      { name: 'other', state: 'refused', served: false, namedBy: ['Gateway/istio-system/shop'] },
      { name: 'shop', state: 'found', served: true },
    ]);
  await expect
    .poll(async () => JSON.stringify((await mesh.debug(pilot, '/debug/snapshot')).body))
    .toContain('Secret istio-system/other cannot be read');
  const metrics = await (await fetch(`http://127.0.0.1:${pilot.ports.monitoring}/metrics`)).text();
  expect(metrics).toContain('pilot_gateway_secrets{state="refused"} 1');
  expect(proxy.names(TYPE_URL.listener)).toEqual(['0.0.0.0_8443']);
  api.intercept = undefined;
  const other = await authority.issue({ dnsNames: ['other.example.com'] });
  putSecret(api, 'other', { cert: other.certPem, key: other.keyPem });
  await expect
    .poll(() => proxy.names(TYPE_URL.listener), { timeout: 20_000 })
    .toEqual(['0.0.0.0_8443', '0.0.0.0_9443']);
  expect(api.watches(resourceTypes.secrets)).toBe(2);
}, 30_000);
