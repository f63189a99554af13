// Differential test against Node's own HTTP parser (llhttp): an upstream reads of a forwarded head what was decided on.

import { createServer, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { fromJson } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { applyEdits, edits, requestHeads } from './reference/http1-arbitraries.js';
import { createTestCore } from './reference/test-core.js';
import { createTables } from './tables.js';

const { core, wasm, int, options, put, range } = createTestCore();
const tables = createTables(core);
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 1500);

const cluster = fromJson(ClusterSchema, { name: 'c', type: 'STATIC' });
const everything = fromJson(RouteConfigurationSchema, {
  name: 'r',
  virtualHosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '' }, route: { cluster: 'c' } }] }],
});
expect(tables.compile({ routeConfigurations: [everything], clusters: [{ cluster }], nowMs: 0 }).problems).toEqual([]);
tables.activate();

const seen: IncomingMessage[] = [];
const failures: string[] = [];
const server = createServer(
  { insecureHTTPParser: false, requireHostHeader: true, maxHeaderSize: 128 * 1024 },
  (request) => {
    seen.push(request);
  },
);
server.on('clientError', (error: NodeJS.ErrnoException) => failures.push(error.code ?? error.message));
server.on('checkContinue', (request) => seen.push(request));
server.on('checkExpectation', (request) => seen.push(request));

/** What llhttp makes of the bytes: the first request, or why there is none. */
async function readByNode(text: string): Promise<IncomingMessage | string> {
  seen.length = 0;
  failures.length = 0;
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  server.emit('connection', socket);
  socket.push(Buffer.from(text, 'latin1'));
  for (let turn = 0; turn < 20 && seen.length === 0 && failures.length === 0; turn++) await new Promise(setImmediate);
  socket.destroy();
  return seen[0] ?? failures[0] ?? 'nothing read';
}

describe('a forwarded head', () => {
  it('means the same to Node’s parser', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(requestHeads, edits, async (head, list) => {
        const text = applyEdits(head, list);
        if (wasm.parseRequest(L.READ_BUFFER, put(text), 0, options(), 0) <= 0) return;
        const method = range(L.REQ_METHOD_OFFSET, L.REQ_METHOD_LENGTH);
        // llhttp knows a list of methods; CONNECT and TRACE are not ordinary requests to it.
        if (!['GET', 'POST', 'HEAD', 'PUT', 'OPTIONS'].includes(method)) return;
        // llhttp refuses bytes outside ASCII in a target; they are passed on as they came, for upstreams that take them.
        if (/[\u0080-\u00ff]/.test(range(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH))) return;
        const expected = {
          method,
          url: range(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH),
          host: range(L.REQ_AUTHORITY_OFFSET, L.REQ_AUTHORITY_LENGTH),
          body: int(L.REQ_BODY),
          length: core.f64[L.REQ_CONTENT_LENGTH >> 3],
        };
        expect(wasm.route(tables.routeConfigSlot('r'), -1, 0)).toBe(L.ROUTE_ACTION_FORWARD);
        const length = wasm.writeUpstreamHead(L.OUTPUT_RING, 70_000, options(), 0, int(L.ROUTE_CLUSTER));
        const request = await readByNode(core.text(L.OUTPUT_RING, length));
        if (typeof request === 'string')
          throw new Error(`${request}: ${JSON.stringify(core.text(L.OUTPUT_RING, length))}`);
        const contentLength = request.headers['content-length'];
        const chunked = request.headers['transfer-encoding'] === 'chunked';
        expect({
          method: request.method,
          url: request.url,
          host: request.headers.host,
          body: chunked ? L.BODY_CHUNKED : Number(contentLength ?? 0) > 0 ? L.BODY_LENGTH : L.BODY_NONE,
          length: Number(contentLength ?? 0),
        }).toEqual(expected);
        expect(request.httpVersion).toBe('1.1');
        expect(request.headers.connection).toBeUndefined();
        compared++;
      }),
      { numRuns: RUNS },
    );
    expect(compared).toBeGreaterThan(RUNS / 20);
  });
});
