// RBAC on the wire: who may is decided before anything reaches an upstream, on exactly what would be forwarded.

import { createHmac } from 'node:crypto';
import { TestAuthority } from '@lateen/identity/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AccessLogRecord, TlsSecret } from '../data-plane.js';
import { ANYBODY, header, httpRbac, path, principal, rules } from '../testing/access-rules.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { ask, http2Client } from '../testing/http2-peers.js';
import { meshClientSocket, meshServerSocket, workloadSecrets } from '../testing/mesh-identity.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { startProxy, startUpstream } from '../testing/proxy-fixture.js';
import type { RawConnection, RawUpstream } from '../testing/raw-peers.js';

type Json = Record<string, unknown>;
const DENIED = 'RBAC: access denied';

interface Setup {
  readonly filters: readonly Json[];
  readonly hcm?: Json;
  readonly routes?: readonly Json[];
}

async function start({ filters, hcm = {}, routes = [toCluster('c')] }: Setup) {
  const upstream = await startUpstream();
  const log: (AccessLogRecord & { readonly issuer: string | undefined })[] = [];
  const manager = connectionManager(anyHost(...routes), { ...ACCESS_LOG, ...hcm }, filters);
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [manager] }])],
    [cluster('c', [endpointOf(upstream.port)])],
  );
  // The record is used again: what the test looks at is copied.
  const proxy = await startProxy(config, {
    createAccessLogSink: () => (record) => {
      const noted = ['shadow_engine_result', 'shadow_effective_policy_id'].map((name) =>
        record.metadata(`envoy.filters.http.rbac:dry_${name}`),
      );
      const issuer = record.metadata('envoy.filters.http.jwt_authn:payload:iss');
      log.push({ ...record, issuer, metadata: (name) => noted[name.endsWith('result') ? 0 : 1] });
    },
  });
  return { upstream, log, proxy };
}

const get = (target: string, ...lines: readonly string[]) =>
  `GET ${target} HTTP/1.1\r\n${['Host: app', ...lines].map((line) => `${line}\r\n`).join('')}\r\n`;

