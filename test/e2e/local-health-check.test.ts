// End-to-end: health checks in local mode: through sidecars that take mutual TLS alone, from YAML to who gets calls.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { echoDocuments, LocalMesh, type PodSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;
/** Is well unless a file says otherwise; Kubernetes' own probe is not told. */
const PROGRAM = `
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
const { HOST, PORT, POD_NAME } = process.env;
const server = createServer((request, response) => {
  if (request.url === '/well') return response.writeHead(existsSync('unwell-' + POD_NAME) ? 500 : 204).end();
  response.end(POD_NAME);
});
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => process.exit(0));
`;
const DOCUMENTS = `${echoDocuments({ replicas: 3 }).replace('echo.mjs', 'well.mjs')}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: echo}
spec: {mtls: {mode: STRICT}}
---
apiVersion: lateen.io/v1alpha1
kind: HealthCheck
metadata: {name: echo}
spec:
  host: echo
  http: {path: /well, expectedStatuses: [{from: 204}]}
  interval: 200ms
  noTrafficInterval: 200ms
  unhealthyThreshold: 2
  healthyThreshold: 1
`;

describe('local mode: health checks', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  let caller: PodSeen;
  let others: readonly string[] = [];

  const answering = async (calls: number): Promise<readonly string[]> => {
    const address = caller.serviceAddresses['echo.default.svc.cluster.local'];
    const names = new Set<string>();
    for (let call = 0; call < calls; call++) names.add(await (await fetch(`http://${address}`)).text());
    return [...names].sort();
  };

  beforeAll(async () => {
    mesh.write('well.mjs', PROGRAM);
    mesh.write('echo.yaml', DOCUMENTS);
    await mesh.up('-f', 'echo.yaml');
    const pods = await mesh.pods();
    caller = pods[0]!;
    others = pods.map(({ name }) => name).sort();
    await waitUntil('answers of all pods', async () => (await answering(20)).length === 3);
  }, TIME_LIMIT_MS);
  afterAll(() => mesh.remove(), TIME_LIMIT_MS);

  it('leave a pod out that is not well, say so, and take it back', async () => {
    const [first, second, third] = others;
    mesh.write(`unwell-${third}`, '');
    await waitUntil('it to be left out', async () => (await answering(20)).length === 2);
    expect(await answering(20)).toEqual([first, second]);
    const { stdout } = await mesh.run('proxy-config', 'endpoints', caller.name);
    const rows = stdout.split('\n').filter((line) => line.includes('outbound|80||echo'));
    expect(rows.map((row) => row.includes('UNHEALTHY')).sort()).toEqual([false, false, true]);
    const metrics = await (await fetch(`http://${caller.address}:15000/stats/prometheus`)).text();
    expect(metrics).toMatch(/envoy_cluster_health_check_healthy{[^}]*"outbound\|80\|\|echo[^}]*} 2\n/);
    expect(metrics).toMatch(/envoy_cluster_membership_healthy{[^}]*"outbound\|80\|\|echo[^}]*} 2\n/);
    rmSync(join(mesh.directory, `unwell-${third}`));
    await waitUntil('it to be back', async () => (await answering(20)).length === 3);
  });
});
