// Security: who may speak to a STRICT port and whom the proxy speaks to, on full handshakes and on resumed sessions.

import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, createServer, type Server, connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { Authority, type KeyPair, spiffe } from './mesh-certificates.js';
import {
  address,
  cluster,
  connectionManager,
  type Json,
  listener,
  ProxyUnderTest,
  TLS_INSPECTOR,
  tlsSocket,
  toCluster,
} from './proxy-under-test.js';
import { bytes, dial, Reader, RecordingUpstream } from './raw-wire.js';
import { attempt, splittingRelay } from './tls-attempt.js';

const ports = { strict: 0, bare: 0, permissive: 0, anyName: 0, onlyAdmin: 0, open: 0, strangers: 0, out: 0 };
const certificates = new Map<string, KeyPair>();
let mesh: Authority;
let stranger: Authority;
let upstream: RecordingUpstream;
let proxy: ProxyUnderTest;
const servers: Server[] = [];
/** What TLS upstreams were told, by name. */
const told = new Map<string, string>();

const certificate = (name: string): KeyPair => {
  const found = certificates.get(name);
  if (found === undefined) throw new Error(`no certificate ${name}`);
  return found;
};
const inline = (text: string): Json => ({ inline_string: text });
const own = (name: string): Json[] => [
  { certificate_chain: inline(certificate(name).cert), private_key: inline(certificate(name).key) },
];
const uri = (matcher: Json): Json => ({ san_type: 'URI', matcher });

function chain(common: Json, extra: Json, match?: Json): Json {
  return {
    ...(match === undefined ? {} : { filter_chain_match: match }),
    transport_socket: tlsSocket('Downstream', { tls_certificates: own('server'), ...common }, extra),
    filters: [
      connectionManager({
        routes: [toCluster('plain')],
        hcm: { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: { uri: true } },
      }),
    ],
  };
}
const validation = (rootPem: string, ...rules: Json[]): Json => ({
  validation_context: { trusted_ca: inline(rootPem), match_typed_subject_alt_names: rules },
});
const MUTUAL = { require_client_certificate: true };
const anyOfMesh = uri({ prefix: 'spiffe://cluster.local/' });

const REVIEWS_ONLY = [uri({ exact: spiffe('reviews') })];

