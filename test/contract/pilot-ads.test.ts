// Contract of the control plane with any xDS client: configuration goes into a real Galley, workloads into a real Pilot,
// and a state-of-the-world and an incremental client get the same consistent set, in order, also while it changes.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { grpcChannelCredentials } from '@lateen/identity';
import { TYPE_URL } from '@lateen/xds-proto';
import type { RegistryReportSchema } from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ControlPlaneProcesses, systemId } from '../harness/control-plane-processes.js';
import { MeshOperator } from '../harness/mesh-operator.js';
import { waitUntil } from '../harness/wait-until.js';
import { DeltaAdsClient, type RawAdsClient, SotwAdsClient } from './ads-client.js';

const REVIEWS = 'reviews.default.svc.cluster.local';
const cluster = (subset: string) => `outbound|9080|${subset}|${REVIEWS}`;

const pod = (app: string, version: string, address: string) => ({
  name: `${app}-${version}`,
  namespace: 'default',
  labels: { app, version },
  serviceAccount: `bookinfo-${app}`,
  workloadName: `${app}-${version}`,
  address,
  ports: [{ port: 9080, appPort: 40_000, name: 'http' }],
  ready: true,
  serviceAddresses: { [REVIEWS]: '127.9.1.1' },
});

const REGISTRY: MessageInitShape<typeof RegistryReportSchema> = {
  sequence: 1n,
  namespaces: [{ name: 'default' }],
  services: ['productpage', 'reviews'].map((name) => ({
    namespace: 'default',
    name,
    selector: { app: name },
    ports: [{ name: 'http', port: 9080, targetPort: 9080 }],
  })),
  workloads: [
    pod('productpage', 'v1', '127.9.0.1'),
    pod('reviews', 'v1', '127.9.0.2'),
    pod('reviews', 'v3', '127.9.0.3'),
  ],
};

/** Subsets, and routes that divide the traffic among them. */
function documents(shares: Readonly<Record<string, number>>): string {
  const subsets = Object.keys(shares).map((name) => `{ name: ${name}, labels: { version: ${name} } }`);
  const routes = Object.entries(shares).map(
    ([subset, weight]) => `{ destination: { host: reviews, subset: ${subset} }, weight: ${weight} }`,
  );
  return [
    'apiVersion: networking.istio.io/v1',
    'kind: DestinationRule',
    'metadata: { name: reviews, namespace: default }',
    `spec: { host: reviews, subsets: [${subsets.join(', ')}] }`,
    '---',
    'apiVersion: networking.istio.io/v1',
    'kind: VirtualService',
    'metadata: { name: reviews, namespace: default }',
    `spec: { hosts: [reviews], http: [{ route: [${routes.join(', ')}] }] }`,
  ].join('\n');
}

const NODE = {
  id: 'sidecar~127.9.0.1~productpage-v1.default~default.svc.cluster.local',
  metadata: {
    NAMESPACE: 'default',
    SERVICE_ACCOUNT: 'bookinfo-productpage',
    INTERCEPTION_MODE: 'NONE',
    LATEEN_VERSION: '0.1.0',
  },
};

let plane: ControlPlaneProcesses;
let operator: MeshOperator;
let clients: readonly RawAdsClient[] = [];

beforeAll(async () => {
  plane = await ControlPlaneProcesses.start(['--removal-grace-ms', '100']);
  operator = await MeshOperator.connect(plane);
  const proxy = await plane.identity('bookinfo-productpage', 'default');
  const toPilot = { expectedSpiffeIds: [systemId('pilot')] };
  const pilot = `127.0.0.1:${plane.pilotPort}`;
  await waitUntil('galley to take configuration', () => apply(documents({ v1: 100 })));
  await waitUntil('pilot to take the registry', () => operator.report(REGISTRY));
  clients = [
    new SotwAdsClient(pilot, grpcChannelCredentials(proxy, toPilot), NODE),
    new DeltaAdsClient(pilot, grpcChannelCredentials(proxy, toPilot), NODE),
  ];
});

afterAll(async () => {
  for (const client of clients) client.close();
  operator?.close();
  await plane?.stop();
});

const apply = (content: string) => operator.apply('reviews.yaml', content);

/** Waits until both clients route to exactly these subsets, and hold no cluster of another. */
async function converged(...subsets: string[]): Promise<void> {
  const wanted = subsets.map(cluster).sort();
  await waitUntil(`both clients to route to ${subsets.join(' and ')}`, () =>
    clients.every((client) => {
      const routed = [...client.routedClusters()].filter((name) => name.endsWith(REVIEWS));
      const held = client.names(TYPE_URL.cluster).filter((name) => /\|v\d\|/.test(name));
      return routed.sort().join() === wanted.join() && held.join() === wanted.join();
    }),
  );
}

/** What a client's log says of these lines, each at its first place. */
function orderOf(client: RawAdsClient, ...lines: string[]): string[] {
  return [...new Set(client.log)].filter((line) => lines.includes(line));
}

test('both forms get the same consistent set', async () => {
  await converged('v1');
  for (const client of clients) {
    expect(client.names(TYPE_URL.cluster)).toEqual(
      expect.arrayContaining(['BlackHoleCluster', 'inbound|9080||', cluster(''), cluster('v1')]),
    );
    expect(client.names(TYPE_URL.listener)).toEqual(['127.9.0.1_15007', '127.9.0.1_9080', '127.9.1.1_9080']);
    expect(client.names(TYPE_URL.route)).toEqual(['9080', 'http_proxy']);
    expect(client.violations).toEqual([]);
  }
  expect(clients[0]!.content()).toEqual(clients[1]!.content());
});

test('a subset is there before it is used, and goes after it was', async () => {
  for (const client of clients) client.log.length = 0;
  await apply(documents({ v1: 50, v3: 50 }));
  await converged('v1', 'v3');
  for (const client of clients) {
    const there = [`CDS ${cluster('v3')}`, `EDS ${cluster('v3')}`, 'RDS 9080'];
    expect(orderOf(client, ...there)).toEqual(there);
    client.log.length = 0;
  }
  await apply(documents({ v1: 100 }));
  await converged('v1');
  for (const client of clients) {
    const back = ['RDS 9080', `CDS -${cluster('v3')}`];
    expect(orderOf(client, ...back)).toEqual(back);
    expect(client.violations).toEqual([]);
  }
  expect(clients[0]!.content()).toEqual(clients[1]!.content());
});

test('ten changes in a row never leave a route without its cluster or a cluster without its endpoints', async () => {
  for (let turn = 0; turn < 10; turn += 1) {
    await apply(documents(turn % 2 === 0 ? { v1: 50, v3: 50 } : { v1: 100 }));
    await waitUntil(`turn ${turn}`, () =>
      clients.every((client) => client.routedClusters().has(cluster('v3')) === (turn % 2 === 0)),
    );
  }
  for (const client of clients) expect(client.violations).toEqual([]);
});
