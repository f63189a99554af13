// End-to-end: TCP services in local mode: mutual TLS, weights, servers that speak first, half-closes, and much at once.

import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { LocalMesh, type PodSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;

/** `who` is answered with the version; anything else is sent back. */
const ECHO = `
import { createServer } from 'node:net';
createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', (first) => {
    if (first.toString().startsWith('who')) return socket.end(process.env.VERSION);
    socket.write(first);
    socket.pipe(socket);
  });
  socket.once('end', () => socket.end());
}).listen(Number(process.env.PORT), process.env.HOST);
`;
/** Speaks first, as MySQL does, and answers what it was told once its client has ended. */
const DATABASE = `
import { createServer } from 'node:net';
createServer({ allowHalfOpen: true }, (socket) => {
  let length = 0;
  socket.on('error', () => {});
  socket.write('ready ');
  socket.on('data', (data) => (length += data.length));
  socket.on('end', () => socket.end('got ' + length));
}).listen(Number(process.env.PORT), process.env.HOST);
`;

function deployment(name: string, app: string, version: string, port: number, portName: string): string {
  return `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: 1
  selector: {matchLabels: {app: ${app}, version: ${version}}}
  template:
    metadata:
      labels: {app: ${app}, version: ${version}}
      annotations: {lateen.io/local-command: '["node", "${app}.mjs"]'}
    spec:
      containers:
      - name: ${app}
        image: ${app}:1
        env: [{name: VERSION, value: ${version}}]
        ports: [{containerPort: ${port}, name: ${portName}}]
`;
}

const DOCUMENTS = `apiVersion: v1
kind: Service
metadata: {name: tcp-echo}
spec: {selector: {app: tcp-echo}, ports: [{port: 9000, name: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: database}
spec: {selector: {app: database}, ports: [{port: 3306, name: mysql}]}
${deployment('tcp-echo-v1', 'tcp-echo', 'v1', 9000, 'tcp')}${deployment('tcp-echo-v2', 'tcp-echo', 'v2', 9000, 'tcp')}${deployment('database', 'database', 'v1', 3306, 'mysql')}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: tcp-echo}
spec: {selector: {matchLabels: {app: tcp-echo}}, mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: tcp-echo}
spec:
  host: tcp-echo
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: [tcp-echo]
  tcp:
  - match: [{port: 9000}]
    route:
    - {destination: {host: tcp-echo, subset: v1}, weight: 80}
    - {destination: {host: tcp-echo, subset: v2}, weight: 20}
`;

/** Connects from the address of a service in a pod, as the pod's own application does. */
function open(host: string, port: number): Socket {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.on('error', () => {}); // told by whoever reads
  return socket;
}

function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('end', () => resolve(Buffer.concat(chunks)));
    socket.once('close', () => reject(new Error(`closed after ${Buffer.concat(chunks).length} bytes`)));
  });
}

async function exchange(host: string, port: number, text: string | Buffer): Promise<Buffer> {
  const socket = open(host, port);
  const all = readAll(socket);
  socket.end(text);
  const answer = await all;
  socket.destroy();
  return answer;
}

/** The most memory that a process has had so far. */
function peakKib(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

describe('local mode: TCP services', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  let client: PodSeen;
  const address = (service: string): string => client.serviceAddresses[`${service}.default.svc.cluster.local`]!;

  beforeAll(async () => {
    mesh.write('tcp-echo.mjs', ECHO);
    mesh.write('database.mjs', DATABASE);
    mesh.write('tcp.yaml', DOCUMENTS);
    await mesh.up('-f', 'echo.yaml', '-f', 'tcp.yaml');
    client = (await mesh.pods())[0]!;
    // Listeners and endpoints come with the next push after the pods are ready.
    await waitUntil('a connection to the TCP service', async () => {
      const answer = await exchange(address('tcp-echo'), 9000, 'who').catch(() => Buffer.alloc(0));
      return answer.length > 0;
    });
  }, TIME_LIMIT_MS);
  afterAll(() => mesh.remove(), TIME_LIMIT_MS);

  it('spreads connections 80 to 20', async () => {
    let v1 = 0;
    const count = 300;
    for (let index = 0; index < count; index++) {
      const answer = (await exchange(address('tcp-echo'), 9000, 'who')).toString();
      expect(['v1', 'v2']).toContain(answer);
      if (answer === 'v1') v1++;
    }
    // Within five standard deviations.
    expect(Math.abs(v1 - 0.8 * count)).toBeLessThan(35);
  });

  it('takes mutual TLS only where it is STRICT', async () => {
    const [pod] = await mesh.pods('tcp-echo-v1');
    const answer = await exchange(pod!.address, 9000, 'who').catch(() => Buffer.alloc(0));
    expect(answer.toString()).toBe('');
  });

  it('lets the server speak first and the client half-close, by mutual TLS and in plaintext', async () => {
    const [pod] = await mesh.pods('database');
    await waitUntil('the database', async () => {
      const answer = await exchange(address('database'), 3306, 'q').catch(() => Buffer.alloc(0));
      return answer.toString() === 'ready got 1';
    });
    for (const host of [address('database'), pod!.address]) {
      const socket = open(host, 3306);
      const all = readAll(socket);
      // Nothing is sent before the greeting has come.
      await new Promise((resolve) => socket.once('data', resolve));
      socket.end(Buffer.alloc(100_000));
      expect((await all).toString()).toBe('ready got 100000');
      socket.destroy();
    }
  });

  it('carries 100 MiB each way unchanged, in bounded memory', async () => {
    const sidecars = (await mesh.status()).processes.filter(({ kind }) => kind === 'sidecar');
    expect(sidecars.length).toBeGreaterThanOrEqual(4);
    const before = sidecars.map(({ pid }) => peakKib(pid!));
    const socket = open(address('tcp-echo'), 9000);
    const sent = createHash('sha256');
    const received = createHash('sha256');
    let length = 0;
    socket.on('data', (data) => {
      received.update(data);
      length += data.length;
    });
    const ended = new Promise((resolve) => socket.once('end', resolve));
    for (let part = 0; part < 100; part++) {
      const bytes = randomBytes(1 << 20);
      sent.update(bytes);
      if (!socket.write(bytes)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    socket.end();
    await ended;
    socket.destroy();
    expect(length).toBe(100 << 20);
    expect(received.digest('hex')).toBe(sent.digest('hex'));
    const growthMib = sidecars.map(({ pid }, index) => (peakKib(pid!) - before[index]!) / 1024);
    expect(Math.max(...growthMib)).toBeLessThan(48);
  });

  it('is counted by both sidecars, who know each other', async () => {
    const [v1] = await mesh.pods('tcp-echo-v1');
    const scrape = async (pod: PodSeen) => (await fetch(`http://${pod.address}:15090/stats/prometheus`)).text();
    const line = (text: string, ...parts: readonly string[]) =>
      text.split('\n').find((each) => parts.every((part) => each.includes(part)));
    const names = [
      'istio_tcp_received_bytes_total{',
      'source_workload="echo"',
      'destination_workload="tcp-echo-v1"',
      'destination_service="tcp-echo.default.svc.cluster.local"',
      'source_principal="spiffe://cluster.local/ns/default/sa/echo"',
      'request_protocol="tcp"',
    ];
    expect(line(await scrape(client), 'reporter="source"', ...names)).toBeDefined();
    const inbound = await scrape(v1!);
    expect(line(inbound, 'reporter="destination"', 'connection_security_policy="mutual_tls"', ...names)).toBeDefined();
    expect(line(inbound, 'istio_tcp_connections_opened_total{', 'source_workload="echo"')).toBeDefined();
  });
});
