// Contract from YAML to bytes: TLS servers of a gateway: modes, server names, versions, credentials, and what is wrong with them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { TestAuthority, TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../harness/free-port.js';
import { waitUntil } from '../../harness/wait-until.js';
import { gatewayMesh, pair, secret, server } from './gateway-mesh.js';
import { getTls, httpBackend, type TestBackend, talkTls, tcpBackend, tlsBackend } from './tls-client.js';
import { TranslatedProxy } from './translated-proxy.js';

const block = `127.${150 + Math.floor(Math.random() * 40)}.7`;
const GATEWAY = `${block}.1`;

let clients: TestWebAuthority;
let strangers: TestWebAuthority;
let meshAuthority: TestAuthority;
let proxy: TranslatedProxy;
let web: TestBackend;
let echo: TestBackend;
let secure: TestBackend;
const certificates: Record<string, WebCertificate> = {};
const backends: TestBackend[] = [];

const mesh = (servers: string, more = '') => gatewayMesh(GATEWAY, { web, echo, secure }, servers, more);
const at = (servername: string, options: object = {}) => ({ host: GATEWAY, port: 8443, servername, ...options });

beforeAll(async () => {
  const servers = await TestWebAuthority.create('servers');
  clients = await TestWebAuthority.create('clients');
  strangers = await TestWebAuthority.create('strangers');
  for (const name of ['a', 'b', 'wild', 'pass']) {
    certificates[name] = await servers.issue({ dnsNames: [`${name}.example.com`] });
  }
  certificates.rsa = await servers.issue({ dnsNames: ['a.example.com'], key: 'rsa' });
  certificates.friend = await clients.issue({ uris: ['spiffe://partner/friend'], subject: 'friend' });
  certificates.other = await clients.issue({ dnsNames: ['other.example.org'] });
  certificates.stranger = await strangers.issue({ uris: ['spiffe://partner/friend'] });
  const { pass } = certificates;
  [web, echo, secure] = await Promise.all([
    httpBackend('web'),
    tcpBackend('echo'),
    tlsBackend('secure', { cert: pass!.certPem, key: pass!.keyPem }),
  ]);
  backends.push(web, echo, secure);
  meshAuthority = await TestAuthority.create();
  proxy = await TranslatedProxy.start({ pod: 'edge-0.istio-system', authority: meshAuthority });
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await Promise.all(backends.map((backend) => backend.close()));
});

