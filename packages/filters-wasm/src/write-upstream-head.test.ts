// The head that goes upstream: what the reference parser reads of it is what was decided, and nothing else crosses.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ROUTER_HEADERS from './http1/router-headers.js';
import * as L from './layout.js';
import type { ListenerOptions } from './listener-options.js';
import { requestHeads } from './reference/http1-arbitraries.js';
import { HOP_BY_HOP, parseReferenceRequest, type ReferenceRequest } from './reference/reference-head.js';
import { createTestCore } from './reference/test-core.js';
import { createTables } from './tables.js';

const { core, wasm, int, options, put } = createTestCore();
const tables = createTables(core);
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);
const RULES = { normalize: true, mergeSlashes: false, escapedSlashes: 'keep' } as const;

function use(config: { [key: string]: JsonValue }, external = false): void {
  const cluster = fromJson(ClusterSchema, {
    name: 'c',
    type: 'STATIC',
    ...(external ? { metadata: { filterMetadata: { istio: { external: true } } } } : {}),
  });
  const result = tables.compile({
    routeConfigurations: [fromJson(RouteConfigurationSchema, { name: 'r', ...config })],
    clusters: [{ cluster }],
    nowMs: 0,
  });
  expect(result).toMatchObject({ ok: true });
  tables.activate();
}
const forwardAll = (
  route: { [key: string]: JsonValue } = {},
  action: { [key: string]: JsonValue } = {},
  host: { [key: string]: JsonValue } = {},
) => ({
  virtualHosts: [
    {
      name: 'v',
      domains: ['*'],
      routes: [{ match: { prefix: '' }, route: { cluster: 'c', ...action }, ...route }],
      ...host,
    },
  ],
});

/** Parses, routes and writes; the written head, or what refused it. */
function forward(text: string, listener: number, connection = 0): string | number {
  const result = wasm.parseRequest(L.READ_BUFFER, put(text), 0, listener, connection);
  if (result <= 0) return result;
  if (wasm.route(tables.routeConfigSlot('r'), -1, 0) !== L.ROUTE_ACTION_FORWARD) return -404;
  core.bytes.fill('S', L.OUTPUT_RING, L.OUTPUT_RING + 70_000, 'latin1');
  const length = wasm.writeUpstreamHead(L.OUTPUT_RING, 70_000, listener, connection, int(L.ROUTE_CLUSTER));
  expect(length).toBeGreaterThan(0);
  return core.text(L.OUTPUT_RING, length);
}
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'TRACE', 'CONNECT']);
function saysThatNothingFollows({ method, body, headers }: ReferenceRequest): boolean {
  return body === 'none' && !BODILESS.has(method) && !headers.some(({ name }) => name === 'content-length');
}
const head = (lines: readonly string[] = [], target = '/p?q=1') =>
  `GET ${target} HTTP/1.1\r\nhost: reviews\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n`;
function sent(
  lines: readonly string[],
  changes: Partial<ListenerOptions> = {},
  connection = 0,
  target?: string,
): string[] {
  const written = forward(head(lines, target), options(changes), connection);
  expect(written).toBeTypeOf('string');
  const [, ...rest] = (written as string).slice(0, -4).split('\r\n');
  return rest;
}

