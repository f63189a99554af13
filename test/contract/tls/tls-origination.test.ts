// Contract from YAML to bytes: TLS toward services that a DestinationRule asks for, from a sidecar and from a gateway.

import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, httpGet } from '../../harness/http-get.js';
import { type TestBackend, tlsBackend } from './tls-client.js';
import { TranslatedProxy } from './translated-proxy.js';

const block = `127.${60 + Math.floor(Math.random() * 40)}.9`;
const SERVICES = ['open', 'shut', 'entry'] as const;
const ENTRY = 'entry.example.com';
const hostOf = (service: string) => (service === 'entry' ? ENTRY : `${service}.default.svc.cluster.local`);
const addressOf = (service: (typeof SERVICES)[number]) => `${block}.${20 + SERVICES.indexOf(service)}`;

let servers: TestWebAuthority;
let clients: TestWebAuthority;
let friend: WebCertificate;
/** `open` takes anybody, `shut` only clients of the authority; `entry` is a host outside of the mesh. */
const backends: Record<string, TestBackend> = {};
let proxy: TranslatedProxy;
let gateway: TranslatedProxy;
let openSerial = '';

function mesh(rules: string, more = ''): string {
  const services = ['open', 'shut'].map(
    (name) => `
---
kind: Pod
metadata: { name: ${name}-0, namespace: default, labels: { app: ${name} } }
spec: { address: 127.0.0.1, ports: [{ port: ${backends[name]!.port}, appPort: 1 }] }
---
kind: Service
metadata: { name: ${name}, namespace: default }
spec:
  selector: { app: ${name} }
  ports:
    - { name: http, port: 8000, targetPort: ${backends[name]!.port} }
    - { name: tcp, port: 9000, targetPort: ${backends[name]!.port} }`,
  );
  const addresses = SERVICES.map((service) => `${hostOf(service)}: ${addressOf(service)}`);
  return `
kind: Pod
metadata: { name: client-0, namespace: default, labels: { app: client } }
spec: { address: ${block}.10, workload: client, ports: [], serviceAddresses: { ${addresses.join(', ')} } }
---
kind: Pod
metadata: { name: edge-0, namespace: istio-system, labels: { istio: ingressgateway } }
spec: { gateway: true, address: ${block}.11, serviceAccount: proxy }
${services.join('')}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: entry, namespace: default }
spec:
  hosts: [${ENTRY}]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports: [{ number: 8000, name: http, protocol: HTTP, targetPort: ${backends.entry!.port} }]
  endpoints: [{ address: 127.0.0.1 }]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: DISABLE } }
${rules}${more}`;
}

const rule = (host: string, policy: string, name = host.split('.')[0]) => `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name}, namespace: default }
spec: { host: ${host}, trafficPolicy: { ${policy} } }
`;

const file = (name: string) => join(proxy.directory, name);
const call = (service: (typeof SERVICES)[number], port = 8000): Promise<Answer> =>
  httpGet(`http://${addressOf(service)}:${port}/x`, { host: hostOf(service) });

beforeAll(async () => {
  servers = await TestWebAuthority.create('servers');
  clients = await TestWebAuthority.create('clients');
  friend = await clients.issue({ dnsNames: ['friend.example.org'], subject: 'friend' });
  const named = async (...dnsNames: string[]) => {
    const { certPem: cert, keyPem: key, serial } = await servers.issue({ dnsNames });
    return { cert, key, serial };
  };
  const ca = clients.rootsPem;
  const open = await named(hostOf('open'), '*.wild.example.com');
  openSerial = open.serial;
  backends.open = await tlsBackend('open', open);
  const shut = await named('shut.example.com');
  backends.shut = await tlsBackend('shut', { ...shut, ca, requestCert: true, rejectUnauthorized: true });
  backends.entry = await tlsBackend('entry', await named(ENTRY));
  proxy = await TranslatedProxy.start({
    pod: 'client-0.default',
    // The roots of the operating system, as far as this test is concerned.
    environment: { SSL_CERT_FILE: '/dev/null' },
  });
  gateway = await TranslatedProxy.start({ pod: 'edge-0.istio-system' });
  writeFileSync(file('roots.pem'), servers.rootsPem);
  writeFileSync(file('others.pem'), clients.rootsPem);
  writeFileSync(file('client.crt'), friend.certPem);
  writeFileSync(file('client.key'), friend.keyPem);
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await gateway?.stop();
  await Promise.all(Object.values(backends).map((backend) => backend.close()));
});