async function tlsUpstream(name: string, { cert, key }: KeyPair, rules: Json[] = REVIEWS_ONLY): Promise<Json> {
  told.set(name, '');
  const server = createServer({ cert, key }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      told.set(name, told.get(name) + data.toString('latin1'));
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const common = { ...validation(mesh.rootPem, ...rules), tls_certificates: own('client') };
  return cluster(name, (server.address() as AddressInfo).port, {
    transport_socket: tlsSocket('Upstream', common, { sni: 'outbound_.80_._.reviews' }),
  });
}

const TAKEN = ['right', 'dns-name-without-rule'];
const UPSTREAMS = [
  'wrong-name',
  'two-names',
  'two-names-without-rule',
  'other-domain',
  'by-stranger',
  'expired',
  'dns-name',
];

beforeAll(async () => {
  mesh = await Authority.create();
  stranger = await Authority.create();
  const day = 86_400_000;
  const issue = async (name: string, authority: Authority, options: Parameters<Authority['issue']>[0]) => {
    certificates.set(name, await authority.issue(options));
  };
  await issue('server', mesh, { uris: [spiffe('target')] });
  await issue('client', mesh, { uris: [spiffe('client')] });
  await issue('admin', mesh, { uris: [spiffe('admin')] });
  await issue('other-domain', mesh, { uris: [spiffe('client', 'elsewhere')] });
  await issue('look-alike', mesh, { uris: [spiffe('client', 'cluster.local.evil')] });
  await issue('two-names', mesh, { uris: [spiffe('client'), spiffe('admin')] });
  await issue('dns-only', mesh, { dnsNames: ['spiffe://cluster.local/ns/security/sa/admin', 'admin'] });
  await issue('no-name', mesh, {});
  await issue('nul-behind', mesh, { uris: [`${spiffe('client')}\0.evil`] });
  await issue('nul-before', mesh, { uris: [`spiffe://cluster.local\0.evil/ns/security/sa/client`] });
  await issue('expired', mesh, {
    uris: [spiffe('client')],
    notBeforeMs: Date.now() - day,
    notAfterMs: Date.now() - 1000,
  });
  await issue('not-yet', mesh, {
    uris: [spiffe('client')],
    notBeforeMs: Date.now() + day,
    notAfterMs: Date.now() + 2 * day,
  });
  await issue('stranger', stranger, { uris: [spiffe('client')] });

  upstream = await RecordingUpstream.start();
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
  const onTls = { transport_protocol: 'tls' };
  const at = (name: keyof typeof ports, chains: Json[], inspect = true): Json => ({
    name,
    address: address(ports[name]),
    ...(inspect ? { listener_filters: [TLS_INSPECTOR] } : {}),
    filter_chains: chains,
  });
  const plainChain = {
    filter_chain_match: { transport_protocol: 'raw_buffer' },
    filters: [connectionManager({ routes: [toCluster('plain')] })],
  };
  const virtualHosts = [...TAKEN, ...UPSTREAMS].map((name) => ({ name, domains: [name], routes: [toCluster(name)] }));
  const reviews = (options: Parameters<Authority['issue']>[0], authority = mesh) =>
    authority.issue({ uris: [spiffe('reviews')], ...options });
  const clusters = [
    cluster('plain', upstream.port),
    await tlsUpstream('right', await reviews({})),
    await tlsUpstream('wrong-name', await reviews({ uris: [spiffe('ratings')] })),
    await tlsUpstream('two-names', await reviews({ uris: [spiffe('reviews'), spiffe('ratings')] })),
    await tlsUpstream('two-names-without-rule', await reviews({ uris: [spiffe('reviews'), spiffe('ratings')] }), []),
    await tlsUpstream('dns-name-without-rule', await reviews({ uris: [], dnsNames: ['reviews'] }), []),
    await tlsUpstream('other-domain', await reviews({ uris: [spiffe('reviews', 'elsewhere')] })),
    await tlsUpstream('by-stranger', await reviews({}, stranger)),
    await tlsUpstream('expired', await reviews({ notBeforeMs: Date.now() - day, notAfterMs: Date.now() - 1000 })),
    await tlsUpstream('dns-name', await reviews({ uris: [], dnsNames: [spiffe('reviews')] })),
  ];
  proxy = await ProxyUnderTest.start(
    [
      at('strict', [chain(validation(mesh.rootPem, anyOfMesh), MUTUAL, onTls)]),
      at('bare', [chain(validation(mesh.rootPem, anyOfMesh), MUTUAL)], false),
      at('permissive', [chain(validation(mesh.rootPem, anyOfMesh), MUTUAL, onTls), plainChain]),
      at('anyName', [chain(validation(mesh.rootPem), MUTUAL, onTls)]),
      at('onlyAdmin', [chain(validation(mesh.rootPem, uri({ exact: spiffe('admin') })), MUTUAL, onTls)]),
      at('open', [chain({}, {}, onTls)]),
      at('strangers', [chain(validation(stranger.rootPem, anyOfMesh), MUTUAL, onTls)]),
      listener('out', ports.out, { routes: [], virtualHosts }),
    ],
    clusters,
  );
});

afterAll(async () => {
  await proxy?.stop();
  await upstream?.stop();
  for (const server of servers) server.close();
});

beforeEach(() => upstream.reset());

const as = (name: string, extra: ConnectionOptions = {}): ConnectionOptions => ({ ...certificate(name), ...extra });
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
const versioned = (version: (typeof VERSIONS)[number]): ConnectionOptions => ({
  minVersion: version,
  maxVersion: version,
});
const STRICT = ['strict', 'bare', 'permissive'] as const;
const REFUSED = [
  ...['other-domain', 'look-alike', 'two-names', 'dns-only', 'no-name', 'nul-behind', 'nul-before'],
  ...['expired', 'not-yet', 'stranger'],
];

describe.each(VERSIONS)('a client over %s', (version) => {
  test.each(STRICT)('with a certificate of the mesh is served at %s, also on a resumed session', async (port) => {
    const first = await attempt(ports[port], as('client', versioned(version)));
    expect(first.text).toMatch(/^HTTP\/1.1 200/);
    expect(upstream.seen[0]?.header('x-forwarded-client-cert').join()).toContain(`URI=${spiffe('client')}`);
    const second = await attempt(ports[port], as('client', { ...versioned(version), session: first.session }));
    expect([second.text.slice(0, 12), second.resumed]).toEqual(['HTTP/1.1 200', true]);
    expect(upstream.seen[1]?.header('x-forwarded-client-cert').join()).toContain(`URI=${spiffe('client')}`);
  });

  test.each(REFUSED.flatMap((name) => STRICT.map((port) => [name, port] as const)))(
    '%s is refused at %s, and so is a session of it',
    async (name, port) => {
      const first = await attempt(ports[port], as(name, versioned(version)));
      expect(first.text).toBe('');
      const second = await attempt(ports[port], as(name, { ...versioned(version), session: first.session }));
      expect(second.text).toBe('');
      expect(upstream.seen).toEqual([]);
    },
  );

  test.each(['two-names', 'nul-behind', 'expired', 'stranger'])(
    '%s is refused where no name rule is set as well',
    async (name) => {
      const first = await attempt(ports.anyName, as(name, versioned(version)));
      expect(first.text).toBe('');
      const second = await attempt(ports.anyName, as(name, { ...versioned(version), session: first.session }));
      expect(second.text).toBe('');
      expect(upstream.seen).toEqual([]);
    },
  );

  test.each(['client', 'dns-only'])('%s is served where no name rule is set', async (name) => {
    expect((await attempt(ports.anyName, as(name, versioned(version)))).text).toMatch(/^HTTP\/1.1 200/);
  });

  test.each(STRICT)('without a certificate is refused at %s', async (port) => {
    expect((await attempt(ports[port], versioned(version))).text).toBe('');
    expect(upstream.seen).toEqual([]);
  });

  test('a session of a port that asks for no certificate opens no STRICT one', async () => {
    const open = await attempt(ports.open, versioned(version));
    expect(open.text).toMatch(/^HTTP\/1.1 200/);
    expect(open.session).toBeDefined();
    upstream.reset();
    for (const port of STRICT) {
      expect((await attempt(ports[port], { ...versioned(version), session: open.session })).text).toBe('');
    }
    expect(upstream.seen).toEqual([]);
  });

  test('a session of a port with other roots is not taken', async () => {
    const theirs = await attempt(ports.strangers, as('stranger', versioned(version)));
    expect(theirs.text).toMatch(/^HTTP\/1.1 200/);
    upstream.reset();
    expect((await attempt(ports.strict, as('stranger', { ...versioned(version), session: theirs.session }))).text).toBe(
      '',
    );
    expect((await attempt(ports.strict, { ...versioned(version), session: theirs.session })).text).toBe('');
    expect(upstream.seen).toEqual([]);
  });

  test('a session of a port with other name rules is checked against those of this one', async () => {
    const client = await attempt(ports.strict, as('client', versioned(version)));
    expect(client.text).toMatch(/^HTTP\/1.1 200/);
    upstream.reset();
    expect(
      (await attempt(ports.onlyAdmin, as('client', { ...versioned(version), session: client.session }))).text,
    ).toBe('');
    expect((await attempt(ports.onlyAdmin, { ...versioned(version), session: client.session })).text).toBe('');
    expect(upstream.seen).toEqual([]);
    expect((await attempt(ports.onlyAdmin, as('admin', versioned(version)))).text).toMatch(/^HTTP\/1.1 200/);
  });

  test('a session does not turn its holder into somebody else', async () => {
    const admin = await attempt(ports.strict, as('admin', versioned(version)));
    upstream.reset();
    // The identity of a resumed session is the one that was proven, whatever certificate is configured now.
    await attempt(ports.strict, as('client', { ...versioned(version), session: admin.session }));
    const element = upstream.seen[0]?.header('x-forwarded-client-cert').join() ?? '';
    expect(element.match(/URI=/g)).toHaveLength(1);
  });
});

describe('what is no handshake', () => {
  /** Whatever is sent, the port closes, tells nothing, and goes on to serve others. */
  async function refused(port: number, pieces: readonly Buffer[]): Promise<void> {
    const socket = await dial(port);
    const reader = new Reader(socket);
    for (const piece of pieces) {
      socket.write(piece);
      if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve));
    }
    await reader.until(({ ended }) => ended, 3_000);
    socket.destroy();
    expect(reader.text).not.toContain('HTTP/');
    expect(upstream.seen).toEqual([]);
    expect((await attempt(port, as('client'))).text).toMatch(/^HTTP\/1.1 200/);
    upstream.reset();
  }

  test.each(['strict', 'bare'] as const)('plain text at %s', async (port) => {
    await refused(ports[port], [bytes('GET / HTTP/1.1\r\nHost: a\r\n\r\n')]);
    await refused(ports[port], [bytes('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(5_000))]);
  });

  const record = (body: Buffer, type = 22, version = 0x0301) =>
    Buffer.concat([Buffer.of(type, version >> 8, version & 255, body.length >> 8, body.length & 255), body]);

  test.each([
    ['random bytes', Buffer.concat([Buffer.of(22), randomBytes(2_000)])],
    ['a record of zeros', record(Buffer.alloc(2_000))],
    ['an empty record', record(Buffer.alloc(0))],
    ['a record of a forbidden length', Buffer.concat([Buffer.of(22, 3, 1, 0xff, 0xff), Buffer.alloc(70_000)])],
    [
      'a ClientHello that says it has 16 MiB',
      record(Buffer.concat([Buffer.of(1, 0xff, 0xff, 0xff), Buffer.alloc(16_000)])),
    ],
    ['a ClientHello of zeros', record(Buffer.concat([Buffer.of(1, 0, 0x10, 0), Buffer.alloc(0x1000)]))],
    ['a ServerHello', record(Buffer.concat([Buffer.of(2, 0, 0, 40), Buffer.alloc(40)]))],
    ['an alert', record(Buffer.of(2, 40), 21)],
    ['application data', record(randomBytes(100), 23)],
    ['a version of SSL 2', Buffer.concat([Buffer.of(0x80, 0x2e, 1, 0, 2), randomBytes(60)])],
  ])('%s', async (_why, sent) => {
    await refused(ports.strict, [sent]);
  });

  test('a ClientHello in single bytes is taken', async () => {
    const relay = await splittingRelay(ports.strict);
    expect((await attempt(relay.port, as('client'))).text).toMatch(/^HTTP\/1.1 200/);
    relay.close();
  });

  test('a hello that never ends is closed, and many of them do no harm', async () => {
    const before = proxy.rssMiB();
    const sockets = await Promise.all(Array.from({ length: 200 }, () => dial(ports.strict)));
    for (const socket of sockets)
      socket.write(record(Buffer.concat([Buffer.of(1, 0, 0x3f, 0xff), Buffer.alloc(10_000)])).subarray(0, 9_000));
    expect((await attempt(ports.strict, as('client'))).text).toMatch(/^HTTP\/1.1 200/);
    expect(proxy.rssMiB() - before).toBeLessThan(60);
    for (const socket of sockets) socket.destroy();
  });
});

test.each(STRICT)('a client over TLS 1.2 cannot renegotiate at %s', async (port) => {
  const outcome = await new Promise<string>((resolve) => {
    const options = as('client', { maxVersion: 'TLSv1.2', rejectUnauthorized: false });
    const socket = tlsConnect({ port: ports[port], host: '127.0.0.1', ...options });
    socket.on('error', () => resolve('refused'));
    socket.on('close', () => resolve('refused'));
    socket.on('secureConnect', () => {
      socket.renegotiate({ rejectUnauthorized: false }, (error) => {
        resolve(error === null ? 'renegotiated' : 'refused');
        socket.destroy();
      });
    });
  });
  expect(outcome).toBe('refused');
});

describe('the upstream', () => {
  async function ask(name: string): Promise<number> {
    const socket = await dial(ports.out);
    const reader = new Reader(socket);
    socket.write(bytes(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`));
    const { statuses } = await reader.responses(1);
    socket.destroy();
    return statuses[0] ?? 0;
  }

  test('of the right name is spoken to', async () => {
    for (const name of TAKEN) expect([await ask(name), await ask(name)]).toEqual([200, 200]);
  });

  test.each(UPSTREAMS)('%s is told nothing, at the first attempt and at later ones', async (name) => {
    for (let index = 0; index < 3; index++) expect(await ask(name)).toBe(503);
    expect(told.get(name)).toBe('');
  });
});

test('a certificate that expires ends its sessions as well', async () => {
  const expiresMs = Math.ceil(Date.now() / 1000) * 1000 + 2_000;
  certificates.set('brief', await mesh.issue({ uris: [spiffe('client')], notAfterMs: expiresMs }));
  const first = await attempt(ports.strict, as('brief'));
  expect(first.text).toMatch(/^HTTP\/1.1 200/);
  await waitUntil('the certificate to expire', () => Date.now() > expiresMs + 1_000);
  expect((await attempt(ports.strict, as('brief', { session: first.session }))).text).toBe('');
});