describe('a port with many servers', () => {
  beforeAll(async () => {
    const plain = await freePort();
    const { a, b, wild } = certificates;
    const problems = await proxy.serve(
      mesh(
        server('http', 80, 'HTTP', '"*"', 'httpsRedirect: true') +
          server('a', 443, 'HTTPS', 'a.example.com', 'mode: SIMPLE, credentialName: a') +
          server('b', 443, 'HTTPS', 'b.example.com', 'mode: MUTUAL, credentialName: b') +
          server('c', 443, 'HTTPS', 'c.example.com', 'mode: OPTIONAL_MUTUAL, credentialName: b') +
          server('wild', 443, 'HTTPS', '"*.wild.example.com"', 'mode: SIMPLE, credentialName: wild') +
          server('pass', 443, 'TLS', '"pass.example.com", "*.deep.example.com"', 'mode: PASSTHROUGH') +
          server('end', 443, 'TLS', 'end.example.com', 'mode: SIMPLE, credentialName: a') +
          server('gone', 443, 'HTTPS', 'gone.example.com', 'mode: SIMPLE, credentialName: gone') +
          server('broken', 443, 'HTTPS', 'broken.example.com', 'mode: SIMPLE, credentialName: broken') +
          server('twice', 443, 'HTTPS', 'a.example.com', 'mode: SIMPLE, credentialName: b') +
          server('tcp', plain, 'TCP', '"*"'),
        pair('a', a!) +
          pair('b', b!) +
          secret('b-cacert', { cacert: clients.rootsPem }) +
          secret('wild', { cert: wild!.certPem, key: wild!.keyPem }) +
          pair('broken', { ...a!, keyPem: b!.keyPem }),
      ),
    );
    expect(problems.filter(({ subject }) => subject.startsWith('Gateway/')).map(({ code }) => code)).toEqual([
      'conflict-server-name',
      'missing-credential',
      'missing-credential',
    ]);
    const text = problems.map(({ message }) => message).join('\n');
    expect(text).toContain('there is no Secret istio-system/gone');
    expect(text).toContain('Secret istio-system/broken has a key in `tls.key` that is not that of `tls.crt`');
    expect(text).not.toContain('BEGIN');
    plainPort = plain;
  }, 60_000);
  let plainPort = 0;

  test('shows each name its own certificate and routes requests by its own rules', async () => {
    const a = await getTls(at('a.example.com'), '/x');
    expect(a).toMatchObject({ status: 200, serial: certificates.a!.serial });
    expect(JSON.parse(a.body)).toMatchObject({ name: 'web', url: '/x', host: 'a.example.com', scheme: 'https' });
    expect(await getTls(at('x.wild.example.com'))).toMatchObject({ status: 200, serial: certificates.wild!.serial });
    // Another server's host is not served under this name.
    expect((await getTls(at('a.example.com', { requestHost: 'b.example.com' }))).status).toBe(404);
  });

  test('agrees on HTTP/2 with clients that speak it', async () => {
    const { connect } = await import('node:http2');
    const session = connect('https://a.example.com', {
      createConnection: () =>
        connectTls({
          host: GATEWAY,
          port: 8443,
          servername: 'a.example.com',
          ALPNProtocols: ['h2'],
          rejectUnauthorized: false,
        }),
    });
    try {
      const body = await new Promise<string>((resolve, reject) => {
        session.on('error', reject);
        const stream = session.request({ ':path': '/h2', ':authority': 'a.example.com' });
        let text = '';
        stream.setEncoding('utf8');
        stream.on('data', (chunk: string) => {
          text += chunk;
        });
        stream.on('end', () => resolve(text));
        stream.on('error', reject);
      });
      expect(JSON.parse(body)).toMatchObject({ name: 'web', url: '/h2', scheme: 'https' });
    } finally {
      session.destroy();
    }
  });

  test('closes connections of names that nobody has, and of clients that name none', async () => {
    await expect(getTls(at('nobody.example.com'))).rejects.toThrow();
    await expect(getTls(at('gone.example.com'))).rejects.toThrow();
    await expect(getTls(at('broken.example.com'))).rejects.toThrow();
    await expect(getTls({ host: GATEWAY, port: 8443 })).rejects.toThrow();
  });

  test('MUTUAL takes clients of the roots and tells who they are, and no others', async () => {
    const { friend, stranger } = certificates;
    const friendly = await getTls(at('b.example.com', { cert: friend!.certPem, key: friend!.keyPem }));
    expect(friendly).toMatchObject({ status: 200, serial: certificates.b!.serial });
    expect(JSON.parse(friendly.body).certificate).toContain('URI=spiffe://partner/friend');
    await expect(getTls(at('b.example.com'))).rejects.toThrow();
    await expect(getTls(at('b.example.com', { cert: stranger!.certPem, key: stranger!.keyPem }))).rejects.toThrow();
  });

  test('OPTIONAL_MUTUAL takes clients without a certificate, and refuses those of strangers', async () => {
    const { friend, stranger } = certificates;
    const anonymous = await getTls(at('c.example.com'));
    expect([anonymous.status, JSON.parse(anonymous.body).certificate]).toEqual([200, '']);
    const friendly = await getTls(at('c.example.com', { cert: friend!.certPem, key: friend!.keyPem }));
    expect(JSON.parse(friendly.body).certificate).toContain('URI=spiffe://partner/friend');
    await expect(getTls(at('c.example.com', { cert: stranger!.certPem, key: stranger!.keyPem }))).rejects.toThrow();
  });

  test('PASSTHROUGH passes the TLS of the service itself on, by server name', async () => {
    const pass = await talkTls(at('pass.example.com'), 'hello');
    expect(pass).toMatchObject({ serial: certificates.pass!.serial });
    expect(pass.text).toBe('secure sni=pass.example.com client=nobody got hello');
    expect((await talkTls(at('very.deep.example.com'), 'hello')).text).toContain('sni=very.deep.example.com');
  });

  test('TLS with a certificate ends here, and what is inside goes on as TCP', async () => {
    const end = await talkTls(at('end.example.com'), 'hello');
    expect(end).toMatchObject({ serial: certificates.a!.serial, text: 'echo got hello' });
  });

  test('plain HTTP is redirected to HTTPS', async () => {
    const response = await fetch(`http://${GATEWAY}:8080/x?y=1`, { redirect: 'manual' });
    expect(response.status).toBe(301);
    expect(response.headers.get('location')).toMatch(/^https:\/\/.*\/x\?y=1$/);
  });

  test('a TCP server passes bytes on', async () => {
    const { createConnection } = await import('node:net');
    const text = await new Promise<string>((resolve, reject) => {
      const socket = createConnection({ host: GATEWAY, port: plainPort }, () => socket.write('hello'));
      socket.on('data', (chunk) => resolve(chunk.toString()));
      socket.on('error', reject);
    });
    expect(text).toBe('echo got hello');
  });

  test('no key is in the dump of the configuration or in the log', async () => {
    const dump = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/config_dump`)).text();
    expect(dump).toContain('kubernetes://a');
    const certs = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/certs`)).text();
    for (const text of [dump, certs, proxy.app.output()]) {
      expect(text).not.toContain('PRIVATE KEY');
      expect(text).not.toContain(Buffer.from('PRIVATE KEY').toString('base64').slice(0, 12));
    }
  });
});

