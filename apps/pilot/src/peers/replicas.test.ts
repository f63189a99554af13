// Peers: two replicas of Pilot on one cluster, and proxies of which each is connected to one of them.

import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { grpcChannelCredentials } from '@lateen/identity';
import { type KubeClient, resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import type { DistributionReport } from '@lateen/telemetry';
import { QUOTA_DOMAIN, RULE_KEY } from '@lateen/translate';
import { grpcService } from '@lateen/xds-proto';
import {
  type RateLimitQuotaResponse,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
  RateLimitQuotaUsageReportsSchema,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SERVICE_OF_SLICE } from '../kubernetes/service-of-cluster.js';
import { putPod, putService, SIDECAR } from '../kubernetes/test-cluster.js';
import type { Pilot } from '../pipeline.js';
import { CALLER_METADATA } from '../quota/quota-relay.js';
import { TestMesh } from '../test-mesh.js';
import { TestProxy } from '../test-proxy.js';

let mesh: TestMesh;
let api: FakeApiServer;
let cluster: KubeClient;

beforeEach(async () => {
  mesh = await TestMesh.create();
  api = await FakeApiServer.start();
  cluster = api.client();
  mesh.onClose(() => api.stop());
  await mesh.startGalley();
  api.put(resourceTypes.namespaces, { metadata: { name: 'shop' } });
  putService(api, 'pilot', 'istio-system');
  for (const [name, ip] of [
    ['one', '10.0.9.1'],
    ['two', '10.0.9.2'],
  ] as const) {
    putPod(api, { name, ip, serviceAccount: name, proxy: SIDECAR });
  }
});
afterEach(() => mesh.close());

/** Says at which ports a replica is, as the cluster's controllers do once it is ready. */
function putReplica(name: string, { ports }: Pilot): void {
  putPod(api, { name, namespace: 'istio-system', ip: '127.0.0.1' });
  api.put(resourceTypes.endpointSlices, {
    metadata: { name: `pilot-${name}`, namespace: 'istio-system', labels: { [SERVICE_OF_SLICE]: 'pilot' } },
    addressType: 'IPv4',
    ports: [
      { name: 'grpc-xds', port: ports.xds },
      { name: 'https-admin', port: ports.admin },
    ],
    endpoints: [
      {
        addresses: ['127.0.0.1'],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', namespace: 'istio-system', name },
      },
    ],
  });
}

async function startReplicas(): Promise<[Pilot, Pilot]> {
  const a = await mesh.startPilot({ cluster, self: 'pilot-a' });
  const b = await mesh.startPilot({ cluster, self: 'pilot-b' });
  putReplica('pilot-a', a);
  putReplica('pilot-b', b);
  return [a, b];
}

async function credentialsOf(pod: string, namespace = 'shop') {
  return grpcChannelCredentials(await mesh.source(pod, namespace), { expectedSpiffeIds: [mesh.id('pilot')] });
}

async function connect(pilot: Pilot, pod: string, address: string): Promise<TestProxy> {
  const proxy = new TestProxy({
    target: `127.0.0.1:${pilot.ports.xds}`,
    credentials: await credentialsOf(pod),
    form: 'delta',
    pod,
    namespace: 'shop',
    serviceAccount: pod,
    address,
  });
  mesh.onClose(() => proxy.close());
  return proxy;
}

const ids = (body: unknown) => (body as readonly { readonly proxyId: string }[]).map(({ proxyId }) => proxyId);

test('either replica answers for the proxies of both, and waits for both to have taken a change', async () => {
  const [a, b] = await startReplicas();
  const one = await connect(a, 'one', '10.0.9.1');
  const two = await connect(b, 'two', '10.0.9.2');
  for (const pilot of [a, b]) {
    await expect
      .poll(async () => ids((await mesh.debug(pilot, '/debug/syncz')).body), { timeout: 10_000 })
      .toEqual(['one.shop', 'two.shop']);
  }
  expect(ids((await mesh.debug(a, '/debug/syncz?own=true')).body)).toEqual(['one.shop']);
  expect((await mesh.debug(a, '/debug/config_dump?proxyID=two.shop')).status).toBe(200);
  expect((await mesh.debug(a, '/debug/config_dump?proxyID=three.shop')).status).toBe(404);

  const all = '/debug/distribution?present=true&timeoutMs=10000&proxyID=one.shop&proxyID=two.shop';
  const report = async (path: string) => (await mesh.debug(a, path)).body as DistributionReport;
  expect(await report(all)).toEqual({
    complete: true,
    proxies: [expect.objectContaining({ proxyId: 'one.shop' }), expect.objectContaining({ proxyId: 'two.shop' })],
  });
  // What one at the other replica refuses is told as well.
  two.rejectNext = { type: 'CDS', error: 'not this one' };
  putService(api, 'web');
  await expect.poll(() => one.log.some((line) => line.includes('web.shop'))).toBe(true);
  const refused = await report(all);
  expect(refused.complete).toBe(false);
  expect(refused.proxies).toMatchObject([{ state: 'taken' }, { proxyId: 'two.shop', state: 'refused' }]);
  const absent = await report('/debug/distribution?present=true&timeoutMs=300&proxyID=three.shop');
  expect(absent.waitingFor).toBe('three.shop, which is not connected to any replica of pilot');
  // A replica that is said to serve, and does not.
  await b.stop();
  expect((await report('/debug/distribution?present=true&timeoutMs=300')).waitingFor).toMatch(
    /^pilot-b, which cannot be asked: /,
  );
  expect(ids((await mesh.debug(a, '/debug/syncz')).body)).toEqual(['one.shop']);
}, 30_000);

/** Requests a second that a proxy's last quota lets through. It reports 100 requests in 200 ms, and comes back where it is sent away. */
async function quotaOf(pilot: Pilot, pod: string, caller = ''): Promise<{ share: number; readonly streams: number }> {
  const namespace = pod === 'stranger' ? 'elsewhere' : 'shop';
  const client = new Client(`127.0.0.1:${pilot.ports.xds}`, await credentialsOf(pod, namespace));
  const method = grpcService(RateLimitQuotaService).streamRateLimitQuotas!;
  const metadata = new Metadata();
  if (caller !== '') metadata.set(CALLER_METADATA, Buffer.from(caller));
  const seen = { share: 0, streams: 0 };
  const open = () => {
    seen.streams += 1;
    const stream: ClientDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse> = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize as never,
      method.responseDeserialize as never,
      metadata,
    );
    stream.on('data', ({ bucketAction: actions }: RateLimitQuotaResponse) => {
      for (const { bucketAction } of actions) {
        const strategy =
          bucketAction.case === 'quotaAssignmentAction' ? bucketAction.value.rateLimitStrategy?.strategy : undefined;
        if (strategy?.case !== 'tokenBucket') continue;
        const { tokensPerFill, fillInterval } = strategy.value;
        const seconds = Number(fillInterval?.seconds) + Number(fillInterval?.nanos) / 1e9;
        seen.share = Math.round((tokensPerFill ?? 0) / seconds);
      }
    });
    stream.on('error', () => {
      current = undefined;
    });
    return stream;
  };
  let current: ReturnType<typeof open> | undefined;
  const timer = setInterval(() => {
    current ??= open();
    current.write(
      create(RateLimitQuotaUsageReportsSchema, {
        domain: QUOTA_DOMAIN,
        bucketQuotaUsages: [
          {
            bucketId: { bucket: { [RULE_KEY]: 'shop/limit/all' } },
            timeElapsed: { seconds: 0n, nanos: 200_000_000 },
            numRequestsAllowed: 100n,
          },
        ],
      }),
    );
  }, 200);
  mesh.onClose(() => {
    clearInterval(timer);
    current?.cancel();
    client.close();
  });
  return seen;
}

test('a mesh-wide limit is divided among the proxies of both, by one of them, and by the other when that one goes', async () => {
  mesh.apply({
    typeUrl: 'lateen.io/RateLimit',
    namespace: 'shop',
    name: 'limit',
    spec: { rules: [{ name: 'all', scope: 'MESH', limit: { requests: 500, per: '1s' } }] },
  });
  const [a, b] = await startReplicas();
  // From another namespace, and says that it were one of this: only replicas are believed that.
  const stranger = await quotaOf(b, 'stranger', mesh.id('two', 'shop'));
  const one = await quotaOf(a, 'one');
  const two = await quotaOf(b, 'two');
  await expect.poll(() => [one.share, two.share], { timeout: 20_000 }).toEqual([250, 250]);
  expect(stranger.share).toBe(0);
  expect(stranger.streams).toBeGreaterThan(0);
  await a.stop();
  api.remove(resourceTypes.endpointSlices, 'istio-system', 'pilot-pilot-a');
  await expect.poll(() => two.share, { timeout: 20_000 }).toBe(500);
}, 60_000);
