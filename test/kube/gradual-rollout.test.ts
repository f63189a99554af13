// Kubernetes tests: a namespace is moved into the mesh while it serves: first without proxies, then with, then STRICT. No request fails.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { runCommand } from '../harness/run-command.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();

/** It ends as servers should: who still has a connection is told to make another. */
const ECHO = `
  let ends = false;
  require('http').createServer((request, response) => {
    if (ends) response.setHeader('connection', 'close');
    response.end('well');
  }).listen(8080, '::');
  process.on('SIGTERM', () => { ends = true; setTimeout(() => process.exit(0), 2000); });`;

/** An application that is rolled as one should: a pod that ends serves on until everybody knows. */
const SERVER = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: echo }
spec:
  replicas: 2
  strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  selector: { matchLabels: { app: echo } }
  template:
    metadata: { labels: { app: echo } }
    spec:
      containers:
        - name: echo
          image: node
          args: ['-e', ${JSON.stringify(ECHO)}]
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
          lifecycle: { preStop: { sleep: { seconds: 4 } } }
      terminationGracePeriodSeconds: 15
---
apiVersion: v1
kind: Service
metadata: { name: echo }
spec: { selector: { app: echo }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
`;

const CLIENT = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: client }
spec:
  selector: { matchLabels: { app: client } }
  template:
    metadata: { labels: { app: client } }
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: client, image: host, command: [sleep, '100000'], securityContext: { runAsUser: 1000 } }]
`;

const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }
`;

/** Asks one request after another until its input ends, and tells how they went. */
const LOAD = `
  let goesOn = true;
  process.stdin.resume().on('end', () => { goesOn = false; });
  const told = { well: 0, failed: [] };
  (async () => {
    while (goesOn) {
      try {
        const response = await fetch('http://echo.shop/', { signal: AbortSignal.timeout(5000) });
        const text = await response.text();
        if (response.status === 200) told.well++; else told.failed.push(response.status + ' ' + text);
      } catch (error) {
        told.failed.push(new Date().toISOString() + ' ' + String(error.cause ?? error));
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(JSON.stringify(told));
  })();`;

interface Outcome {
  readonly well: number;
  readonly failed: readonly string[];
}

describe.skipIf(programs === undefined)('a namespace that is moved into the mesh', () => {
  let cluster: Cluster;
  const inNamespace = (namespace: string, yaml: string) =>
    cluster.kubectl(['apply', '-n', namespace, '-f', '-'], { input: yaml });

  /** @returns what ends the load and tells how it went */
  function startLoad(namespace: string): () => Promise<Outcome> {
    const args = ['exec', '-i', '-n', namespace, 'deploy/client', '-c', 'client', '--', 'node', '-e', LOAD];
    const child = spawn(programs!.kubectl, args, {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    return async () => {
      child.stdin.end();
      await ended;
      return JSON.parse(said) as Outcome;
    };
  }

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs!, nodes: 2 });
    const lateenctl = join(REPOSITORY, 'bin', 'lateenctl');
    const args = ['install', '--set', 'profile=minimal', '-y', '--timeout', '120s'];
    const env = { KUBECONFIG: cluster.kubeconfig };
    const installed = await runCommand(lateenctl, args, { directory: REPOSITORY, env });
    if (installed.exitCode !== 0) throw new Error(`lateenctl install failed: ${installed.stdout}${installed.stderr}`);
    for (const namespace of ['shop', 'meshed', 'plain']) await cluster.kubectl(['create', 'namespace', namespace]);
    await cluster.kubectl(['label', 'namespace', 'meshed', 'istio-injection=enabled']);
    await inNamespace('shop', SERVER);
    for (const namespace of ['meshed', 'plain']) await inNamespace(namespace, CLIENT);
    for (const namespace of ['shop', 'meshed', 'plain']) {
      await cluster.kubectl([
        'wait',
        '-n',
        namespace,
        '--for=condition=Available',
        'deployment',
        '--all',
        '--timeout=120s',
      ]);
    }
  });
  afterAll(() => cluster?.stop());

  test('serves clients with and without a proxy all the time', async () => {
    const endMeshed = startLoad('meshed');
    const endPlain = startLoad('plain');
    await cluster.kubectl(['label', 'namespace', 'shop', 'istio-injection=enabled']);
    await cluster.kubectl(['rollout', 'restart', '-n', 'shop', 'deployment/echo']);
    await cluster.kubectl(['rollout', 'status', '-n', 'shop', 'deployment/echo', '--timeout=120s']);
    await expect
      .poll(async () => (await cluster.kubectl(['get', 'pods', '-n', 'shop', '-o', 'name'])).trim().split('\n').length)
      .toBe(2);
    const plain = await endPlain();
    expect(plain.failed).toEqual([]);
    expect(plain.well).toBeGreaterThan(100);

    await inNamespace('shop', STRICT);
    const ask = ['exec', '-n', 'plain', 'deploy/client', '--', 'curl', '-s', '-m', '5', 'http://echo.shop/'];
    await expect.poll(async () => (await cluster.tryKubectl(ask)).exitCode).not.toBe(0);
    const meshed = await endMeshed();
    expect(meshed.failed).toEqual([]);
    expect(meshed.well).toBeGreaterThan(100);
  });
});
