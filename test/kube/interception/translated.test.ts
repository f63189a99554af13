// Interception tests: a stock Envoy behind redirect rules, with what Pilot makes for an intercepted pod: over ADS, by sockets.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StaticIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { buildResources, buildSnapshot, resolveProxyView, TranslationCache } from '@lateen/translate';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proxyOf, readMesh } from '../../../packages/translate/test/mesh-fixture.js';
import { adsResources, grpcCluster, loopback } from '../../harness/ads-bootstrap.js';
import { type ControlPlane, startControlPlane } from '../../harness/control-plane.js';
import { notTaken } from '../../harness/not-taken.js';
import { type SdsServer, startSdsServer } from '../../harness/sds-server.js';
import { obtainStockEnvoy } from '../../harness/stock-envoy.js';
import { waitUntil } from '../../harness/wait-until.js';
import { APP, CLIENT, POD, PodNetwork, PROXY, REDIRECT_RULES, type Running, whyNoNamespaces } from './pod-network.js';

const REVIEWS = { vip: '10.99.0.9', vip6: 'fd99::9', pod: '10.99.1.1' };
const DATABASE = { vip: '10.99.0.10', pod: '10.99.1.2' };
const PEERS = ['10.99.1.3', '10.99.1.4'] as const;
const WEB_VIP = '10.99.0.20';
const ELSEWHERE = '203.0.113.7';
const ALLOCATED = 'far.example.com';

const MESH = `
kind: Pod
metadata: { name: web-0, namespace: default, labels: { app: web } }
spec: { address: ${POD.ipv4}, serviceAccount: web, ports: [{ port: 8080, appPort: 8080 }, { port: 7001, appPort: 7001 }] }
---
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIPs: [${WEB_VIP}], selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }, { name: tcp, port: 7001 }] }
---
kind: Service
metadata: { name: reviews, namespace: default }
spec: { clusterIPs: [${REVIEWS.vip}, "${REVIEWS.vip6}"], selector: { app: reviews }, ports: [{ name: http, port: 9080 }] }
---
kind: Pod
metadata: { name: reviews-0, namespace: default, labels: { app: reviews } }
spec: { address: ${REVIEWS.pod}, mutualTls: false, ports: [9080] }
---
kind: Service
metadata: { name: database, namespace: default }
spec: { clusterIPs: [${DATABASE.vip}], selector: { app: database }, ports: [{ name: tcp, port: 9080, targetPort: 5432 }] }
---
kind: Pod
metadata: { name: database-0, namespace: default, labels: { app: database } }
spec: { address: ${DATABASE.pod}, mutualTls: false, ports: [5432] }
---
kind: Service
metadata: { name: peers, namespace: default }
spec: { clusterIP: None, selector: { app: peers }, ports: [{ name: tcp, port: 4000 }] }
---
kind: Pod
metadata: { name: peers-0, namespace: default, labels: { app: peers } }
spec: { address: ${PEERS[0]}, mutualTls: false, ports: [4000] }
---
kind: Pod
metadata: { name: peers-1, namespace: default, labels: { app: peers } }
spec: { address: ${PEERS[1]}, mutualTls: false, ports: [4000] }
---
kind: ServiceEntry
metadata: { name: far, namespace: default }
spec:
  hosts: [${ALLOCATED}]
  resolution: STATIC
  endpoints: [{ address: ${ELSEWHERE}, ports: { tcp: 4444 } }]
  ports: [{ number: 6000, name: tcp, protocol: TCP }]
`;

const STRICT = `
---
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: STRICT } }
`;

const REGISTRY_ONLY = `
---
kind: Sidecar
metadata: { name: default, namespace: default }
spec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY } }
`;

const obstacle = whyNoNamespaces();
const envoy = obstacle === undefined ? obtainStockEnvoy() : { missing: obstacle };
if (obstacle === undefined && 'missing' in envoy) console.error(`\nSKIPPED: ${envoy.missing}\n`);

