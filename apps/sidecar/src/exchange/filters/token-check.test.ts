// Tokens on the wire: what is held back, refused and passed on, and that nobody is taken for the one before.

import { createHmac } from 'node:crypto';
import { connect } from 'node:http2';
import { expect, it, vi } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../../testing/proxy-fixture.js';

const TYPE = 'type.googleapis.com/envoy.extensions.filters.http';
const SECRET = Buffer.alloc(32, 7);
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(claims: object, secret: Buffer = SECRET): string {
  const text = `${base64({ alg: 'HS256' })}.${base64({ iss: 'issuer', ...claims })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

function tokenFilter(provider: object = {}) {
  const keys = { keys: [{ kty: 'oct', k: SECRET.toString('base64url') }] };
  return {
    name: 'tokens',
    typed_config: {
      '@type': `${TYPE}.jwt_authn.v3.JwtAuthentication`,
      providers: {
        p: {
          issuer: 'issuer',
          local_jwks: { inline_string: JSON.stringify(keys) },
          payload_in_metadata: 'payload',
          clear_route_cache: true,
          ...provider,
        },
      },
      rules: [
        {
          match: { prefix: '/' },
          requires: { requires_any: { requirements: [{ provider_name: 'p' }, { allow_missing: {} }] } },
        },
      ],
    },
  };
}

async function start(provider: object = {}, routes: readonly Record<string, unknown>[] = [toCluster('c')]) {
  const upstream = await startUpstream();
  const log = requestLog();
  const hcm = connectionManager(anyHost(...routes), ACCESS_LOG, [tokenFilter(provider)]);
  const config = dataPlaneConfig([listener('l', [{ filters: [hcm] }])], [cluster('c', [endpointOf(upstream.port)])]);
  return { upstream, proxy: await startProxy(config, log.options), log: log.requests };
}

const bearer = (text: string) => `Authorization: Bearer ${text}\r\n`;
const request = (lines: string, body = '', target = '/') =>
  `${body === '' ? 'GET' : 'POST'} ${target} HTTP/1.1\r\nHost: x\r\n${lines}${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`;

it('holds a request back until its token is checked, and keeps its body and what follows in order', async () => {
  const { upstream, proxy } = await start({ claim_to_headers: [{ header_name: 'x-user', claim_name: 'sub' }] });
  const client = await proxy.client();
  const first = request(`${bearer(token({ sub: 'a' }))}X-User: forged\r\nX-Kept: 1\r\n`, 'b'.repeat(100_000), '/first');
  client.send(first.slice(0, 40_000));
  client.send(first.slice(40_000));
  client.send(request(bearer(token({ sub: 'a' })), '', '/second?access_token=') + request('', '', '/third'));
  const server = await upstream.next();
  const one = await server.message();
  expect(one.head).toContain('POST /first HTTP/1.1\r\n');
  expect(one.head).toContain('X-Kept: 1\r\n');
  expect(one.head).toContain('x-user: a\r\n');
  expect(one.head).not.toMatch(/authorization|forged/i);
  expect(one.body).toBe('b'.repeat(100_000));
  server.send(OK);
  expect((await client.message()).head).toMatch(/^HTTP\/1.1 200 /);
  // An empty parameter is a token that is none.
  expect((await client.message()).head).toMatch(/^HTTP\/1.1 401 /);
  const third = await server.message();
  expect(third.head).toMatch(/^GET \/third /);
  expect(third.head).not.toContain('x-user');
  server.send(OK);
  expect((await client.message()).head).toMatch(/^HTTP\/1.1 200 /);
});

it('refuses in the words of Envoy, and says so in log and metrics', async () => {
  const { proxy, log } = await start();
  const client = await proxy.client();
  client.send(request(bearer(token({ exp: 1 })), '', '/a?b'));
  const expired = await client.message();
  expect(expired.head).toMatch(/^HTTP\/1.1 401 Unauthorized\r\n/);
  expect(expired.head).toContain('www-authenticate: Bearer realm="http://x/a?b", error="invalid_token"\r\n');
  expect(expired.body).toBe('Jwt is expired');
  client.send(request(bearer(token({}, Buffer.alloc(32))), 'body'));
  expect((await client.message()).body).toBe('Jwt verification fails');
  expect(
    log.map(({ responseCode, responseFlags, responseCodeDetails }) => [
      responseCode,
      responseFlags,
      responseCodeDetails,
    ]),
  ).toEqual([
    [401, '-', 'jwt_authn_access_denied{Jwt_is_expired}'],
    [401, '-', 'jwt_authn_access_denied{Jwt_verification_fails}'],
  ]);
  expect(proxy.dataPlane.tokenChecks()).toMatchObject([{ statPrefix: 'test', allowed: 0, denied: 2 }]);
});

it('routes by claims, those of this request and nobody else’s', async () => {
  const claim = (value: object, path = ['payload', 'groups'], invert = false) => ({
    filter: 'envoy.filters.http.jwt_authn',
    path: path.map((key) => ({ key })),
    value,
    invert,
  });
  const admin = { string_match: { exact: 'admin' } };
  const isAdmin = { or_match: { value_matchers: [admin, { list_match: { one_of: admin } }] } };
  const answer = (body: string, ...dynamic_metadata: readonly object[]) => ({
    match: { prefix: '/', dynamic_metadata },
    direct_response: { status: 200, body: { inline_string: body } },
  });
  const routes = [
    answer('admin', claim(isAdmin)),
    answer('nested', claim({ string_match: { prefix: 'deep' } }, ['payload', 'a', 'b.c'])),
    answer('verified', claim({ bool_match: true }, ['payload', 'email_verified'])),
    answer('known', claim({ present_match: true }, ['payload', 'iss'])),
    answer('other', claim(isAdmin, undefined, true)),
  ];
  const { proxy } = await start({}, routes);
  const client = await proxy.client();
  const ask = async (lines: string) => {
    client.send(request(lines));
    return (await client.message()).body;
  };
  for (let round = 0; round < 2; round++) {
    expect(await ask(bearer(token({ groups: ['x', 'admin'] })))).toBe('admin');
    expect(await ask('')).toBe('other');
    expect(await ask(bearer(token({ groups: 'admin' })))).toBe('admin');
    expect(await ask(bearer(token({ groups: 'Admin' })))).toBe('known');
    expect(await ask(bearer(token({ groups: { admin: 'admin' } })))).toBe('known');
    expect(await ask(bearer(token({ a: { 'b.c': 'deep down' } })))).toBe('nested');
    expect(await ask(bearer(token({ a: { b: { c: 'deep' } } })))).toBe('known');
    expect(await ask(bearer(token({ email_verified: true })))).toBe('verified');
    expect(await ask(bearer(token({ email_verified: 'true' })))).toBe('known');
    expect(await ask('groups: admin\r\n')).toBe('other');
  }
});

it('reads tokens of HTTP/2, in streams beside each other', async () => {
  const { upstream, proxy } = await start();
  const session = connect(`http://127.0.0.1:${proxy.port()}`);
  const ask = (sub: string, secret?: Buffer) =>
    new Promise<[number, string]>((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', authorization: `Bearer ${token({ sub }, secret)}` });
      let status = 0;
      let body = '';
      stream.on('response', (headers) => {
        status = Number(headers[':status']);
      });
      stream.on('data', (chunk) => {
        body += chunk;
      });
      stream.on('end', () => resolve([status, body]));
      stream.on('error', reject);
      stream.write(`from ${sub}`);
      stream.end('!');
    });
  const answers = Promise.all([ask('a'), ask('b', Buffer.alloc(32)), ask('c')]);
  const bodies: string[] = [];
  for (let count = 0; count < 2; count++) {
    const server = await upstream.next();
    const message = await server.message();
    expect(message.head).not.toMatch(/authorization/i);
    bodies.push(message.body);
    // Each request has a connection of its own, also where one is checked after another has been answered.
    server.send('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  }
  expect(await answers).toEqual([
    [200, ''],
    [401, 'Jwt verification fails'],
    [200, ''],
  ]);
  expect(bodies.join()).toMatch(/from a/);
  expect(bodies.join()).toMatch(/from c/);
  session.close();
});

it('lets go of a client that leaves while its token is checked', async () => {
  const { upstream, proxy, log } = await start();
  for (let count = 0; count < 20; count++) {
    const client = await proxy.client();
    client.send(request(bearer(token({ count })), 'x'.repeat(count)));
    client.socket.destroy();
  }
  const client = await proxy.client();
  client.send(request(bearer(token({})), '', '/last'));
  await vi.waitFor(
    () => {
      const server = upstream.connections.find(({ received }) => received.includes('GET /last'));
      expect(server).toBeDefined();
      server?.send(OK);
    },
    { timeout: 20_000, interval: 20 },
  );
  expect((await client.message()).head).toMatch(/^HTTP\/1.1 200 /);
  expect(log.at(-1)?.responseCode).toBe(200);
});

it('must come before the filters that decide by what it finds', async () => {
  const fault = { name: 'fault', typed_config: { '@type': `${TYPE}.fault.v3.HTTPFault` } };
  const config = (filters: Record<string, unknown>[]) =>
    dataPlaneConfig([listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')), {}, filters)] }])], []);
  await expect(startProxy(config([fault, tokenFilter()]))).rejects.toThrow(/must come before those for limits/);
  await expect(startProxy(config([tokenFilter(), tokenFilter()]))).rejects.toThrow(/one filter for tokens/);
});