/** The status that a request is answered with, and what reached the upstream: its request line, undefined where nothing did. */
async function send(
  client: RawConnection,
  upstream: RawUpstream,
  request: string,
): Promise<[number, string | undefined]> {
  const before = upstream.connections.length;
  const served = upstream.connections.at(-1);
  const seen = served?.received.length ?? 0;
  client.send(request);
  await client.until(
    ({ received, ended }) =>
      received.includes('\r\n\r\n') ||
      ended ||
      upstream.connections.length > before ||
      (upstream.connections.at(-1)?.received.length ?? 0) > seen,
    'an answer or a request at the upstream',
  );
  let line: string | undefined;
  if (!client.received.includes('\r\n\r\n')) {
    const connection = upstream.connections.at(-1)!;
    line = (await connection.message()).head.split('\r\n')[0];
    connection.send('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  }
  const { head } = await client.message();
  return [Number(head.split(' ')[1]), line];
}

describe('the HTTP filter', () => {
  it('refuses what no policy allows and what some policy denies, and says by which', async () => {
    const { proxy, upstream, log } = await start({
      filters: [
        httpRbac({ rules: rules('DENY', { 'no admin': [path({ prefix: '/admin' }), ANYBODY] }) }),
        httpRbac({ rules: rules('ALLOW', { read: [header(':method', { exact: 'GET' }), ANYBODY] }) }),
      ],
    });
    const client = await proxy.client();
    expect(await send(client, upstream, get('/x?a=/admin'))).toEqual([200, 'GET /x?a=/admin HTTP/1.1']);
    expect(await send(client, upstream, get('/admin/users'))).toEqual([403, undefined]);
    client.send('PUT /x HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n');
    expect(await client.message()).toMatchObject({ head: expect.stringMatching(/^HTTP\/1.1 403 /), body: DENIED });
    expect(await send(client, upstream, get('/y'))).toEqual([200, 'GET /y HTTP/1.1']);
    expect(log.map(({ responseCode, responseCodeDetails }) => [responseCode, responseCodeDetails])).toEqual([
      [200, 'via_upstream'],
      [403, 'rbac_access_denied_matched_policy[no_admin]'],
      [403, 'rbac_access_denied_matched_policy[none]'],
      [200, 'via_upstream'],
    ]);
    expect(proxy.dataPlane.rbac()).toMatchObject([{ kind: 'http', statPrefix: 'test', allowed: 5, denied: 2 }]);
    expect(upstream.connections).toHaveLength(1);
  });

  it('records what shadow rules would do, and lets pass', async () => {
    const shadow_rules = rules('ALLOW', { 'only-a': [path({ exact: '/a' }), ANYBODY] });
    const { proxy, upstream, log } = await start({
      filters: [httpRbac({ shadow_rules, shadow_rules_stat_prefix: 'dry_' })],
    });
    const client = await proxy.client();
    expect(await send(client, upstream, get('/a'))).toEqual([200, 'GET /a HTTP/1.1']);
    expect(await send(client, upstream, get('/b'))).toEqual([200, 'GET /b HTTP/1.1']);
    expect(log.map(({ metadata }) => [metadata('result'), metadata('id')])).toEqual([
      ['allowed', 'only-a'],
      ['denied', undefined],
    ]);
    expect(proxy.dataPlane.rbac()).toMatchObject([
      { shadowPrefix: 'dry_', shadowAllowed: 1, shadowDenied: 1, allowed: 0 },
    ]);
  });

  it('decides before redirects, direct responses and missing routes, and before a preflight is answered', async () => {
    const routes = [
      { match: { prefix: '/direct' }, direct_response: { status: 200, body: { inline_string: 'hello' } } },
      { match: { prefix: '/moved' }, redirect: { path_redirect: '/direct' } },
    ];
    const { proxy, upstream } = await start({
      filters: [httpRbac({ rules: rules('ALLOW', { a: [header('x-pass', { exact: '1' }), ANYBODY] }) })],
      routes,
    });
    for (const [target, status] of [
      ['/direct', 200],
      ['/moved', 301],
      ['/none', 404],
    ] as const) {
      const client = await proxy.client();
      expect(await send(client, upstream, get(target))).toEqual([403, undefined]);
      expect(await send(client, upstream, get(target, 'x-pass: 1'))).toEqual([status, undefined]);
    }
  });

  it('decides before a WebSocket or a tunnel is opened', async () => {
    const upgrade_configs = [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }];
    const { proxy, upstream } = await start({
      filters: [httpRbac({ rules: rules('ALLOW', { a: [path({ prefix: '/open' }), ANYBODY] }) })],
      hcm: { upgrade_configs },
      routes: [{ match: { connect_matcher: {} }, route: { cluster: 'c' } }, toCluster('c')],
    });
    const websocket = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: a',
      'Sec-WebSocket-Version: 13',
    ];
    const refused = await proxy.client();
    expect(await send(refused, upstream, get('/closed', ...websocket))).toEqual([403, undefined]);
    const tunnel = await proxy.client();
    tunnel.send('CONNECT app:80 HTTP/1.1\r\nHost: app:80\r\n\r\nGET /open HTTP/1.1\r\n\r\n');
    await tunnel.untilText(DENIED);
    expect(upstream.connections).toHaveLength(0);
    const client = await proxy.client();
    client.send(get('/open', ...websocket));
    const server = await upstream.next();
    await server.untilText('\r\n\r\n');
    server.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await client.untilText('101 Switching Protocols');
  });

  it('tells gRPC and HTTP/2 in their own words', async () => {
    const { proxy, upstream } = await start({
      filters: [httpRbac({ rules: rules('DENY', { a: [path({ prefix: '/pkg.Admin/' }), ANYBODY] }) })],
    });
    const session = http2Client(proxy.port());
    const grpc = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const answer = await ask(session, { ...grpc, ':path': '/pkg.Admin/Do' });
    expect(answer.headers).toMatchObject({
      ':status': 200,
      'grpc-status': '7',
      'grpc-message': expect.stringContaining('RBAC'),
    });
    const plain = await ask(session, { ':path': '/pkg.Admin/Do' });
    expect([plain.headers[':status'], plain.body.toString()]).toEqual([403, DENIED]);
    expect(upstream.connections).toHaveLength(0);
    const allowed = ask(session, { ':path': '/pkg.User/Do' });
    const server = await upstream.next();
    expect((await server.message()).head).toMatch(/^GET \/pkg.User\/Do HTTP/);
    server.send('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    expect((await allowed).headers[':status']).toBe(200);
  });

  it('decides by the claims of tokens that were checked, and of no others', async () => {
    const secret = Buffer.alloc(32, 7);
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const token = (claims: object, key = secret) => {
      const text = `${encode({ alg: 'HS256' })}.${encode({ iss: 'issuer', ...claims })}`;
      return `Authorization: Bearer ${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
    };
    const provider = {
      issuer: 'issuer',
      local_jwks: { inline_string: JSON.stringify({ keys: [{ kty: 'oct', k: secret.toString('base64url') }] }) },
      payload_in_metadata: 'payload',
    };
    const tokens = {
      name: 'tokens',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
        providers: { p: provider },
        rules: [
          {
            match: { prefix: '/' },
            requires: { requires_any: { requirements: [{ provider_name: 'p' }, { allow_missing: {} }] } },
          },
        ],
      },
    };
    const isAdmin = {
      metadata: {
        filter: 'envoy.filters.http.jwt_authn',
        path: [{ key: 'payload' }, { key: 'groups' }],
        value: { list_match: { one_of: { string_match: { exact: 'admin' } } } },
      },
    };
    const { proxy, upstream, log } = await start({
      filters: [tokens, httpRbac({ rules: rules('ALLOW', { a: [ANYBODY, isAdmin] }) })],
    });
    const client = await proxy.client();
    expect(await send(client, upstream, get('/', token({ groups: ['user', 'admin'] })))).toEqual([
      200,
      'GET / HTTP/1.1',
    ]);
    expect(await send(client, upstream, get('/'))).toEqual([403, undefined]);
    expect(await send(client, upstream, get('/', token({ groups: ['user'] })))).toEqual([403, undefined]);
    expect(await send(client, upstream, get('/', token({ groups: ['admin'] }, Buffer.alloc(32, 8))))).toEqual([
      401,
      undefined,
    ]);
    // What a token says is known where the token is good, and of its own request only.
    expect(log.map(({ responseCode, issuer }) => [responseCode, issuer])).toEqual([
      [200, 'issuer'],
      [403, undefined],
      [403, 'issuer'],
      [401, undefined],
    ]);
  });

  it('is refused behind filters for limits', async () => {
    const limit = {
      name: 'limit',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
        stat_prefix: 'l',
        token_bucket: { max_tokens: 1, fill_interval: '1s' },
        filter_enabled: { default_value: { numerator: 100 } },
      },
    };
    const some = httpRbac({ rules: rules('DENY', {}) });
    await expect(start({ filters: [limit, some] })).rejects.toThrow(
      'RBAC filters must come before those for limits and faults',
    );
  });
});

describe('attempts at rules for paths and headers', () => {
  const noAdmin = [
    httpRbac({
      rules: rules('DENY', {
        admin: [path({ prefix: '/admin' }), ANYBODY],
        role: [header('x-role', { exact: 'admin' }), ANYBODY],
        host: [header(':authority', { exact: 'secret.example', ignore_case: true }), ANYBODY],
      }),
    }),
  ];
  const strict = {
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
  };

  it.each([
    ['/admin'],
    ['/./admin'],
    ['/x/../admin'],
    ['/x/%2e%2e/admin'],
    ['/%61dmin'],
    ['//admin'],
    ['/x/..%2fadmin'],
    ['/x\\..\\admin'],
    ['/%2fadmin'],
    ['/admin#x'],
    ['http://app/admin'],
    ['/admin;x'],
    ['/admin?x'],
  ])('refuses %s, or its forwarded form is another path', async (target) => {
    const { proxy, upstream } = await start({ filters: noAdmin, hcm: strict });
    const [status, line] = await send(await proxy.client(), upstream, get(target));
    expect(status === 403 || status === 400, `${status} ${line}`).toBe(true);
    expect(line).toBeUndefined();
  });

  it.each([
    ['/ADMIN', 'GET /ADMIN HTTP/1.1'],
    ['/%2561dmin', 'GET /%2561dmin HTTP/1.1'],
    ['/x?/admin', 'GET /x?/admin HTTP/1.1'],
  ])('lets %s pass as another path', async (target, line) => {
    const { proxy, upstream } = await start({ filters: noAdmin, hcm: strict });
    expect(await send(await proxy.client(), upstream, get(target))).toEqual([200, line]);
  });

  it.each([
    [['X-ROLE: admin']],
    [['x-role: user', 'x-role: admin']],
    [['x-role: admin', 'x-role: user']],
    [['x-role:  admin \t']],
  ])('sees %j', async (lines) => {
    const { proxy, upstream } = await start({ filters: noAdmin, hcm: strict });
    expect(await send(await proxy.client(), upstream, get('/', ...lines))).toEqual([403, undefined]);
  });

  it('takes hosts of any case and of absolute targets, and of HTTP/2 the authority', async () => {
    const { proxy, upstream } = await start({ filters: noAdmin, hcm: strict });
    const request = (target: string, host: string) => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    expect(await send(await proxy.client(), upstream, request('/', 'SECRET.example'))).toEqual([403, undefined]);
    expect(await send(await proxy.client(), upstream, request('http://secret.example/', 'app'))).toEqual([
      403,
      undefined,
    ]);
    const session = http2Client(proxy.port());
    const answer = await ask(session, { ':path': '/', ':authority': 'Secret.example' });
    expect(answer.headers[':status']).toBe(403);
  });
});

describe('principals', () => {
  let authority: TestAuthority;
  const secrets = new Map<string, ReadonlyMap<string, TlsSecret>>();

  beforeAll(async () => {
    authority = await TestAuthority.create();
    for (const account of ['reviews', 'productpage', 'ratings'])
      secrets.set(account, await workloadSecrets(authority, account));
  });

  const PRODUCTPAGE = 'spiffe://cluster.local/ns/default/sa/productpage';

  it.each([
    ['authenticated', principal(PRODUCTPAGE)],
    ['filter_state', { filter_state: { key: 'io.istio.peer_principal', string_match: { exact: PRODUCTPAGE } } }],
  ])('are those of the verified certificate, by %s', async (_name, one) => {
    const app = await startUpstream();
    const manager = connectionManager(anyHost(toCluster('app')), {}, [
      httpRbac({ rules: rules('ALLOW', { a: [path({ exact: '/' }), one] }) }),
    ]);
    const chain = { filters: [manager], transport_socket: meshServerSocket() };
    const inbound = await startProxy(
      dataPlaneConfig([listener('in', [chain])], [cluster('app', [endpointOf(app.port)])], secrets.get('reviews')!),
    );
    const callers = ['productpage', 'ratings'].map(async (account) => {
      const upstream = cluster('reviews', [endpointOf(inbound.port())], {
        transport_socket: meshClientSocket('reviews'),
      });
      const filters = [connectionManager(anyHost(toCluster('reviews')))];
      const proxy = await startProxy(
        dataPlaneConfig([listener('out', [{ filters }])], [upstream], secrets.get(account)!),
      );
      return proxy.client();
    });
    const [good, bad] = await Promise.all(callers);
    const answered = send(good!, app, get('/'));
    expect(await answered).toEqual([200, 'GET / HTTP/1.1']);
    bad!.send(get('/', `x-forwarded-client-cert: URI=${PRODUCTPAGE}`));
    expect(await bad!.message()).toMatchObject({ head: expect.stringMatching(/^HTTP\/1.1 403 /), body: DENIED });
    expect(app.connections).toHaveLength(1);
  });
});
