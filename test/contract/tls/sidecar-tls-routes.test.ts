// Contract from YAML to bytes: a sidecar leads TLS that is not its own by server name, and TCP by address; and ends TLS of the
// outside where a Sidecar says so.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { getTls, httpBackend, type TestBackend, talkTls, tcpBackend, tlsBackend } from './tls-client.js';
import { TranslatedProxy } from './translated-proxy.js';

const block = `127.${100 + Math.floor(Math.random() * 40)}.8`;
const STORE = `${block}.20`;
const VERSIONS = ['v1', 'v2'];

let proxy: TranslatedProxy;
const backends: TestBackend[] = [];
const directory = mkdtempSync(join(tmpdir(), 'lateen-ingress-tls-'));
let friend: WebCertificate;
let formerFriend: WebCertificate;

function mesh(
  ports: Readonly<Record<string, { readonly tls: number; readonly tcp: number }>>,
  apps: { readonly web: number; readonly echo: number },
): string {
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
kind: Sidecar
metadata: { name: client, namespace: default }
spec:
  workloadSelector: { labels: { app: client } }
  ingress:
    - port: { number: 9443, protocol: HTTPS, name: https }
      defaultEndpoint: 127.0.0.1:${apps.web}
      tls: { mode: SIMPLE, serverCertificate: ${directory}/cert.pem, privateKey: ${directory}/key.pem, minProtocolVersion: TLSV1_3 }
    - port: { number: 9444, protocol: TLS, name: tls }
      defaultEndpoint: 127.0.0.1:${apps.echo}
      tls:
        mode: MUTUAL
        serverCertificate: ${directory}/cert.pem
        privateKey: ${directory}/key.pem
        caCertificates: ${directory}/roots.pem
        caCrl: ${directory}/revoked.pem
        maxProtocolVersion: TLSV1_2
        cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]
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
  const own = await authority.issue({ dnsNames: ['app.example.com'] });
  const clients = await TestWebAuthority.create('clients');
  friend = await clients.issue({ dnsNames: ['friend.example.org'], subject: 'friend' });
  formerFriend = await clients.issue({ dnsNames: ['former.example.org'], subject: 'former' });
  const files = {
    cert: own.certPem,
    key: own.keyPem,
    roots: clients.rootsPem,
    revoked: await clients.revoke([formerFriend.serial]),
  };
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, `${file}.pem`), text);
  const web = await httpBackend('web');
  const echo = await tcpBackend('echo');
  backends.push(web, echo);
  proxy = await TranslatedProxy.start({ pod: 'client-0.default' });
  await proxy.serve(mesh(ports, { web: web.port, echo: echo.port }));
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await Promise.all(backends.map((backend) => backend.close()));
  rmSync(directory, { recursive: true });
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

describe('TLS that a Sidecar ends at its own ports', () => {
  const at = (port: number, more: object = {}) => ({
    host: `${block}.10`,
    port,
    servername: 'app.example.com',
    ...more,
  });

  test('HTTP goes on to the application, and plain text is not taken', async () => {
    const { status, protocol, alpn, body } = await getTls(at(9443, { ALPNProtocols: ['http/1.1'] }));
    expect([status, protocol, alpn]).toEqual([200, 'TLSv1.3', 'http/1.1']);
    expect(body).toContain('web');
    await expect(getTls(at(9443, { maxVersion: 'TLSv1.2' }))).rejects.toThrow();
    await expect(plainText(9443, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).resolves.toBe('');
  });

  test('what a client says about itself is not believed', async () => {
    const names = ['x-envoy-peer-metadata', 'x-envoy-peer-metadata-id', 'x-envoy-internal', 'x-forwarded-client-cert'];
    const lines = names.map((name) => `${name}: forged\r\n`).join('');
    const request = `GET / HTTP/1.1\r\nHost: app.example.com\r\nx-own: forged\r\n${lines}Connection: close\r\n\r\n`;
    const { text } = await talkTls(at(9443), request);
    expect(text).toContain('"forged":["x-own"]');
  });

  test('TCP goes on where the client shows a certificate that is known', async () => {
    const { certPem: cert, keyPem: key } = friend;
    const { text, cipher } = await talkTls(at(9444, { cert, key }), 'hello');
    expect([text, cipher]).toEqual(['echo got hello', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384']);
    await expect(talkTls(at(9444), 'hello')).rejects.toThrow();
    const revoked = { cert: formerFriend.certPem, key: formerFriend.keyPem };
    await expect(talkTls(at(9444, revoked), 'hello')).rejects.toThrow();
  });
});

/** What comes until the connection is closed. */
function plainText(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = createConnection({ host: `${block}.10`, port }, () => socket.write(text));
    socket.on('data', (chunk) => {
      received += chunk.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(received));
  });
}
