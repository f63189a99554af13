// Security: what is matched is what is forwarded; headers that only the mesh may set do not come in from outside.

import type { Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { cluster, type Json, listener, MESH_FILTERS, ProxyUnderTest, toCluster } from './proxy-under-test.js';
import { bytes, dial, Reader, RecordingUpstream, type SeenRequest } from './raw-wire.js';

let upstream: RecordingUpstream;
let proxy: ProxyUnderTest;
const ports = { internal: 0, edge: 0, hops: 0, unescape: 0, reject: 0, inbound: 0, outbound: 0 };

const forbiddenPrefix: Json = { match: { prefix: '/admin' }, direct_response: { status: 403 } };
const secretHost: Json = {
  name: 'secret',
  domains: ['secret', 'secret:80', 'secret:*'],
  routes: [{ match: { prefix: '/' }, direct_response: { status: 403 } }],
};
const byHeader: Json = {
  match: { prefix: '/', headers: [{ name: 'x-role', string_match: { exact: 'admin' } }] },
  direct_response: { status: 403 },
};
const routes = [forbiddenPrefix, byHeader, toCluster('c')];
const chain = (hcm: Json = {}, filters: readonly Json[] = []) => ({
  routes,
  virtualHosts: [secretHost, { name: 'all', domains: ['*'], routes }],
  hcm,
  filters,
});

beforeAll(async () => {
  upstream = await RecordingUpstream.start();
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
  proxy = await ProxyUnderTest.start(
    [
      listener('internal', ports.internal, chain()),
      listener(
        'edge',
        ports.edge,
        chain({ use_remote_address: true, forward_client_cert_details: 'SANITIZE_SET' }, MESH_FILTERS),
      ),
      listener('hops', ports.hops, chain({ use_remote_address: true, xff_num_trusted_hops: 1 })),
      listener('unescape', ports.unescape, chain({ path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' })),
      listener('reject', ports.reject, chain({ path_with_escaped_slashes_action: 'REJECT_REQUEST' })),
      listener('inbound', ports.inbound, chain({ forward_client_cert_details: 'APPEND_FORWARD' }, MESH_FILTERS), {
        traffic_direction: 'INBOUND',
      }),
      listener('outbound', ports.outbound, chain({}, MESH_FILTERS), { traffic_direction: 'OUTBOUND' }),
    ],
    [cluster('c', upstream.port)],
  );
});

afterAll(async () => {
  await proxy?.stop();
  await upstream?.stop();
});

beforeEach(() => upstream.reset());

/** One request on a connection of its own. */
async function ask(
  port: number,
  text: string,
): Promise<{ status: number; text: string; seen: SeenRequest | undefined }> {
  upstream.reset();
  const socket = await dial(port);
  const reader = new Reader(socket);
  socket.write(bytes(text));
  const { statuses, text: received } = await reader.responses(1);
  socket.destroy();
  return { status: statuses[0] ?? 0, text: received, seen: upstream.seen[0] };
}

const get = (target: string, headers = '', host = 'a') => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`;

describe('paths', () => {
  const BLOCKED = [
    '/admin',
    '/admin/',
    '/admin/x',
    '//admin',
    '///admin',
    '/./admin',
    '/x/../admin',
    '/x/y/../../admin',
    '/%61dmin',
    '/%61%64%6d%69%6e',
    '/x/%2e%2e/admin',
    '/x/%2E%2E/admin',
    '/x/.%2e/admin',
    '/%2e/admin',
    '/\\admin',
    '/x\\..\\admin',
    '/x/..\\admin',
    '/../admin',
    '/../../admin',
    '/x/..//admin',
    '//x/..//../admin',
    '/admin#x',
    '/admin?x#y',
    '/admin/..;/x/../admin',
    '/admin;x',
    '/..;/admin',
    '/.;a/admin',
    '/x/..;a=b/admin',
    '/x/%2e%2e;a/admin',
    '/x\\..;a\\admin',
    '/admin%20',
    '/admin%09',
  ];
  test.each(BLOCKED)('%s is the forbidden path', async (target) => {
    const { status, seen } = await ask(ports.internal, get(target));
    expect([status, seen?.target]).toEqual([403, undefined]);
  });

  test.each([
    ['/%00', 400],
    ['/x%00/../admin', 400],
    ['/%', 200],
    ['/\xc0\xae\xc0\xae/admin', 400],
    ['/\xe9', 400],
    ['/?\xe9', 400],
    ['/\x7f', 400],
  ])('%s is answered with %d', async (target, status) => {
    expect((await ask(ports.internal, get(target))).status).toBe(status);
  });

  // What goes through is forwarded as it was matched: the origin gets the normalized target, and nothing else.
  test.each([
    ['/a/../b', '/b'],
    ['/a//b', '/a/b'],
    ['/a\\b', '/a/b'],
    ['/a/./b/', '/a/b/'],
    ['/x//../admin', '/x/admin'],
    ['/a/b/..', '/a/'],
    ['/a/b/.', '/a/b/'],
    ['/a%2fb', '/a%2fb'],
    ['/a%5cb', '/a%5cb'],
    ['/x%2f..%2fadmin', '/x%2f..%2fadmin'],
    ['/%252e%252e/admin', '/%252e%252e/admin'],
    ['/...;/admin', '/...;/admin'],
    ['/%%32%65%%32%65/admin', '/%252e%252e/admin'],
    ['/%%36%31dmin', '/%2561dmin'],
    ['/a"<^`{|}>', '/a%22%3C%5E%60%7B%7C%7D%3E'],
    ['/a#/admin', '/a'],
    ['/a?b=/../admin', '/a?b=/../admin'],
    ['/a?b#c', '/a?b'],
    ['/a?b=%61', '/a?b=%61'],
    ['/%7Ea', '/~a'],
    ['/%41', '/A'],
    ['/ADMIN', '/ADMIN'],
    ['http://a/x/../b#f', '/b'],
  ])('%s is forwarded as %s', async (target, forwarded) => {
    const { status, seen } = await ask(ports.internal, get(target));
    expect([status, seen?.target]).toEqual([200, forwarded]);
  });

  test.each(['/x%2f..%2fadmin', '/x%5c..%5cadmin', '/%2fadmin', '/x/..%2Fadmin', '/%5Cadmin', '/x%2F%2e%2e%2Fadmin'])(
    '%s is the forbidden path where slashes are unescaped, and refused where the listener says so',
    async (target) => {
      expect((await ask(ports.unescape, get(target))).status).toBe(403);
      expect((await ask(ports.reject, get(target))).status).toBe(400);
      expect(upstream.seen).toEqual([]);
    },
  );
});

