// Interception tests: the sidecar as a pod's proxy, started by the environment alone, on a file system that it cannot write to.

import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../harness/wait-until.js';
import {
  APP,
  CLIENT,
  OUTSIDE,
  PEER,
  POD,
  PodNetwork,
  PROXY,
  PROXY_UID,
  type Running,
  rulesWithDns,
  sidecarProgram,
  whyNoNamespaces,
} from './pod-network.js';

const obstacle = whyNoNamespaces();
const PROBERS = {
  '/app-health/app/readyz': { httpGet: { path: '/ready', port: 8080 }, timeoutSeconds: 2 },
  '/app-health/app/livez': { tcpSocket: { port: 8080 } },
  '/app-lifecycle/app/prestopz': { httpGet: { path: '/leaving', port: 8080 }, timeoutSeconds: 30 },
  '/app-health/app/startupz': { httpGet: { path: '/', port: 8081 } },
};

interface Answer {
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
}

describe.skipIf(obstacle !== undefined)('a pod', () => {
  let network: PodNetwork;
  let proxy: Running;
  let root: string;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'lateen-pod-'));
    chmodSync(root, 0o755);
    for (const folder of ['etc/istio/pod', 'var/run/secrets/tokens', 'var/run/secrets/istio', 'var/run/lateen']) {
      mkdirSync(join(root, folder), { recursive: true });
    }
    const state = join(root, 'var/run/lateen');
    chmodSync(state, 0o700);
    chownSync(state, PROXY_UID, PROXY_UID);
    writeFileSync(join(root, 'etc/istio/pod/labels'), 'app="web"\n');
    writeFileSync(join(root, 'var/run/secrets/tokens/istio-token'), 'none');
    writeFileSync(join(root, 'var/run/secrets/istio/root-cert.pem'), '');
    network = new PodNetwork();
    network.nameServer(OUTSIDE.ipv4, 'default.svc.cluster.local', 'svc.cluster.local', 'cluster.local');
    network.redirect(rulesWithDns(OUTSIDE.ipv4));
    const names = create(NameTableSchema, {
      table: {
        'reviews.default.svc.cluster.local': {
          ips: ['10.99.0.9', 'fd99::9'],
          registry: 'Kubernetes',
          shortname: 'reviews',
          namespace: 'default',
        },
      },
    });
    // As an earlier process of the pod has kept it.
    writeFileSync(join(state, 'name-table.bin'), toBinary(NameTableSchema, names), { mode: 0o600 });
    chownSync(join(state, 'name-table.bin'), PROXY_UID, PROXY_UID);
    const nameServer = network.start({ uid: 0, inPod: false }, [
      process.execPath,
      PEER,
      'dns',
      OUTSIDE.ipv4,
      '53',
      '192.0.2.53',
    ]);
    await waitUntil('the name server listens', () => nameServer.output().includes('listening'));
    const app = network.serve(APP, 'http', 'app', '0.0.0.0', '8080');
    await waitUntil('the application listens', () => app.output().includes('listening'));
    proxy = network.start(PROXY, [process.execPath, sidecarProgram(), '--pod', 'sidecar'], {
      POD_NAME: 'web-1',
      POD_NAMESPACE: 'default',
      INSTANCE_IP: POD.ipv4,
      SERVICE_ACCOUNT: 'web',
      PILOT_ADDRESS: '127.0.0.1:1',
      CITADEL_ADDRESS: '127.0.0.1:1',
      LATEEN_POD_ROOT: root,
      ISTIO_KUBE_APP_PROBERS: JSON.stringify(PROBERS),
      ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: 'true', port: '8080', path: '/stats' }),
      ISTIO_META_DNS_CAPTURE: 'true',
      PROXY_CONFIG: JSON.stringify({ terminationDrainDuration: '1s' }),
    });
    await waitUntil('its ports listen', async () => (await get(PROXY, '127.0.0.1', '15020', '/healthz/ready')).status);
  });
  afterAll(async () => {
    await network?.close();
    rmSync(root, { recursive: true, force: true });
  });

  const get = (place: typeof APP, address: string, port: string, path: string, method = 'GET') =>
    network.ask<Answer>(place, 'fetch', method, address, port, path);

  test('is not ready without a control plane, and says so to the kubelet by either family', async () => {
    for (const address of [POD.ipv4, POD.ipv6]) {
      const answer = await get(CLIENT, address, '15021', '/healthz/ready');
      expect(answer).toMatchObject({ status: 503 });
      expect(answer.body).toContain('no configuration has come from the control plane yet');
    }
  });

  test('`wait` tells why it is not', () => {
    const args = ['--timeoutSeconds', '1', '--periodMillis', '100'];
    const waiting = network.start(PROXY, [process.execPath, sidecarProgram(), 'wait', ...args]);
    return expect
      .poll(() => waiting.output(), { timeout: 20_000 })
      .toContain('was not ready within 1 s: PRE_INITIALIZING');
  });

  test('answers the probes of the application for it', async () => {
    expect(await get(CLIENT, POD.ipv4, '15020', '/app-health/app/readyz')).toMatchObject({ status: 200 });
    expect(await get(CLIENT, POD.ipv4, '15020', '/app-health/app/livez')).toMatchObject({ status: 200 });
    expect(await get(CLIENT, POD.ipv4, '15020', '/app-lifecycle/app/prestopz')).toMatchObject({ status: 200 });
    const failing = await get(CLIENT, POD.ipv4, '15020', '/app-health/app/startupz');
    expect(failing).toMatchObject({ status: 500 });
    expect(failing.body).toContain('ECONNREFUSED');
    expect(await get(CLIENT, POD.ipv4, '15020', '/app-health/other/readyz')).toMatchObject({ status: 404 });
  });

  test('puts the metrics of the application behind its own', async () => {
    const merged = (await get(CLIENT, POD.ipv4, '15020', '/stats/prometheus')).body ?? '';
    expect(merged).toContain('envoy_server_uptime');
    expect(merged).toContain('"name":"app"');
    const own = (await get(CLIENT, POD.ipv4, '15090', '/stats/prometheus')).body ?? '';
    expect(own).toContain('envoy_server_uptime');
    expect(own).not.toContain('"name":"app"');
  });

  test('answers the application for names of the mesh, and asks the name server for others', async () => {
    for (const name of ['reviews', 'reviews.default', 'reviews.default.svc.cluster.local']) {
      const { addresses } = await network.ask<{ addresses: string[] }>(APP, 'resolve', name);
      expect(addresses.sort()).toEqual(['10.99.0.9', 'fd99::9']);
    }
    expect(await network.ask(APP, 'resolve', 'elsewhere.example')).toEqual({ addresses: ['192.0.2.53'] });
    // The proxy itself is not answered by itself.
    expect(await network.ask(PROXY, 'resolve', 'reviews')).toEqual({ addresses: ['192.0.2.53'] });
    const metrics = (await get(APP, '127.0.0.1', '15090', '/stats/prometheus')).body ?? '';
    expect(metrics).toMatch(/istio_agent_dns_upstream_requests_total [1-9]/);
    expect(metrics).toMatch(/lateen_dns_names [1-9]/);
  });

  test('keeps its admin API to the pod, and is ended from there alone', async () => {
    expect(await get(CLIENT, POD.ipv4, '15000', '/server_info')).toHaveProperty('error');
    const info = await get(APP, '127.0.0.1', '15000', '/server_info');
    expect(info.body).toContain('sidecar~10.77.0.2~web-1.default~default.svc.cluster.local');
    expect(await get(CLIENT, POD.ipv4, '15020', '/quitquitquit', 'POST')).toMatchObject({ status: 403 });
    expect(await get(APP, '127.0.0.1', '15020', '/quitquitquit')).toMatchObject({ status: 405 });
  });

  test('ends in its time when it is told to', async () => {
    const startMs = performance.now();
    const status = proxy.stop('SIGTERM');
    await waitUntil('it is draining', async () =>
      (await get(CLIENT, POD.ipv4, '15021', '/healthz/ready')).body?.includes('draining'),
    );
    expect(await status).toBe(0);
    expect(performance.now() - startMs).toBeGreaterThan(900);
  });
});