/** Resources of the pod, and the table of names that belongs to them. */
function translated(text: string) {
  const input = readMesh(text);
  const metadata = { INTERCEPTION_MODE: 'REDIRECT', DNS_CAPTURE: 'true', INSTANCE_IPS: `${POD.ipv4},${POD.ipv6}` };
  const proxy = { ...proxyOf(input, 'web-0.default', metadata), understandsIstioFilters: false };
  const view = resolveProxyView(buildSnapshot(input), proxy, true);
  const { resources, faults } = new TranslationCache().translate(view);
  expect(faults).toEqual([]);
  return { resources, names: buildResources(view).names[0]!.message.table };
}

interface Answer {
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
}

describe.skipIf(!('path' in envoy))('a stock Envoy that intercepts by what Pilot says', () => {
  let network: PodNetwork;
  let directory: string;
  let control: ControlPlane;
  let sds: SdsServer;
  let proxy: Running;
  let version = 0;

  async function publish(text: string): Promise<void> {
    const snapshot = { version: `v${++version}`, resources: translated(text).resources };
    control.nacks.length = 0;
    control.publish(snapshot);
    await waitUntil('Envoy has it', () => control.nacks.length > 0 || notTaken(control.types(), snapshot).length === 0);
    expect(control.nacks).toEqual([]);
  }

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lateen-translated-'));
    chmodSync(directory, 0o755);
    const [xdsSocket, sdsSocket] = [join(directory, 'xds.sock'), join(directory, 'sds.sock')];
    const authority = await TestAuthority.create();
    const identity = await authority.issue({ namespace: 'default', serviceAccount: 'web' });
    sds = await startSdsServer(sdsSocket, new StaticIdentity(identity));
    control = await startControlPlane({ socket: xdsSocket });
    // The proxy is somebody else.
    for (const socket of [xdsSocket, sdsSocket]) chmodSync(socket, 0o777);
    network = new PodNetwork();
    network.addOutside(...Object.values(REVIEWS), ...Object.values(DATABASE), ...PEERS, ELSEWHERE);
    network.redirect(REDIRECT_RULES);
    const servers = [
      network.serve(CLIENT, 'http', 'reviews', REVIEWS.pod, '9080'),
      network.serve(CLIENT, 'tcp', 'database', DATABASE.pod, '5432'),
      ...PEERS.map((address) => network.serve(CLIENT, 'tcp', `peer ${address}`, address, '4000')),
      network.serve(CLIENT, 'tcp', 'elsewhere', ELSEWHERE, '4444'),
      network.serve(CLIENT, 'http', 'elsewhere', ELSEWHERE, '9080'),
      network.serve(APP, 'http', 'app', '0.0.0.0', '8080'),
      network.serve(APP, 'tcp', 'served', '0.0.0.0', '7001'),
      network.serve(APP, 'tcp', 'side', '0.0.0.0', '7000'),
    ];
    await waitUntil('the servers listen', () => servers.every((server) => server.output().includes('listening')));
    const bootstrap = join(directory, 'bootstrap.json');
    const pipe = (path: string) => ({ pipe: { path } });
    writeFileSync(
      bootstrap,
      JSON.stringify({
        node: { id: `sidecar~${POD.ipv4}~web-0.default~default.svc.cluster.local`, cluster: 'web.default' },
        admin: { address: loopback(15_000) },
        dynamic_resources: adsResources('DELTA_GRPC'),
        static_resources: {
          clusters: [grpcCluster('xds-grpc', pipe(xdsSocket)), grpcCluster('sds-grpc', pipe(sdsSocket))],
        },
      }),
    );
    const path = 'path' in envoy ? envoy.path : '';
    proxy = network.start(PROXY, [path, '-c', bootstrap, '--concurrency', '1', '--disable-hot-restart', '-l', 'warn']);
    await publish(MESH);
  });

  afterAll(async () => {
    await network?.close();
    control?.stop();
    sds?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const get = (place: typeof APP, ...words: string[]) => network.ask<Answer>(place, 'get', ...words);
  const talk = (place: typeof APP, address: string, port: string) => network.ask(place, 'talk', address, port, 'hello');
  const bodyOf = async (answer: Promise<Answer>): Promise<Record<string, string>> => {
    const { status, body = '' } = await answer;
    expect(status, `${body}\n${proxy.output()}`).toBe(200);
    return JSON.parse(body) as Record<string, string>;
  };

  test('leads HTTP by its Host, at the addresses of services of both families', async () => {
    expect(await bodyOf(get(APP, REVIEWS.vip, '9080', 'reviews'))).toMatchObject({ name: 'reviews', host: 'reviews' });
    expect(await bodyOf(get(APP, REVIEWS.vip6, '9080', 'reviews.default'))).toMatchObject({ name: 'reviews' });
    expect(await bodyOf(get(APP, REVIEWS.vip, '9080', `${REVIEWS.vip}:9080`))).toMatchObject({ name: 'reviews' });
  });

  test('leads TCP by the address, also on a port where others speak HTTP; its server speaks first', async () => {
    expect(await talk(APP, DATABASE.vip, '9080')).toMatchObject({ name: 'database', echoed: true });
  });

  test('reaches each pod of a headless service at its own address', async () => {
    for (const address of PEERS) {
      expect(await talk(APP, address, '4000')).toMatchObject({ name: `peer ${address}`, to: `${address}:4000` });
    }
  });

  test('takes connections to an address that was given to a host that has none', async () => {
    const address = translated(MESH).names[ALLOCATED]?.ips[0];
    expect(address).toMatch(/^240\.240\./);
    expect(await talk(APP, address ?? '', '6000')).toMatchObject({ name: 'elsewhere', to: `${ELSEWHERE}:4444` });
  });

  test('passes on what no service is for', async () => {
    expect(await talk(APP, ELSEWHERE, '4444')).toMatchObject({ name: 'elsewhere', to: `${ELSEWHERE}:4444` });
    expect(await bodyOf(get(APP, ELSEWHERE, '9080', 'unknown.example.com'))).toMatchObject({ name: 'elsewhere' });
  });

  test('serves the ports of the pod, and lets through the others, from 127.0.0.6', async () => {
    const answer = await bodyOf(get(CLIENT, POD.ipv4, '8080', 'web'));
    expect(answer).toMatchObject({ name: 'app', to: `${POD.ipv4}:8080` });
    expect(answer.from).toMatch(/^127\.0\.0\.6:/);
    for (const [port, name] of [
      ['7001', 'served'],
      ['7000', 'side'],
    ] as const) {
      const talked = await network.ask<Record<string, string>>(CLIENT, 'talk', POD.ipv4, port, 'hello');
      expect(talked).toMatchObject({ name, to: `${POD.ipv4}:${port}` });
      expect(talked.from).toMatch(/^127\.0\.0\.6:/);
    }
  });

  test('calls its own service: out, and in again by mutual TLS', async () => {
    expect(await bodyOf(get(APP, WEB_VIP, '80', 'web'))).toMatchObject({ name: 'app', to: `${POD.ipv4}:8080` });
    expect(await talk(APP, WEB_VIP, '7001')).toMatchObject({ name: 'served', to: `${POD.ipv4}:7001` });
  });

  test('closes connections to its own ports', async () => {
    expect(await talk(CLIENT, POD.ipv4, '15006')).toHaveProperty('error');
    expect(await talk(APP, '127.0.0.1', '15001')).toHaveProperty('error');
  });

  test('lets plain text in nowhere under STRICT, and its own calls still', async () => {
    await publish(MESH + STRICT);
    await expect.poll(() => get(CLIENT, POD.ipv4, '8080', 'web')).toHaveProperty('error');
    for (const port of ['7000', '7001']) expect(await talk(CLIENT, POD.ipv4, port)).toHaveProperty('error');
    expect(await bodyOf(get(APP, WEB_VIP, '80', 'web'))).toMatchObject({ name: 'app' });
    expect(await talk(APP, WEB_VIP, '7001')).toMatchObject({ name: 'served' });
  });

  test('lets nothing out to where no service is, under REGISTRY_ONLY', async () => {
    await publish(MESH + REGISTRY_ONLY);
    await expect.poll(() => talk(APP, ELSEWHERE, '4444')).toHaveProperty('error');
    expect(await get(APP, ELSEWHERE, '9080', 'unknown.example.com')).toMatchObject({ status: 502 });
    expect(await bodyOf(get(APP, REVIEWS.vip, '9080', 'reviews'))).toMatchObject({ name: 'reviews' });
    expect(await talk(APP, DATABASE.vip, '9080')).toMatchObject({ name: 'database' });
  });
});
