// Contract of WorkloadGroups, by real processes: a workload that no registry knows connects, is called, turns ill, and leaves.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AppProcess } from '../../harness/app-process.js';
import { ControlPlaneProcesses } from '../../harness/control-plane-processes.js';
import { freePort } from '../../harness/free-port.js';
import { type LoopbackLease, leaseLoopbackBlock } from '../../harness/loopback-lease.js';
import { MeshOperator } from '../../harness/mesh-operator.js';
import { waitUntil } from '../../harness/wait-until.js';
import { type Application, callThrough, startApplication, startSidecar } from './outside-workload.js';

const directory = mkdtempSync(join(tmpdir(), 'lateen-workload-group-'));
const sidecars: AppProcess[] = [];
let lease: LoopbackLease;
let plane: ControlPlaneProcesses;
let operator: MeshOperator;
let application: Application;
let port: number;
let client: string;

const PROBE = { httpGet: { path: '/health', port: 0 }, periodSeconds: 1, failureThreshold: 1, successThreshold: 1 };

const GROUP = (serviceAccount: string) => `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: machines, namespace: default }
spec:
  metadata: { labels: { app: machine } }
  template: { serviceAccount: ${serviceAccount}, labels: { version: v1 } }
  probe: { httpGet: { path: /health, port: ${port} }, periodSeconds: 1 }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: STRICT } }
`;

/** Calls the service of the group, from another sidecar of the mesh. */
const call = () => callThrough(client, 'http://machines.default/');
const answers = (expected: string) =>
  waitUntil(`the answer ${expected}`, async () => (await call()).startsWith(expected), 30_000);

async function startMachine(name: string, host: number, serviceAccount: string): Promise<AppProcess> {
  const probe = { ...PROBE, httpGet: { ...PROBE.httpGet, port } };
  const machine = await startSidecar(plane, directory, {
    name,
    address: `${lease.prefix}.0.${host}`,
    serviceAccount,
    metadata: { AUTO_REGISTER_GROUP: 'machines', PROXY_CONFIG: { readinessProbe: probe } },
  });
  sidecars.push(machine);
  return machine;
}

beforeAll(async () => {
  lease = await leaseLoopbackBlock();
  client = `${lease.prefix}.0.10`;
  port = await freePort();
  application = await startApplication('machine', port);
  plane = await ControlPlaneProcesses.start(['--debounce-ms', '20', '--workload-grace-ms', '1000']);
  operator = await MeshOperator.connect(plane);
  await waitUntil('galley to take the group', () => operator.apply('group.yaml', GROUP('machine')));
  const registry = {
    sequence: 1n,
    namespaces: [{ name: 'default' }],
    services: [
      {
        namespace: 'default',
        name: 'machines',
        selector: { app: 'machine' },
        ports: [{ name: 'http', port: 80, targetPort: port }],
      },
    ],
    workloads: [],
  };
  await waitUntil('pilot to take the registry', () => operator.report(registry));
  sidecars.push(await startSidecar(plane, directory, { name: 'client', address: client, serviceAccount: 'client' }));
  await answers('503');
}, 60_000);

afterAll(async () => {
  await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
  application?.server.close();
  operator?.close();
  await plane?.stop();
  lease?.release();
  rmSync(directory, { recursive: true, force: true });
});

test('a workload is called, over mutual TLS, once its application is well, as long as it is, and until it leaves', async () => {
  const machine = await startMachine('machine-1', 11, 'machine');
  // Registered, and not called before its probe has passed.
  await waitUntil('the proxy to find it ill', () => machine.output().includes('the application is not healthy'));
  expect(await call()).toMatch(/^503/);
  application.healthStatus = 200;
  await answers('200 machine');
  application.healthStatus = 500;
  await answers('503');
  application.healthStatus = 200;
  await answers('200 machine');
  // Whoever leaves in order is called no more when it goes: no call is lost.
  await machine.stop();
  expect(await call()).toMatch(/^503 no healthy upstream/);
}, 90_000);

test('a workload that dies is out after the grace period, and one that comes back is called again', async () => {
  application.healthStatus = 200;
  const machine = await startMachine('machine-2', 12, 'machine');
  await answers('200 machine');
  await machine.stop('SIGKILL');
  await answers('503 no healthy upstream');
  await startMachine('machine-2', 12, 'machine');
  await answers('200 machine');
}, 90_000);

test('nobody registers in a group of another service account', async () => {
  const stranger = await startMachine('stranger', 13, 'stranger');
  await waitUntil('the refusal', () =>
    stranger.output().includes('have the service account \\"machine\\", and the certificate is of \\"stranger\\"'),
  );
}, 60_000);