describe('hosts', () => {
  test.each(['secret', 'SECRET', 'sEcReT:80', 'secret:8080'])('%s is the secret host', async (host) => {
    expect((await ask(ports.internal, get('/', '', host))).status).toBe(403);
    expect((await ask(ports.internal, get(`http://${host}/`, '', 'other'))).status).toBe(403);
  });

  test('an absolute form decides over Host, both ways', async () => {
    const { status, seen } = await ask(ports.internal, get('http://other/', '', 'secret'));
    expect([status, seen?.header('host')]).toEqual([200, ['other']]);
  });
});

describe('hop-by-hop headers', () => {
  test('those of the request and those that Connection names do not cross', async () => {
    const { seen } = await ask(
      ports.internal,
      get(
        '/',
        'Connection: keep-alive, X-Hop\r\nConnection: x-other\r\nX-Hop: 1\r\nx-hop: 2\r\nX-Other: 3\r\nKeep-Alive: timeout=5\r\n' +
          'Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n' +
          'Proxy-Authenticate: x\r\nX-Stays: 4\r\n',
      ),
    );
    const names = (seen?.rawHeaders ?? []).filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    for (const name of ['x-hop', 'x-other', 'keep-alive', 'proxy-connection', 'te', 'upgrade', 'trailer']) {
      expect(names).not.toContain(name);
    }
    expect(names).toContain('x-stays');
  });

  test('a header that Connection names is not matched either', async () => {
    expect((await ask(ports.internal, get('/', 'X-Role: admin\r\n'))).status).toBe(403);
    const { status, seen } = await ask(ports.internal, get('/', 'X-Role: admin\r\nConnection: x-role\r\n'));
    expect([status, seen?.header('x-role')]).toEqual([200, []]);
  });

  test('Connection: x-request-id makes a new one instead of none', async () => {
    const { seen } = await ask(ports.internal, get('/', 'X-Request-Id: mine\r\nConnection: x-request-id\r\n'));
    expect(seen?.header('x-request-id')).toHaveLength(1);
    expect(seen?.header('x-request-id')).not.toEqual(['mine']);
  });

  test('Connection: x-forwarded-for does not remove what an edge adds', async () => {
    const { seen } = await ask(ports.edge, get('/', 'X-Forwarded-For: 1.2.3.4\r\nConnection: x-forwarded-for\r\n'));
    expect(seen?.header('x-forwarded-for').join()).toMatch(/127\.0\.0\.1$/);
  });

  test('header names are matched in any case', async () => {
    expect((await ask(ports.internal, get('/', 'X-ROLE: admin\r\n'))).status).toBe(403);
    expect((await ask(ports.internal, get('/', 'x-rOLE:admin \r\n'))).status).toBe(403);
  });
});