describe('a sidecar', () => {
  test('SIMPLE checks the server by the file of roots, and that it is the host that is called', async () => {
    await proxy.serve(
      mesh(
        rule('open', `tls: { mode: SIMPLE, caCertificates: ${file('roots.pem')} }`) +
          rule('shut', `tls: { mode: SIMPLE, caCertificates: ${file('roots.pem')} }`) +
          rule(ENTRY, `tls: { mode: SIMPLE, caCertificates: ${file('roots.pem')} }`),
      ),
    );
    const open = await call('open');
    expect([open.status, open.body]).toEqual([200, `open sni=${hostOf('open')} client=nobody got GET /x HTTP/1.1`]);
    expect((await call('entry')).body).toBe(`entry sni=${ENTRY} client=nobody got GET /x HTTP/1.1`);
    // Its certificate is for another name.
    expect((await call('shut')).status).toBe(503);
  });

  test('SIMPLE with names and a server name of its own; another name or other roots are refused', async () => {
    const tls = (roots: string, name: string) =>
      rule(
        'open',
        `tls: { mode: SIMPLE, caCertificates: ${file(roots)}, sni: sni.example.com, subjectAltNames: [${name}] }`,
      );
    await proxy.serve(mesh(tls('roots.pem', 'a.wild.example.com')));
    expect((await call('open')).body).toContain('open sni=sni.example.com');
    await proxy.serve(mesh(tls('roots.pem', 'a.b.wild.example.com')));
    expect((await call('open')).status).toBe(503);
    await proxy.serve(mesh(tls('others.pem', 'a.wild.example.com')));
    expect((await call('open')).status).toBe(503);
    const simple = `mode: SIMPLE, caCertificates: ${file('roots.pem')}`;
    writeFileSync(file('revoked.pem'), await servers.revoke([openSerial]));
    await proxy.serve(mesh(rule('open', `tls: { ${simple}, caCrl: ${file('revoked.pem')} }`)));
    expect((await call('open')).status).toBe(503);
  });

  test('without roots those of the operating system count; insecureSkipVerify checks nothing', async () => {
    await proxy.serve(mesh(rule('open', 'tls: { mode: SIMPLE }')));
    expect((await call('open')).status).toBe(503);
    await proxy.serve(mesh(rule('open', 'tls: { mode: SIMPLE, insecureSkipVerify: true }')));
    expect((await call('open')).status).toBe(200);
    const own = await TranslatedProxy.start({
      pod: 'client-0.default',
      environment: { SSL_CERT_FILE: file('roots.pem') },
    });
    try {
      await proxy.serve(mesh('').replaceAll(`${block}.`, `${block.replace(/\.9$/, '.99')}.`));
      await own.serve(mesh(rule('open', 'tls: { mode: SIMPLE }')));
      expect((await call('open')).status).toBe(200);
    } finally {
      await own.stop();
    }
  });

  test('MUTUAL shows the certificate of the files, by port, to requests and to mere bytes', async () => {
    const files = `clientCertificate: ${file('client.crt')}, privateKey: ${file('client.key')}, caCertificates: ${file('roots.pem')}`;
    const mutual = `tls: { mode: MUTUAL, ${files}, sni: shut.example.com }`;
    await proxy.serve(
      mesh(
        rule(
          'shut',
          `tls: { mode: SIMPLE, caCertificates: ${file('roots.pem')}, sni: shut.example.com }, portLevelSettings: [{ port: { number: 9000 }, ${mutual} }]`,
        ),
      ),
    );
    // The server wants a certificate, which this port has not.
    expect((await call('shut')).status).toBe(503);
    const text = await new Promise<string>((resolve, reject) => {
      const socket = createConnection({ host: addressOf('shut'), port: 9000 }, () => socket.write('hello'));
      socket.on('data', (chunk) => resolve(chunk.toString()));
      socket.on('error', reject);
    });
    expect(text).toBe('shut sni=shut.example.com client=friend got hello');
    await proxy.serve(mesh(rule('shut', mutual)));
    expect((await call('shut')).body).toContain('client=friend');
  });

  test('without a workloadSelector there are no Secrets: calls are refused, not made in plain text', async () => {
    const problems = await proxy.serve(mesh(rule('open', 'tls: { mode: SIMPLE, credentialName: roots }')));
    expect(problems.map(({ message }) => message).join()).toContain('add a `workloadSelector`');
    expect((await call('open')).status).toBe(503);
  });

  test('a rule that selects it takes certificate and roots from a Secret, which no page of its admin API shows', async () => {
    const documents = (app: string, more: string) =>
      mesh(
        rule('shut', 'tls: { mode: MUTUAL, credentialName: partner, sni: shut.example.com }').replace(
          'host: shut',
          `workloadSelector: { matchLabels: { app: ${app} } }, host: shut`,
        ),
        more,
      );
    const problems = await proxy.serve(documents('client', ''));
    expect(problems.map(({ message }) => message).join()).toContain('there is no Secret default/partner');
    expect((await call('shut')).status).toBe(503);
    await proxy.serve(documents('client', partnerSecret('default')));
    expect((await call('shut')).body).toBe('shut sni=shut.example.com client=friend got GET /x HTTP/1.1');
    const dump = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/config_dump`)).text();
    expect(dump).toContain('kubernetes://partner');
    expect(dump).not.toContain('PRIVATE');
    expect(dump).not.toContain(Buffer.from(friend.keyPem).toString('base64').slice(0, 200));
    // Of a rule for others nothing is left: calls go in plain text again, which the server does not take.
    await proxy.serve(documents('others', partnerSecret('default')));
    expect((await call('shut')).status).not.toBe(200);
  });
});

const indented = (pem: string) => pem.trimEnd().replaceAll('\n', '\n    ');
const partnerSecret = (namespace: string) => `
---
kind: Secret
metadata: { name: partner, namespace: ${namespace} }
stringData:
  tls.crt: |
    ${indented(friend.certPem)}
  tls.key: |
    ${indented(friend.keyPem)}
  ca.crt: |
    ${indented(servers.rootsPem)}
`;

test('a gateway takes certificate and roots from Secrets', async () => {
  const documents = (more: string) =>
    mesh(
      rule('shut', 'tls: { mode: MUTUAL, credentialName: partner, sni: shut.example.com }'),
      `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shut, namespace: default }
spec:
  hosts: ["*"]
  gateways: [istio-system/edge]
  http: [{ route: [{ destination: { host: shut, port: { number: 8000 } } }] }]
${more}`,
    );
  const problems = await gateway.serve(documents(''));
  expect(problems.map(({ message }) => message).join()).toContain('there is no Secret istio-system/partner');
  const get = () => httpGet(`http://${block}.11:8080/y`);
  expect((await get()).status).toBe(503);
  await gateway.serve(documents(partnerSecret('istio-system')));
  expect((await get()).body).toBe('shut sni=shut.example.com client=friend got GET /y HTTP/1.1');
});
