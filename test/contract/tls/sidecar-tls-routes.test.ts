// Contract from YAML to bytes: a sidecar leads TLS that is not its own by server name, and TCP by address.

import { createConnection } from 'node:net';
import { TestWebAuthority } from '@lateen/identity/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestBackend, talkTls, tcpBackend, tlsBackend } from './tls-client.js';
import { TranslatedProxy } from './translated-proxy.js';

const block = `127.${100 + Math.floor(Math.random() * 40)}.8`;
const STORE = `${block}.20`;
const VERSIONS = ['v1', 'v2'];

let proxy: TranslatedProxy;
const backends: TestBackend[] = [];

function mesh(ports: Readonly<Record<string, { readonly tls: number; readonly tcp: number }>>): string {
  const pods = VERSIONS.map(
    (version) => `
---
kind: Pod
metadata: { name: store-${version}, namespace: default, labels: { app: store, version: ${version} } }
spec:
  address: 127.0.0.1
  ports: [{ port: ${ports[version]!.tls}, appPort: 1 }, { port: ${ports[version]!.tcp}, appPort: 2 }]
---
kind: Service
metadata: { name: ${version}, namespace: default }
spec:
  selector: { version: ${version} }
  ports: [{ name: tls, port: 10443, targetPort: ${ports[version]!.tls} }, { name: tcp, port: 9000, targetPort: ${ports[version]!.tcp} }]`,
  );
  return `
kind: Pod
metadata: { name: client-0, namespace: default, labels: { app: client } }
spec:
  address: ${block}.10
  workload: client
  ports: []
  serviceAddresses: { store.default.svc.cluster.local: ${STORE} }
---
kind: Service
metadata: { name: store, namespace: default }
spec: { selector: { app: store }, ports: [{ name: tls, port: 10443, targetPort: 1 }, { name: tcp, port: 9000, targetPort: 2 }] }
${pods.join('')}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: DISABLE } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: store, namespace: default }
spec:
  hosts: [store.default.svc.cluster.local, "*.example.com"]
  tls:
    - match: [{ port: 10443, sniHosts: [one.example.com] }]
      route: [{ destination: { host: v1, port: { number: 10443 } } }]
    - match: [{ port: 10443, sniHosts: ["*.example.com"] }]
      route: [{ destination: { host: v2, port: { number: 10443 } } }]
  tcp:
    - match: [{ destinationSubnets: [10.0.0.0/8] }]
      route: [{ destination: { host: v1, port: { number: 9000 } } }]
    - match: [{ destinationSubnets: [${block}.0/24] }]
      route: [{ destination: { host: v2, port: { number: 9000 } } }]
`;
}

beforeAll(async () => {
  const authority = await TestWebAuthority.create('servers');
  const ports: Record<string, { tls: number; tcp: number }> = {};
  for (const version of VERSIONS) {
    const { certPem: cert, keyPem: key } = await authority.issue({ dnsNames: [`${version}.example.com`] });
    const tls = await tlsBackend(version, { cert, key });
    const tcp = await tcpBackend(version);
    backends.push(tls, tcp);
    ports[version] = { tls: tls.port, tcp: tcp.port };
  }
  proxy = await TranslatedProxy.start({ pod: 'client-0.default' });
  await proxy.serve(mesh(ports));
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await Promise.all(backends.map((backend) => backend.close()));
});

const call = (servername: string) => talkTls({ host: STORE, port: 10443, servername }, 'hello');

test('TLS goes by its server name, exact before wildcard, and stays between client and server', async () => {
  expect((await call('one.example.com')).text).toBe('v1 sni=one.example.com client=nobody got hello');
  expect((await call('two.example.com')).text).toBe('v2 sni=two.example.com client=nobody got hello');
  await expect(call('elsewhere.org')).rejects.toThrow();
  await expect(talkTls({ host: STORE, port: 10443 }, 'hello')).rejects.toThrow();
});

test('TCP goes by the address that the connection was opened to', async () => {
  const text = await new Promise<string>((resolve, reject) => {
    const socket = createConnection({ host: STORE, port: 9000 }, () => socket.write('hello'));
    socket.on('data', (chunk) => resolve(chunk.toString()));
    socket.on('error', reject);
  });
  expect(text).toBe('v2 got hello');
});