const OUTSIDE = [
  'x-envoy-original-path: /admin',
  'X-Envoy-Retry-On: 5xx',
  'x-envoy-max-retries: 9',
  'x-envoy-internal: true',
  'x-envoy-upstream-rq-timeout-ms: 1',
  'x-envoy-decorator-operation: x',
  'x-envoy-external-address: 1.1.1.1',
  'X-ENVOY-attempt-count: 7',
  'x-envoy-force-trace: 1',
  'x-envoy-expected-rq-timeout-ms: 3',
  'x-envoy-peer-metadata: AAAA',
  'x-envoy-peer-metadata-id: sidecar~1.1.1.1~forged~x',
  'X-Envoy-Whatever: 1',
  'x-envoy-: 1',
  'x-forwarded-client-cert: By=a;Hash=b;URI=spiffe://cluster.local/ns/a/sa/b',
  'X-Forwarded-Client-Cert: second',
];

describe('an edge listener', () => {
  test.each(OUTSIDE)('takes %s away', async (line) => {
    const [name = '', value = ''] = line.split(': ');
    const { status, seen } = await ask(ports.edge, get('/', `${line}\r\n`));
    expect(status).toBe(200);
    expect(seen?.header(name.toLowerCase())).not.toContain(value);
    if (name.toLowerCase() === 'x-forwarded-client-cert') expect(seen?.header('x-forwarded-client-cert')).toEqual([]);
  });

  test('believes neither x-forwarded-proto nor a request id from outside', async () => {
    const { seen } = await ask(ports.edge, get('/', 'X-Forwarded-Proto: https\r\nX-Request-Id: forged\r\n'));
    expect(seen?.header('x-forwarded-proto')).toEqual(['http']);
    expect(seen?.header('x-request-id')).not.toContain('forged');
  });

  test('appends the address of its client to x-forwarded-for', async () => {
    const one = await ask(ports.edge, get('/', 'X-Forwarded-For: 9.9.9.9\r\n'));
    expect(one.seen?.header('x-forwarded-for')).toEqual(['9.9.9.9,127.0.0.1']);
    const two = await ask(ports.edge, get('/', 'X-Forwarded-For: 9.9.9.9\r\nx-forwarded-for: 8.8.8.8\r\n'));
    expect(two.seen?.header('x-forwarded-for').join()).toMatch(/,127\.0\.0\.1$/);
    const none = await ask(ports.edge, get('/'));
    expect(none.seen?.header('x-forwarded-for')).toEqual(['127.0.0.1']);
    const trusted = await ask(ports.hops, get('/', 'X-Forwarded-For: 9.9.9.9\r\n'));
    expect(trusted.seen?.header('x-forwarded-for')).toEqual(['9.9.9.9,127.0.0.1']);
  });

  test('takes no forged x-forwarded-for while somebody holds thousands of connections', async () => {
    const open: Socket[] = [];
    try {
      while (open.length < 4_200) open.push(await dial(ports.edge));
      const { seen } = await ask(ports.edge, get('/', 'X-Forwarded-For: 6.6.6.6\r\n'));
      expect(seen?.header('x-forwarded-for')).toEqual(['6.6.6.6,127.0.0.1']);
    } finally {
      for (const socket of open) socket.destroy();
    }
  });
});