describe('writeUpstreamHead', () => {
  it('writes what was parsed, without hop-by-hop headers, for any accepted request', () => {
    use(forwardAll());
    fc.assert(
      fc.property(
        requestHeads.filter((text) => !text.includes('CONNECT')),
        (text) => {
          const request = parseReferenceRequest(text, RULES);
          const written = forward(text, options());
          if (request.kind !== 'request') {
            expect(written).toBeTypeOf('number');
            return;
          }
          const again = parseReferenceRequest(written as string, RULES);
          if (again.kind !== 'request')
            throw new Error(`the written head is ${again.kind}: ${JSON.stringify(written)}`);
          expect(again.length).toBe((written as string).length);
          expect(again).toMatchObject({
            method: request.method,
            path: request.path,
            authority: request.authority,
            body: request.body,
            contentLength: request.contentLength,
            minor: 1,
          });
          const names = /^[^\r]*\r\n((?:.*\r\n)*)\r\n$/.exec(written as string)![1]!.toLowerCase();
          for (const name of HOP_BY_HOP)
            if (name !== 'transfer-encoding') expect(names).not.toMatch(new RegExp(`^${name}:`, 'm'));
          const plain = (list: readonly { name: string; value: string }[]) =>
            list.filter((h) => h.name !== 'host' && h.name !== 'x-forwarded-proto');
          const added = saysThatNothingFollows(request) ? [{ name: 'content-length', value: '0' }] : [];
          expect(plain(again.headers)).toEqual([...plain(request.headers), ...added]);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('copies the lines of an ordinary request as they came', () => {
    use(forwardAll());
    expect(forward(head(['Accept:  x ', 'X-A: 1']), options())).toBe(
      'GET /p?q=1 HTTP/1.1\r\nhost: reviews\r\nAccept:  x \r\nX-A: 1\r\nx-forwarded-proto: http\r\n\r\n',
    );
  });

  it.each([
    ['Content-Length: \t 05 \t', 'Content-Length: 5'],
    ['Content-Length:5', 'Content-Length: 5'],
    ['content-length:\t5', 'content-length: 5'],
    ['content-length: 5 ', 'content-length: 5'],
    ['content-length: 000', 'content-length: 0'],
    ['CONTENT-LENGTH: 50', 'CONTENT-LENGTH: 50'],
  ])('sends the length that was understood: %j', (line, written) => {
    use(forwardAll());
    const [first, last] = ['accept:  x ', 'x-a: 1'];
    const forwarded = 'x-forwarded-proto: http';
    expect(sent([line])).toEqual(['host: reviews', written, forwarded]);
    expect(sent([first, line, last])).toEqual(['host: reviews', first, written, last, forwarded]);
    expect(sent([line, last, line])).toEqual(['host: reviews', written, last, forwarded]);
  });

  it.each(['POST', 'PUT', 'OPTIONS', 'PATCH', 'QUERY'])('says that %s without a body has none', (method) => {
    use(forwardAll());
    const text = (lines: string) => `${method} /x HTTP/1.1\r\nhost: reviews\r\n${lines}\r\n`;
    expect(forward(text(''), options())).toBe(text('x-forwarded-proto: http\r\ncontent-length: 0\r\n'));
    expect(forward(text('Content-Length: 0\r\n'), options())).toBe(
      text('Content-Length: 0\r\nx-forwarded-proto: http\r\n'),
    );
    const chunked = 'x-forwarded-proto: http\r\ntransfer-encoding: chunked\r\n';
    expect(forward(text('Transfer-Encoding: chunked\r\n'), options())).toBe(text(chunked));
  });

  it.each(['GET', 'HEAD', 'DELETE', 'TRACE'])('says nothing of the body of %s', (method) => {
    use(forwardAll());
    const text = (lines: string) => `${method} /x HTTP/1.1\r\nhost: reviews\r\n${lines}\r\n`;
    expect(forward(text(''), options())).toBe(text('x-forwarded-proto: http\r\n'));
  });

  it('replaces Host by the authority of an absolute target', () => {
    use(forwardAll());
    expect(forward(head(['a: b'], 'http://other:81/x#f'), options())).toBe(
      'GET /x HTTP/1.1\r\nhost: other:81\r\na: b\r\nx-forwarded-proto: http\r\n\r\n',
    );
  });

  it('applies mutations from the inside out, and rewrites path and host', () => {
    const set = (key: string, value: string, appendAction = 'OVERWRITE_IF_EXISTS_OR_ADD') => ({
      header: { key, value },
      appendAction,
    });
    use({
      ...forwardAll(
        {
          requestHeadersToAdd: [
            set('x-level', 'route'),
            set('x-many', 'r', 'APPEND_IF_EXISTS_OR_ADD'),
            set('x-there', 'no', 'ADD_IF_ABSENT'),
            set('x-gone', 'no', 'OVERWRITE_IF_EXISTS'),
          ],
          requestHeadersToRemove: ['X-Secret'],
        },
        { prefixRewrite: '/new', hostRewriteLiteral: 'rewritten' },
        { requestHeadersToAdd: [set('x-level', 'host 100%%')] },
      ),
      requestHeadersToAdd: [set('x-many', 'c', 'APPEND_IF_EXISTS_OR_ADD')],
    });
    const lines = ['x-secret: 1', 'x-there: yes', 'x-many: q', 'X-Level: client'];
    expect(sent(lines)).not.toContain('x-envoy-original-path: /p?q=1');
    expect(sent(lines, { routerHeaders: true })).toEqual([
      'host: rewritten',
      'x-there: yes',
      'x-many: q',
      'x-forwarded-proto: http',
      'x-envoy-original-path: /p?q=1',
      'x-many: r',
      'x-level: host 100%',
      'x-many: c',
    ]);
  });

  it('takes the Host from a header that holds one, of the request or of the configuration', () => {
    use(forwardAll({}, { hostRewriteHeader: 'X-Real-Host' }));
    const hosts = (lines: string[]) => sent(lines).filter((line) => line.toLowerCase().startsWith('host:'));
    expect(hosts(['x-real-host: shop.test:80', 'x-real-host: other'])).toEqual(['host: shop.test:80']);
    expect(hosts([])).toEqual(['host: reviews']);
    expect(hosts(['x-real-host:'])).toEqual(['host: reviews']);
    expect(hosts(['x-real-host: a/b'])).toEqual(['host: reviews']);
    const set = { header: { key: 'x-real-host', value: 'set' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' };
    use(forwardAll({ requestHeadersToAdd: [set] }, { hostRewriteHeader: 'x-real-host' }));
    expect(hosts(['x-real-host: shop.test'])).toEqual(['host: set']);
  });

  it('sets the attempt count last, and changes it in a kept copy', () => {
    use(forwardAll({}, {}, { includeRequestAttemptCount: true }));
    const written = forward(head(['x-envoy-attempt-count: 7', 'a: b']), options()) as string;
    expect(written.endsWith('\r\nx-envoy-attempt-count: 1\r\n\r\n')).toBe(true);
    expect(written.match(/attempt-count/g)).toHaveLength(1);
    const longer = wasm.setAttemptCount(L.OUTPUT_RING, written.length, 12);
    expect(core.text(L.OUTPUT_RING, longer)).toBe(written.replace('count: 1\r', 'count: 12\r'));
    expect(wasm.setAttemptCount(L.OUTPUT_RING, longer, 3)).toBe(written.length);
  });

  it('makes a request id where there is none, and keeps one that is there', () => {
    use(forwardAll());
    const made = sent([], { generateRequestId: true }).find((line) => line.startsWith('x-request-id: '))!;
    expect(made).toMatch(/^x-request-id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(sent([], { generateRequestId: true })).not.toContain(made);
    expect(
      sent(['X-Request-Id: mine'], { generateRequestId: true }).filter((line) => /x-request-id/i.test(line)),
    ).toEqual(['X-Request-Id: mine']);
    expect(sent(['x-request-id: mine'], { generateRequestId: true, edge: true })).not.toContain('x-request-id: mine');
  });

  it('removes what must not come from outside the mesh, before routes can match it', () => {
    use(forwardAll({ match: { prefix: '/', headers: [{ name: 'x-envoy-secret', presentMatch: true }] } }));
    const edge = options({ edge: true, useRemoteAddress: true, forwardClientCert: 'sanitize' });
    expect(forward(head(['X-Envoy-Secret: 1']), options())).toBeTypeOf('string');
    expect(forward(head(['X-Envoy-Secret: 1']), edge)).toBe(-404);
    expect(forward(head(['connection: x-envoy-secret', 'x-envoy-secret: 1']), options())).toBe(-404);
  });

  it('passes on nothing by which callers would tell the next router what to do', () => {
    use(forwardAll());
    for (const [constant, hash] of Object.entries(ROUTER_HEADERS)) {
      const name = constant.toLowerCase().replaceAll('_', '-');
      core.bytes.write(name, L.PATH_SCRATCH, 'latin1');
      expect([name, wasm.hashName(L.PATH_SCRATCH, name.length)]).toEqual([name, hash]);
      expect(sent([`${name}: 1`, 'a: b'])).not.toContain(`${name}: 1`);
      expect(sent([`${name.toUpperCase()}: 1`, 'a: b'])).toHaveLength(sent(['a: b']).length);
    }
    expect(sent(['x-envoy-decorator-operation: x'])).toContain('x-envoy-decorator-operation: x');
  });

  it('appends the address and says the scheme at the edge', () => {
    use(forwardAll());
    const connection = core.connections.create({ remoteAddress: '9.8.7.6', tls: true, mutualTls: false, xfcc: '' });
    expect(
      sent(
        [
          'x-forwarded-for: 1.1.1.1',
          'x-forwarded-proto: gopher',
          'x-envoy-decorator-operation: x',
          'x-forwarded-client-cert: forged',
        ],
        { edge: true, useRemoteAddress: true, forwardClientCert: 'append-forward' },
        connection,
      ),
    ).toEqual(['host: reviews', 'x-forwarded-proto: https', 'x-forwarded-for: 1.1.1.1,9.8.7.6']);
    expect(sent(['x-forwarded-for: 1.1.1.1', 'x-forwarded-proto: https'], {}, connection)).toEqual([
      'host: reviews',
      'x-forwarded-for: 1.1.1.1',
      'x-forwarded-proto: https',
    ]);
    core.connections.release(connection);
  });

  it('sends no x-forwarded-for where the address that must stand in it is not known', () => {
    use(forwardAll());
    const lines = ['x-forwarded-for: 6.6.6.6', 'X-Forwarded-For: 7.7.7.7'];
    expect(sent(lines, { edge: true, useRemoteAddress: true })).toEqual(['host: reviews', 'x-forwarded-proto: http']);
    expect(sent(lines, { useRemoteAddress: true, skipXffAppend: true })).toContain('x-forwarded-for: 6.6.6.6');
    expect(sent(lines)).toContain('x-forwarded-for: 6.6.6.6');
  });

  it.each([
    ['sanitize', true, []],
    ['sanitize-set', true, ['x-forwarded-client-cert: By=me']],
    ['append-forward', true, ['x-forwarded-client-cert: By=other,By=me']],
    ['forward-only', true, ['x-forwarded-client-cert: By=other']],
    ['append-forward', false, []],
    ['forward-only', false, []],
    ['always-forward-only', false, ['x-forwarded-client-cert: By=other']],
  ] as const)('treats x-forwarded-client-cert by %s (mutual TLS: %s)', (forwardClientCert, mutualTls, expected) => {
    use(forwardAll());
    const connection = core.connections.create({
      remoteAddress: '9.8.7.6',
      tls: mutualTls,
      mutualTls,
      xfcc: mutualTls ? 'By=me' : '',
    });
    const lines = sent(['x-forwarded-client-cert: By=other'], { forwardClientCert }, connection);
    expect(lines.filter((line) => line.startsWith('x-forwarded-client-cert'))).toEqual(expected);
    core.connections.release(connection);
  });

  it('sends its own peer headers inside the mesh and none outside, and never the ones it was given', () => {
    const requestLines = [['x-envoy-peer-metadata-id', 'me']] as const;
    use(forwardAll());
    expect(sent(['X-Envoy-Peer-Metadata-Id: forged', 'x-envoy-peer-metadata: forged'], { requestLines })).toEqual([
      'host: reviews',
      'x-forwarded-proto: http',
      'x-envoy-peer-metadata-id: me',
    ]);
    use(forwardAll(), true);
    expect(sent(['x-envoy-peer-metadata-id: forged'], { requestLines })).toEqual([
      'host: reviews',
      'x-forwarded-proto: http',
    ]);
    expect(sent(['x-envoy-peer-metadata-id: peer', 'x-envoy-peer-metadata: abc'], { peerFromRequest: true })).toEqual([
      'host: reviews',
      'x-forwarded-proto: http',
    ]);
    expect(core.text(int(L.REQ_PEER_METADATA_OFFSET), int(L.REQ_PEER_METADATA_LENGTH))).toBe('abc');
  });

  it('keeps an upgrade that the listener allows, and no other', () => {
    use(forwardAll());
    const lines = ['connection: keep-alive, Upgrade', 'upgrade: websocket', 'sec-websocket-key: k'];
    expect(sent(lines, { allowWebsocket: true })).toEqual([
      'host: reviews',
      'upgrade: websocket',
      'sec-websocket-key: k',
      'x-forwarded-proto: http',
      'connection: Upgrade',
    ]);
    expect(int(L.REQ_FLAGS) & L.REQUEST_UPGRADE).toBe(L.REQUEST_UPGRADE);
    expect(sent(lines)).toEqual(['host: reviews', 'sec-websocket-key: k', 'x-forwarded-proto: http']);
    expect(sent(['connection: upgrade', 'upgrade: h2c'], { allowWebsocket: true })).toEqual([
      'host: reviews',
      'x-forwarded-proto: http',
    ]);
  });

  it('refuses to write with a result of older tables, and where there is no room', () => {
    use(forwardAll());
    expect(forward(head(), options())).toBeTypeOf('string');
    expect(wasm.writeUpstreamHead(L.OUTPUT_RING, 100, options(), 0, int(L.ROUTE_CLUSTER))).toBe(0);
    use(forwardAll());
    expect(wasm.writeUpstreamHead(L.OUTPUT_RING, 70_000, options(), 0, int(L.ROUTE_CLUSTER))).toBe(-1);
  });
});
