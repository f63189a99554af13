// End-to-end: hosts outside of the mesh in local mode: ServiceEntries by address, by name and by DNS, WorkloadEntries.

import { readFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { LocalMesh, type PodSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;
const FORWARD_PROXY_PORT = 15_007;

/** Says what its environment is. */
const ENVIRONMENT = `
import { createServer } from 'node:http';
const { HOST, PORT } = process.env;
createServer((request, response) => response.end(JSON.stringify(process.env))).listen(Number(PORT), HOST);
`;

interface Seen {
  readonly server: string;
  readonly host: string;
  readonly path: string;
  readonly added: string;
}

/** A server that is no part of the mesh and says what it was asked. */
async function outsider(name: string): Promise<Server> {
  const server = createServer(({ headers, url }, response) => {
    const seen: Seen = { server: name, host: headers.host ?? '', path: url ?? '', added: String(headers['x-added']) };
    response.end(JSON.stringify(seen));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends one request; `target` is a path, or an absolute URL for a forward proxy. */
function get(host: string, port: number, target: string, hostHeader?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = hostHeader === undefined ? {} : { host: hostHeader };
    const sent = request({ host, port, path: target, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

function documents(first: number, second: number): string {
  return `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin}
spec:
  hosts: [httpbin.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 9000, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ${first}, tcp: ${second}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin.example]
  http:
  - match: [{uri: {prefix: /moved}}]
    rewrite: {uri: /new}
    headers: {request: {set: {x-added: by-rule}}}
    route: [{destination: {host: httpbin.example}}]
  - route: [{destination: {host: httpbin.example}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: by-dns}
spec:
  hosts: [api.by-dns.example]
  ports: [{number: 8080, name: http, protocol: HTTP, targetPort: ${second}}]
  resolution: DNS
  endpoints: [{address: localhost}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wildcard}
spec:
  hosts: ["*.wild.example"]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ${second}}}]
---
apiVersion: v1
kind: Service
metadata: {name: machine}
spec: {selector: {app: machine}, ports: [{port: 80, name: http, targetPort: ${first}}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine-1}
spec: {address: 127.0.0.1, labels: {app: machine}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shell}
spec:
  selector: {matchLabels: {app: shell}}
  template:
    metadata:
      labels: {app: shell}
      annotations: {lateen.io/local-command: '["node", "environment.mjs"]'}
    spec: {containers: [{name: shell, image: shell:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: shell}
spec: {selector: {app: shell}, ports: [{port: 80, name: http, targetPort: 8080}]}
`;
}

const REGISTRY_ONLY = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`;

const INGRESS = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: shell}
spec:
  workloadSelector: {labels: {app: shell}}
  ingress: [{port: {number: 7070, name: http, protocol: HTTP}, defaultEndpoint: 127.0.0.1:8080}]
`;

describe('local mode: hosts outside of the mesh', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  let servers: Server[] = [];
  let client: PodSeen;
  const addressOf = (host: string): string => client.serviceAddresses[host] ?? 'no address';
  const seen = async (answer: Promise<Answer>): Promise<Seen> => JSON.parse((await answer).text) as Seen;
  const byProxy = (url: string) => get(client.address, FORWARD_PROXY_PORT, url, new URL(url).host);

  beforeAll(async () => {
    servers = [await outsider('first'), await outsider('second')];
    mesh.write('environment.mjs', ENVIRONMENT);
    mesh.write('entries.yaml', documents(portOf(servers[0]!), portOf(servers[1]!)));
    await mesh.up('-f', 'echo.yaml', '-f', 'entries.yaml');
    client = (await mesh.pods('shell'))[0]!;
    // Listeners and endpoints come with the next push after the pods are ready.
    await waitUntil('the hosts of the ServiceEntries', async () => {
      client = (await mesh.pods('shell'))[0]!;
      const answers = await Promise.all([
        get(addressOf('httpbin.example'), 80, '/').catch(() => undefined),
        get(addressOf('api.by-dns.example'), 8080, '/').catch(() => undefined),
      ]);
      return answers.every((answer) => answer?.status === 200);
    });
  }, TIME_LIMIT_MS);
  afterAll(async () => {
    for (const server of servers) server.close();
    await mesh.remove();
  }, TIME_LIMIT_MS);

  it('are called at an address of the pod, or by name through the forward proxy', async () => {
    expect(await seen(get(addressOf('httpbin.example'), 80, '/a'))).toMatchObject({ server: 'first', path: '/a' });
    const named = await seen(byProxy('http://httpbin.example/b'));
    expect(named).toMatchObject({ server: 'first', host: 'httpbin.example', path: '/b' });
  });

  it('are told to applications: in variables, and in a file like /etc/hosts', async () => {
    const { text } = await get(addressOf('shell.default.svc.cluster.local'), 80, '/');
    const env = JSON.parse(text) as Record<string, string>;
    expect(env).toMatchObject({
      HTTPBIN_EXAMPLE_SERVICE_HOST: addressOf('httpbin.example'),
      HTTPBIN_EXAMPLE_SERVICE_PORT: '80',
      API_BY_DNS_EXAMPLE_SERVICE_PORT_HTTP: '8080',
    });
    const hosts = readFileSync(env.LATEEN_HOSTS_FILE!, 'utf8');
    expect(hosts).toContain(`${addressOf('api.by-dns.example')} api.by-dns.example\n`);
    expect(hosts).toContain(`${addressOf('echo.default.svc.cluster.local')} echo.default.svc.cluster.local `);
  });

  it('follow VirtualServices', async () => {
    const moved = await seen(byProxy('http://httpbin.example/moved'));
    expect(moved).toMatchObject({ path: '/new', added: 'by-rule' });
  });

  it('are resolved by DNS, and called as TCP', async () => {
    const byDns = await seen(byProxy('http://api.by-dns.example:8080/dns'));
    expect(byDns).toMatchObject({ server: 'second', host: 'api.by-dns.example:8080', path: '/dns' });
    expect(await seen(get(addressOf('httpbin.example'), 9000, '/bytes'))).toMatchObject({ server: 'second' });
  });

  it('may be wildcards, which the forward proxy knows by name', async () => {
    const wild = await seen(byProxy('http://some.wild.example/w'));
    expect(wild).toMatchObject({ server: 'second', host: 'some.wild.example', path: '/w' });
  });

  it('may be endpoints of a Service, as WorkloadEntries', async () => {
    expect(await seen(get(addressOf('machine.default.svc.cluster.local'), 80, '/vm'))).toMatchObject({
      server: 'first',
      path: '/vm',
    });
  });

  it('may be any other through the forward proxy, until REGISTRY_ONLY forbids it', async () => {
    const elsewhere = `http://localhost:${portOf(servers[1]!)}/any`;
    expect(await seen(byProxy(elsewhere))).toMatchObject({ server: 'second', path: '/any' });
    expect(await byProxy('http://no-such-host.invalid/')).toMatchObject({
      status: 503,
      text: 'DNS resolution failure',
    });
    mesh.write('registry-only.yaml', REGISTRY_ONLY);
    await mesh.ok('apply', '-f', 'registry-only.yaml');
    await waitUntil('unknown hosts are refused', async () => (await byProxy(elsewhere)).status === 502);
    expect((await byProxy('http://httpbin.example/b')).status).toBe(200);
    await mesh.ok('delete', '-f', 'registry-only.yaml');
  });

  it('a Sidecar says at which ports a workload takes calls, and where they lead', async () => {
    mesh.write('ingress.yaml', INGRESS);
    await mesh.ok('apply', '-f', 'ingress.yaml');
    const { address } = client;
    await waitUntil('the port of the ingress listener', async () => {
      return (await get(address, 7070, '/').catch(() => undefined))?.status === 200;
    });
    // The port of the pod is not among them.
    await waitUntil('the port of the pod is closed', async () => {
      return (await get(address, 8080, '/').catch(() => undefined)) === undefined;
    });
    await mesh.ok('delete', '-f', 'ingress.yaml');
  });

  it('keep their address while the ServiceEntry is taken away and comes back', async () => {
    const before = addressOf('httpbin.example');
    await mesh.ok('delete', 'serviceentry', 'httpbin');
    await waitUntil('the address is not listened at', async () => {
      return (await get(before, 80, '/').catch(() => undefined)) === undefined;
    });
    await mesh.ok('apply', '-f', 'entries.yaml');
    await waitUntil('the host is back at its address', async () => {
      return (await get(before, 80, '/').catch(() => undefined))?.status === 200;
    });
  });
});