describe('settings of a server', () => {
  async function serve(tls: string, secrets: string): Promise<void> {
    await proxy.serve(mesh(server('a', 443, 'HTTPS', '"*"', tls), secrets));
  }

  test('least and highest version, and the suites of TLS 1.2', async () => {
    const { a, rsa } = certificates;
    await serve('mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_3', pair('a', a!));
    expect((await getTls(at('a.example.com'))).protocol).toBe('TLSv1.3');
    await expect(getTls(at('a.example.com', { maxVersion: 'TLSv1.2' }))).rejects.toThrow();
    await serve(
      'mode: SIMPLE, credentialName: a, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]',
      pair('a', rsa!),
    );
    const { protocol, cipher } = await getTls(at('a.example.com'));
    expect([protocol, cipher]).toEqual(['TLSv1.2', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384']);
    await expect(getTls(at('a.example.com', { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }))).rejects.toThrow();
    await serve(
      'mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_1, cipherSuites: [ECDHE-RSA-AES128-SHA]',
      pair('a', rsa!),
    );
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' };
    expect((await getTls(at('a.example.com', old))).protocol).toBe('TLSv1.1');
  });

  test('what MeshConfig says where a server does not: tlsDefaults', async () => {
    const { rsa } = certificates;
    const withDefaults = async (defaults: string, own = '') => {
      const tls = `mode: SIMPLE, credentialName: a${own}`;
      const config = `---\nkind: MeshConfig\nmetadata: { name: mesh }\nspec: { tlsDefaults: { ${defaults} } }\n`;
      await proxy.serve(mesh(server('a', 443, 'HTTPS', '"*"', tls), pair('a', rsa!) + config));
    };
    await withDefaults('minProtocolVersion: TLSV1_3');
    await expect(getTls(at('a.example.com', { maxVersion: 'TLSv1.2' }))).rejects.toThrow();
    await withDefaults('minProtocolVersion: TLSV1_3', ', minProtocolVersion: TLSV1_2');
    expect((await getTls(at('a.example.com', { maxVersion: 'TLSv1.2' }))).protocol).toBe('TLSv1.2');
    await withDefaults('cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384], ecdhCurves: [P-384]');
    const { cipher } = await getTls(at('a.example.com', { maxVersion: 'TLSv1.2' }));
    expect(cipher).toBe('TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384');
    await expect(getTls(at('a.example.com', { ecdhCurve: 'P-256' }))).rejects.toThrow();
    expect((await getTls(at('a.example.com', { ecdhCurve: 'P-384' }))).protocol).toBe('TLSv1.3');
  });

  test('several certificates: each client gets the one that it can use', async () => {
    const { a, rsa } = certificates;
    await serve('mode: SIMPLE, credentialNames: [a, rsa]', pair('a', a!) + pair('rsa', rsa!));
    const suite = (ciphers: string) => getTls(at('a.example.com', { ciphers, maxVersion: 'TLSv1.2' }));
    expect((await suite('ECDHE-ECDSA-AES128-GCM-SHA256')).serial).toBe(a!.serial);
    expect((await suite('ECDHE-RSA-AES128-GCM-SHA256')).serial).toBe(rsa!.serial);
  });

  test('names and fingerprints that a client must have, and revoked certificates', async () => {
    const { a, friend, other } = certificates;
    const roots = { 'ca.crt': clients.rootsPem };
    const as = (certificate: WebCertificate) =>
      getTls(at('a.example.com', { cert: certificate.certPem, key: certificate.keyPem }));
    await serve('mode: MUTUAL, credentialName: a, subjectAltNames: [other.example.org]', pair('a', a!, roots));
    expect((await as(other!)).status).toBe(200);
    await expect(as(friend!)).rejects.toThrow();
    const { createHash, X509Certificate } = await import('node:crypto');
    const { fingerprint256 } = new X509Certificate(friend!.certPem);
    await serve(`mode: MUTUAL, credentialName: a, verifyCertificateHash: ["${fingerprint256}"]`, pair('a', a!, roots));
    expect((await as(friend!)).status).toBe(200);
    await expect(as(other!)).rejects.toThrow();
    const keyHash = createHash('sha256').update(
      new X509Certificate(other!.certPem).publicKey.export({ type: 'spki', format: 'der' }),
    );
    await serve(
      `mode: MUTUAL, credentialName: a, verifyCertificateSpki: ["${keyHash.digest('base64')}"]`,
      pair('a', a!, roots),
    );
    expect((await as(other!)).status).toBe(200);
    await expect(as(friend!)).rejects.toThrow();
    const revoked = await clients.revoke([friend!.serial]);
    await serve('mode: MUTUAL, credentialName: a', pair('a', a!, { ...roots, 'ca.crl': revoked }));
    expect((await as(other!)).status).toBe(200);
    await expect(as(friend!)).rejects.toThrow();
    await serve(
      'mode: MUTUAL, credentialName: a, caCertCredentialName: partners',
      pair('a', a!) + secret('partners', { cacert: clients.rootsPem }),
    );
    expect((await as(friend!)).status).toBe(200);
    await expect(getTls(at('a.example.com'))).rejects.toThrow();
  });

  test('several pairs of files, and a file of revoked certificates', async () => {
    const { a, rsa, friend, other } = certificates;
    const file = (name: string, content: string): string => {
      const path = join(proxy.directory, name);
      writeFileSync(path, content);
      return path;
    };
    const files = [a!, rsa!].map(
      ({ certPem, keyPem }, index) =>
        `{ serverCertificate: ${file(`pair${index}.crt`, certPem)}, privateKey: ${file(`pair${index}.key`, keyPem)}, caCertificates: ${file('ca.pem', clients.rootsPem)} }`,
    );
    await serve(
      `mode: MUTUAL, tlsCertificates: [${files.join(', ')}], caCertificates: ${join(proxy.directory, 'ca.pem')}, caCrl: ${file('revoked.pem', await clients.revoke([other!.serial]))}`,
      '',
    );
    const as = ({ certPem: cert, keyPem: key }: WebCertificate, ciphers: string) =>
      getTls(at('a.example.com', { cert, key, ciphers, maxVersion: 'TLSv1.2' }));
    expect((await as(friend!, 'ECDHE-ECDSA-AES128-GCM-SHA256')).serial).toBe(a!.serial);
    expect((await as(friend!, 'ECDHE-RSA-AES128-GCM-SHA256')).serial).toBe(rsa!.serial);
    await expect(as(other!, 'ECDHE-RSA-AES128-GCM-SHA256')).rejects.toThrow();
  });

  test('certificates in files, which are followed, and a file that is not there', async () => {
    const { a, b } = certificates;
    const file = (name: string, content?: string): string => {
      const path = join(proxy.directory, name);
      if (content !== undefined) writeFileSync(path, content);
      return path;
    };
    const files = `serverCertificate: ${file('a.crt', a!.certPem)}, privateKey: ${file('a.key', a!.keyPem)}`;
    const roots = `caCertificates: ${file('clients.pem', clients.rootsPem)}`;
    await proxy.serve(
      mesh(
        server('a', 443, 'HTTPS', 'a.example.com', `mode: MUTUAL, ${files}, ${roots}`) +
          server('b', 443, 'HTTPS', 'b.example.com', `mode: SIMPLE, ${files.replaceAll('/a.', '/absent.')}`),
      ),
    );
    const { friend } = certificates;
    const asFriend = () => getTls(at('a.example.com', { cert: friend!.certPem, key: friend!.keyPem }));
    expect(await asFriend()).toMatchObject({ status: 200, serial: a!.serial });
    await expect(getTls(at('a.example.com'))).rejects.toThrow();
    await expect(getTls(at('b.example.com'))).rejects.toThrow();
    expect(proxy.app.output()).toContain('absent.crt');
    file('a.key', b!.keyPem);
    file('a.crt', b!.certPem);
    await waitUntil('the new certificate', async () => (await asFriend()).serial === b!.serial);
    file('absent.crt', b!.certPem);
    file('absent.key', b!.keyPem);
    await waitUntil('the absent certificate', async () => (await getTls(at('b.example.com'))).status === 200);
  });

  test('ISTIO_MUTUAL takes workloads of the mesh, with the certificate of the gateway itself', async () => {
    await serve('mode: ISTIO_MUTUAL', '');
    const caller = await meshAuthority.issue({ namespace: 'default', serviceAccount: 'caller' });
    const own = await getTls(at('a.example.com', { cert: caller.certChainPem, key: caller.keyPem }));
    expect(JSON.parse(own.body).certificate).toContain('URI=spiffe://cluster.local/ns/default/sa/caller');
    const { friend } = certificates;
    await expect(getTls(at('a.example.com', { cert: friend!.certPem, key: friend!.keyPem }))).rejects.toThrow();
    await expect(getTls(at('a.example.com'))).rejects.toThrow();
  });

  test('AUTO_PASSTHROUGH leads the server names of sidecars to the services that they mean', async () => {
    const problems = await proxy.serve(
      mesh(server('auto', 443, 'TLS', '"default/*.default.svc.cluster.local"', 'mode: AUTO_PASSTHROUGH')),
    );
    expect(problems.filter(({ subject }) => subject.startsWith('Gateway/'))).toEqual([]);
    const name = 'outbound_.80_._.secure.default.svc.cluster.local';
    const answer = await talkTls(at(name), 'hello');
    expect(answer.text).toBe(`secure sni=${name} client=nobody got hello`);
    await expect(talkTls(at('secure.default.svc.cluster.local'), 'hello')).rejects.toThrow();
    await expect(talkTls(at('outbound_.81_._.secure.default.svc.cluster.local'), 'hello')).rejects.toThrow();
  });

  test('a renewed Secret is shown to new clients, and one that is taken away ends its server', async () => {
    const { a, b } = certificates;
    await serve('mode: SIMPLE, credentialName: a', pair('a', a!));
    expect((await getTls(at('a.example.com'))).serial).toBe(a!.serial);
    await serve('mode: SIMPLE, credentialName: a', pair('a', b!));
    expect((await getTls(at('a.example.com'))).serial).toBe(b!.serial);
    await serve('mode: SIMPLE, credentialName: a', '');
    await expect(getTls(at('a.example.com'))).rejects.toThrow();
  });
});
