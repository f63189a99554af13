// Interception tests: the sidecar as a pod's proxy, started by the environment alone, on a file system that it cannot write to.

import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../harness/wait-until.js';
import {
  APP,
  CLIENT,
  POD,
  PodNetwork,
  PROXY,
  PROXY_UID,
  REDIRECT_RULES,
  type Running,
  sidecarProgram,
  whyNoNamespaces,
} from './pod-network.js';

const obstacle = whyNoNamespaces();
const PROBERS = {
  '/app-health/app/readyz': { httpGet: { path: '/ready', port: 8080 }, timeoutSeconds: 2 },
  '/app-health/app/livez': { tcpSocket: { port: 8080 } },
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
    network.redirect(REDIRECT_RULES);
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
