// Interop tests: a stock Envoy and a Lateen gateway are served the same TLS servers and Secrets, and the same clients see the same.

import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gatewayMesh, pair, secret, server } from '../contract/tls/gateway-mesh.js';
import { getTls, httpBackend, type TestBackend, talkTls, tcpBackend, tlsBackend } from '../contract/tls/tls-client.js';
import { TranslatedProxy } from '../contract/tls/translated-proxy.js';
import { requireStockEnvoy } from './envoy-required.js';

const envoyPath = requireStockEnvoy();
const block = `127.${200 + Math.floor(Math.random() * 40)}.9`;
const GATEWAYS = { envoy: `${block}.1`, lateen: `${block}.2` } as const;

const SERVERS =
  server('http', 80, 'HTTP', '"*"', 'httpsRedirect: true') +
  server('simple', 443, 'HTTPS', 'a.example.com', 'mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_3') +
  server('mutual', 443, 'HTTPS', 'b.example.com', 'mode: MUTUAL, credentialName: b') +
  server('optional', 443, 'HTTPS', 'c.example.com', 'mode: OPTIONAL_MUTUAL, credentialName: b') +
  server('wild', 443, 'HTTPS', '"*.wild.example.com"', 'mode: SIMPLE, credentialNames: [ecdsa, rsa]') +
  server(
    'named',
    443,
    'HTTPS',
    'd.example.com',
    'mode: MUTUAL, credentialName: b, subjectAltNames: [other.example.org]',
  ) +
  server('pass', 443, 'TLS', '"pass.example.com", "*.deep.example.com"', 'mode: PASSTHROUGH') +
  server('end', 443, 'TLS', 'end.example.com', 'mode: SIMPLE, credentialName: a') +
  server('gone', 443, 'HTTPS', 'gone.example.com', 'mode: SIMPLE, credentialName: gone') +
  server('auto', 15443, 'TLS', '"*.local"', 'mode: AUTO_PASSTHROUGH');