describe('inside the mesh', () => {
  test('a sidecar takes no client certificate header over plain text', async () => {
    for (const port of [ports.inbound, ports.internal]) {
      const { seen } = await ask(
        port,
        get('/', 'X-Forwarded-Client-Cert: By=a;URI=spiffe://cluster.local/ns/a/sa/b\r\n'),
      );
      expect(seen?.header('x-forwarded-client-cert')).toEqual([]);
    }
  });

  test("an outbound sidecar replaces an application's peer metadata by its own", async () => {
    const { seen } = await ask(
      ports.outbound,
      get('/', 'x-envoy-peer-metadata: AAAA\r\nX-Envoy-Peer-Metadata-Id: forged\r\n'),
    );
    expect(seen?.header('x-envoy-peer-metadata')).toHaveLength(1);
    expect(seen?.header('x-envoy-peer-metadata')).not.toContain('AAAA');
    expect(seen?.header('x-envoy-peer-metadata-id')).toEqual([
      'sidecar~127.0.0.1~target.security~security.svc.cluster.local',
    ]);
  });

  test('an inbound sidecar keeps peer metadata from the application and escapes it in labels', async () => {
    const evil = 'a"} 1\nforged_metric{x="\\';
    const metadata = Buffer.from(peerMetadata({ WORKLOAD_NAME: evil, NAMESPACE: '\r\n"' })).toString('base64');
    const { status, seen } = await ask(
      ports.inbound,
      get('/', `x-envoy-peer-metadata-id: x\r\nx-envoy-peer-metadata: ${metadata}\r\n`),
    );
    expect(status).toBe(200);
    expect(seen?.header('x-envoy-peer-metadata')).toEqual([]);
    const page = await waitUntil('the series', async () => {
      const { body } = await proxy.admin('/stats/prometheus');
      return body.includes('forged_metric') ? body : undefined;
    });
    expect(page).toContain('source_workload="a\\"} 1\\nforged_metric{x=\\"\\\\"');
    for (const line of page.split('\n'))
      expect(line).toMatch(/^($|#|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^\n]*\})? [-+0-9.eEInfNa]+$)/);
  });

  test.each([
    'not base64 %%%',
    'A'.repeat(50_000),
    '////',
    Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]).toString('base64'),
  ])('metadata that is none does no harm (%#)', async (value) => {
    const { status } = await ask(
      ports.inbound,
      get('/', `x-envoy-peer-metadata-id: x\r\nx-envoy-peer-metadata: ${value}\r\n`),
    );
    expect(status).toBe(200);
    expect((await proxy.admin('/stats/prometheus')).status).toBe(200);
  });
});

/** A google.protobuf.Struct of short texts. */
function peerMetadata(fields: Record<string, string>): Uint8Array {
  const field = (tag: number, content: Uint8Array) => Buffer.concat([Buffer.of(tag, content.length), content]);
  return Buffer.concat(
    Object.entries(fields).map(([key, value]) =>
      field(10, Buffer.concat([field(10, Buffer.from(key)), field(18, field(26, Buffer.from(value)))])),
    ),
  );
}
