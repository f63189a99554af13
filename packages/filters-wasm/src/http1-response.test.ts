// Property and example tests: the response parser against a plain reference, and the head that goes to the client.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DOWNSTREAM_CLOSE, DOWNSTREAM_HEAD, DOWNSTREAM_HTTP_10, DOWNSTREAM_PEER_LINES } from './core-functions.js';
import * as L from './layout.js';
import { applyEdits, edits, requestHeads } from './reference/http1-arbitraries.js';
import { HOP_BY_HOP, parseLines, readConnection, readFraming } from './reference/reference-head.js';
import { createTestCore } from './reference/test-core.js';

const { core, wasm, int, options, put, range, headers } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 4000);
const METHODS = { GET: L.METHOD_GET, HEAD: L.METHOD_HEAD } as const;
type Method = keyof typeof METHODS;

/** undefined = refused, 'more' = unfinished. */
function reference(text: string, method: Method) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return 'more';
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what must not be in a reason
  const parts = /^HTTP\/1\.([01]) ([1-9]\d\d)( [^\u0000-\u0008\u000a-\u001f\u007f]*)?$/.exec(statusLine);
  const faults = new Set<number>();
  if (parts === null || lines.length > 100) return undefined;
  const minor = Number(parts[1]);
  const status = Number(parts[2]);
  const all = parseLines(lines, faults);
  const framing = readFraming(all, minor, faults);
  const named = readConnection(all, faults);
  if (faults.size > 0 || status === 101) return undefined;
  const bodiless = method === 'HEAD' || status === 204 || status === 304 || status < 200;
  const hasLength = all.some((h) => h.name === 'content-length');
  const body = bodiless ? 'none' : framing.body === 'none' && !hasLength ? 'close' : framing.body;
  let lengths = 0;
  return {
    length: end + 4,
    status,
    body,
    keepAlive: status >= 200 && body !== 'close' && !named.has('close') && (minor === 1 || named.has('keep-alive')),
    headers: all.filter(({ name }) => {
      if (HOP_BY_HOP.has(name) || named.has(name)) return false;
      return name !== 'content-length' || (lengths++ === 0 && status !== 204);
    }),
  };
}

function parse(text: string, method: Method, stale = '\r\n\r\n') {
  const length = put(text);
  put(stale, L.READ_BUFFER + length);
  const result = wasm.parseResponse(L.READ_BUFFER, length, 0, METHODS[method], 0, options());
  if (result <= 0) return result === 0 ? 'more' : undefined;
  const bodies: Readonly<Record<number, string>> = {
    [L.BODY_NONE]: 'none',
    [L.BODY_LENGTH]: 'length',
    [L.BODY_CHUNKED]: 'chunked',
    [L.BODY_UNTIL_CLOSE]: 'close',
  };
  return {
    length: result,
    status: int(L.RESP_STATUS),
    body: bodies[int(L.RESP_BODY)],
    keepAlive: (int(L.RESP_FLAGS) & L.RESPONSE_KEEP_ALIVE) !== 0,
    headers: headers(L.RESP_HEADERS, int(L.RESP_HEADER_COUNT)),
  };
}

const statusLines = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      'HTTP/1.1 200 OK',
      'HTTP/1.1 204 No Content',
      'HTTP/1.1 304 Not Modified',
      'HTTP/1.0 200 OK',
      'HTTP/1.1 100 Continue',
      'HTTP/1.1 500',
      'HTTP/1.1 503 ',
      'HTTP/1.1 999 \u00e9',
      'HTTP/1.1 206 a b',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'HTTP/1.1 20 OK',
      'HTTP/2 200',
      'HTTP/1.1 2000 OK',
      'HTTP/1.1  200 OK',
      'ICY 200 OK',
      'HTTP/1.1 099 x',
      'HTTP/1.1 101 x',
      'HTTP/1.1 200 a\tb',
    ),
  },
);
const responseHeads = fc
  .tuple(statusLines, requestHeads)
  .map(([line, request]) => `${line}\r\n${request.replace(/^(\r\n)*[^\r\n]*\r\n/, '')}`);
const methods = fc.constantFrom<Method>('GET', 'HEAD');