describe.skipIf(envoyPath === undefined)('TLS servers of a gateway under Envoy and Lateen', () => {
  const proxies: Record<string, TranslatedProxy> = {};
  const certificates: Record<string, WebCertificate> = {};
  const backends: TestBackend[] = [];

  beforeAll(async () => {
    const servers = await TestWebAuthority.create('servers');
    const clients = await TestWebAuthority.create('clients');
    const strangers = await TestWebAuthority.create('strangers');
    for (const name of ['a', 'b', 'pass'])
      certificates[name] = await servers.issue({ dnsNames: [`${name}.example.com`] });
    // Both of the name that is asked for: Envoy chooses by it before it asks which one the client can use.
    certificates.rsa = await servers.issue({ dnsNames: ['x.wild.example.com'], key: 'rsa' });
    certificates.ecdsa = await servers.issue({ dnsNames: ['x.wild.example.com'] });
    certificates.friend = await clients.issue({ uris: ['spiffe://partner/friend'], subject: 'friend' });
    certificates.other = await clients.issue({ dnsNames: ['other.example.org'], subject: 'other' });
    certificates.stranger = await strangers.issue({ uris: ['spiffe://partner/friend'] });
    const { a, b, rsa, ecdsa, pass } = certificates;
    const web = await httpBackend('web');
    const echo = await tcpBackend('echo');
    const secure = await tlsBackend('secure', { cert: pass!.certPem, key: pass!.keyPem });
    backends.push(web, echo, secure);
    const secrets =
      pair('a', a!) +
      pair('b', b!) +
      pair('rsa', rsa!) +
      pair('ecdsa', ecdsa!) +
      secret('b-cacert', { cacert: clients.rootsPem });
    for (const [name, address] of Object.entries(GATEWAYS)) {
      const options = name === 'envoy' ? { envoyPath: envoyPath ?? '' } : {};
      const proxy = await TranslatedProxy.start({ pod: 'edge-0.istio-system', ...options });
      proxies[name] = proxy;
      await proxy.serve(gatewayMesh(address, { web, echo, secure }, SERVERS, secrets));
    }
  });

  afterAll(async () => {
    await Promise.all(Object.values(proxies).map((proxy) => proxy.stop()));
    await Promise.all(backends.map((backend) => backend.close()));
  });

  /** What both say; a failed attempt is one word, since each proxy has its own way to end a handshake. */
  async function alike(attempt: (host: string) => Promise<unknown>): Promise<unknown> {
    const [envoy, lateen] = await Promise.all(
      Object.values(GATEWAYS).map((host) => attempt(host).catch(() => 'refused')),
    );
    expect(lateen).toEqual(envoy);
    return envoy;
  }

  /** A request for the name that the ClientHello has. */
  const get =
    (servername: string, options: object = {}) =>
    async (host: string) => {
      const { status, serial, protocol, alpn, body } = await getTls({ host, port: 8443, servername, ...options });
      return { status, serial, protocol, alpn, body: body.replace(/By=[^;]*;/, '') };
    };
  const as = (name: string) => ({ cert: certificates[name]!.certPem, key: certificates[name]!.keyPem });

  test.each([
    ['SIMPLE', 'a.example.com', {}, { status: 200 }],
    ['a version that is not spoken', 'a.example.com', { maxVersion: 'TLSv1.2' }, 'refused'],
    ['another host than the name', 'a.example.com', { requestHost: 'b.example.com' }, { status: 404 }],
    ['a wildcard', 'y.wild.example.com', { requestHost: 'x.wild.example.com' }, { status: 200 }],
    ['a protocol for requests', 'a.example.com', { ALPNProtocols: ['http/1.1'] }, { alpn: 'http/1.1' }],
    ['MUTUAL without a certificate', 'b.example.com', {}, 'refused'],
    ['a name that nobody has', 'nobody.example.com', {}, 'refused'],
    ['a server whose Secret is missing', 'gone.example.com', {}, 'refused'],
    ['OPTIONAL_MUTUAL without a certificate', 'c.example.com', {}, { status: 200 }],
  ])('%s', async (_what, servername, options, expected) => {
    const seen = await alike(get(servername, options));
    if (typeof expected === 'string') expect(seen).toBe(expected);
    else expect(seen).toMatchObject(expected);
  });

  test.each([
    ['MUTUAL', 'b.example.com', 'friend', 200],
    ['MUTUAL, a stranger', 'b.example.com', 'stranger', undefined],
    ['OPTIONAL_MUTUAL', 'c.example.com', 'friend', 200],
    ['OPTIONAL_MUTUAL, a stranger', 'c.example.com', 'stranger', undefined],
    ['subjectAltNames', 'd.example.com', 'other', 404],
    ['subjectAltNames, another', 'd.example.com', 'friend', undefined],
  ])('%s with a client certificate', async (_what, servername, name, status) => {
    const seen = await alike(get(servername, as(name)));
    if (status === undefined) expect(seen).toBe('refused');
    else expect(seen).toMatchObject({ status });
  });

  test.each(['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'])(
    'of two certificates the one for %s',
    async (ciphers) => {
      const options = { ciphers, maxVersion: 'TLSv1.2', requestHost: 'x.wild.example.com' };
      expect(await alike(get('x.wild.example.com', options))).toMatchObject({ status: 200 });
    },
  );

  test('PASSTHROUGH, TLS that ends in TCP, and AUTO_PASSTHROUGH', async () => {
    const talk = (servername: string, port: number) => async (host: string) => {
      const { serial, text } = await talkTls({ host, port, servername }, 'hello');
      return { serial, text };
    };
    expect(await alike(talk('pass.example.com', 8443))).toMatchObject({ serial: certificates.pass!.serial });
    expect(await alike(talk('x.deep.example.com', 8443))).toMatchObject({ serial: certificates.pass!.serial });
    expect(await alike(talk('end.example.com', 8443))).toMatchObject({ text: 'echo got hello' });
    const name = 'outbound_.80_._.secure.default.svc.cluster.local';
    expect(await alike(talk(name, 15443))).toMatchObject({ serial: certificates.pass!.serial });
    expect(await alike(talk('secure.default.svc.cluster.local', 15443))).toBe('refused');
  });

  test('the redirect of plain HTTP', async () => {
    const seen = await alike(async (host) => {
      const { status, headers } = await fetch(`http://${host}:8080/x?y=1`, { redirect: 'manual' });
      return [status, headers.get('location')?.replace(host, 'HOST')];
    });
    expect(seen).toEqual([301, expect.stringContaining('https://HOST')]);
  });
});