describe('parseResponse', () => {
  it('agrees with the reference on valid, broken and mutated heads', () => {
    fc.assert(
      fc.property(responseHeads, edits, methods, (head, list, method) => {
        for (const text of [head, applyEdits(head, list)]) {
          const expected = reference(text, method);
          const actual = parse(text, method);
          // An unfinished head may be refused as soon as its fault is seen.
          if (expected === 'more') expect(typeof actual === 'object').toBe(false);
          else expect(actual).toEqual(expected);
          expect(parse(text, method, '0 x\n\r')).toEqual(actual);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('is not decided by where the reads were split', () => {
    fc.assert(
      fc.property(responseHeads, fc.array(fc.nat(200), { maxLength: 5 }), (head, cuts) => {
        const whole = parse(head, 'GET');
        let scanned = 0;
        let result = 0;
        for (const cut of [
          ...cuts.filter((place) => place > 0 && place < head.length).sort((a, b) => a - b),
          head.length,
        ]) {
          put(head.slice(0, cut));
          result = wasm.parseResponse(L.READ_BUFFER, cut, scanned, L.METHOD_GET, 0, options());
          if (result !== 0) break;
          scanned = cut;
        }
        if (typeof whole === 'object') expect(result).toBe(whole.length);
        else expect(result).toBeLessThanOrEqual(0);
      }),
      { numRuns: RUNS },
    );
  });

  it('takes 101 only where an upgrade was asked for', () => {
    const head = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n';
    expect(wasm.parseResponse(L.READ_BUFFER, put(head), 0, L.METHOD_GET, 0, options())).toBe(-502);
    expect(wasm.parseResponse(L.READ_BUFFER, put(head), 0, L.METHOD_GET, 1, options())).toBe(head.length);
    expect(int(L.RESP_FLAGS)).toBe(L.RESPONSE_UPGRADE);
    expect(write()).toEqual(['HTTP/1.1 101 Switching Protocols', 'upgrade: websocket', 'connection: Upgrade']);
  });

  it('marks informational answers, reads peers and gRPC status', () => {
    const hint = 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n';
    expect(wasm.parseResponse(L.READ_BUFFER, put(hint), 0, L.METHOD_GET, 0, options())).toBe(hint.length);
    expect(int(L.RESP_FLAGS)).toBe(L.RESPONSE_INFORMATIONAL);
    const head =
      'HTTP/1.1 200 OK\r\ngrpc-status: 14\r\nx-envoy-peer-metadata-id: peer\r\nx-envoy-peer-metadata: abc\r\ncontent-length: 0\r\n\r\n';
    expect(wasm.parseResponse(L.READ_BUFFER, put(head), 0, L.METHOD_GET, 0, options({ peerFromResponse: true }))).toBe(
      head.length,
    );
    expect(int(L.RESP_GRPC_STATUS)).toBe(14);
    expect(range(L.RESP_PEER_ID_OFFSET, L.RESP_PEER_ID_LENGTH)).toBe('peer');
    expect(range(L.RESP_PEER_METADATA_OFFSET, L.RESP_PEER_METADATA_LENGTH)).toBe('abc');
    expect(write()).toEqual(['HTTP/1.1 200 OK', 'grpc-status: 14', 'content-length: 0']);
  });
});

/** The head for the client, without its date. */
function write(listener = options(), flags = 0, serviceTimeMs = -1): string[] {
  const length = wasm.writeDownstreamHead(L.OUTPUT_RING, 70_000, listener, 0, flags, serviceTimeMs, 1);
  const text = core.text(L.OUTPUT_RING, length);
  expect(text.endsWith('\r\n\r\n')).toBe(true);
  return text
    .slice(0, -4)
    .split('\r\n')
    .filter((line) => !line.startsWith('date: '));
}

describe('writeDownstreamHead', () => {
  const answer = (text: string, listener = options()) => {
    expect(wasm.parseResponse(L.READ_BUFFER, put(text), 0, L.METHOD_GET, 0, listener)).toBe(text.length);
  };

  it('says who answered and how long it took', () => {
    const listener = options({ serverHeader: 'overwrite', routerHeaders: true });
    answer(
      'HTTP/1.0 200 Fine\r\nServer: app\r\nX-Envoy-Upstream-Service-Time: 99\r\ncontent-length: 3\r\nkeep-alive: x\r\n\r\n',
      listener,
    );
    expect(write(listener, 0, 12)).toEqual([
      'HTTP/1.1 200 Fine',
      'content-length: 3',
      'x-envoy-upstream-service-time: 12',
      'server: istio-envoy',
    ]);
    expect(write(options({ serverHeader: 'append-if-absent' }))).toEqual([
      'HTTP/1.1 200 Fine',
      'Server: app',
      'X-Envoy-Upstream-Service-Time: 99',
      'content-length: 3',
    ]);
    answer('HTTP/1.1 200\r\ndate: Sun, 01 Jan 2023 00:00:00 GMT\r\n\r\n');
    expect(wasm.writeDownstreamHead(L.OUTPUT_RING, 70_000, options(), 0, 0, -1, 1)).toBe(
      'HTTP/1.1 200\r\ndate: Sun, 01 Jan 2023 00:00:00 GMT\r\nconnection: close\r\n\r\n'.length,
    );
  });

  it('puts the connection and framing headers that this hop needs', () => {
    answer('HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nconnection: close\r\n\r\n');
    expect(write()).toEqual(['HTTP/1.1 200 OK', 'transfer-encoding: chunked']);
    expect(write(options(), DOWNSTREAM_CLOSE)).toEqual([
      'HTTP/1.1 200 OK',
      'transfer-encoding: chunked',
      'connection: close',
    ]);
    expect(write(options(), DOWNSTREAM_HTTP_10)).toEqual(['HTTP/1.1 200 OK', 'connection: close']);
    answer('HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n');
    expect(write(options(), DOWNSTREAM_HTTP_10)).toEqual([
      'HTTP/1.1 200 OK',
      'content-length: 1',
      'connection: keep-alive',
    ]);
    answer('HTTP/1.1 200 OK\r\na: 1\r\nContent-Length:\t007 \r\nb: 2\r\n\r\n');
    expect(write()).toEqual(['HTTP/1.1 200 OK', 'a: 1', 'Content-Length: 7', 'b: 2']);
    answer('HTTP/1.1 200 OK\r\n\r\n');
    expect(write()).toEqual(['HTTP/1.1 200 OK', 'connection: close']);
  });

  it('sends its own peer headers only to a peer', () => {
    const listener = options({ responseLines: [['x-envoy-peer-metadata-id', 'me']] });
    answer('HTTP/1.1 200 OK\r\nx-envoy-peer-metadata-id: forged\r\ncontent-length: 0\r\n\r\n', listener);
    expect(write(listener)).toEqual(['HTTP/1.1 200 OK', 'content-length: 0']);
    expect(write(listener, DOWNSTREAM_PEER_LINES)).toEqual([
      'HTTP/1.1 200 OK',
      'content-length: 0',
      'x-envoy-peer-metadata-id: me',
    ]);
  });

  it('refuses where there is no room', () => {
    answer('HTTP/1.1 200 OK\r\n\r\n');
    expect(wasm.writeDownstreamHead(L.OUTPUT_RING, 100, options(), 0, 0, -1, 1)).toBe(0);
  });
});

describe('writeLocalReply', () => {
  const reply = (status: number, body: string, flags = 0, location = '') => {
    const bodyLength = put(body, L.EMBEDDER_SCRATCH);
    const locationLength = put(location, L.EMBEDDER_SCRATCH + 4096);
    const listener = options({ serverHeader: 'overwrite' });
    const length = wasm.writeLocalReply(
      L.OUTPUT_RING,
      70_000,
      listener,
      0,
      flags,
      status,
      L.EMBEDDER_SCRATCH,
      bodyLength,
      L.EMBEDDER_SCRATCH + 4096,
      locationLength,
    );
    return core.text(L.OUTPUT_RING, length).replace(/date: [^\r]*\r\n/, '');
  };

  it('answers with a body, a redirect, or neither', () => {
    expect(reply(503, 'no healthy upstream')).toBe(
      'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 19\r\ncontent-type: text/plain\r\nserver: istio-envoy\r\n\r\nno healthy upstream',
    );
    expect(reply(301, '', DOWNSTREAM_CLOSE, 'https://h/')).toBe(
      'HTTP/1.1 301 Moved Permanently\r\ncontent-length: 0\r\nlocation: https://h/\r\nserver: istio-envoy\r\nconnection: close\r\n\r\n',
    );
    expect(reply(404, 'text', DOWNSTREAM_HEAD)).toBe(
      'HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\ncontent-type: text/plain\r\nserver: istio-envoy\r\n\r\n',
    );
    expect(reply(204, 'text')).toBe('HTTP/1.1 204 No Content\r\nserver: istio-envoy\r\n\r\n');
    expect(reply(418, '', DOWNSTREAM_HTTP_10)).toBe(
      "HTTP/1.1 418 I'm a Teapot\r\ncontent-length: 0\r\nserver: istio-envoy\r\nconnection: keep-alive\r\n\r\n",
    );
    expect(reply(599, '')).toContain('HTTP/1.1 599 Unknown\r\n');
  });
});
