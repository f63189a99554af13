// h2EncodeHead against a plain reference, and both directions against Node's HTTP/2 (nghttp2) as the peer.
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hpackInteger, ReferenceDecoder } from '../reference/reference-hpack.js';
import { createTestCore } from '../reference/test-core.js';
import * as H from './h2-layout.js';

const { core, wasm, int } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 1500);

function encode(head: string, kind: number, capacity = H.H2_BLOCK_BUFFER_BYTES): Buffer | undefined {
  core.bytes.write(head, H.H2_HEAD_BUFFER, 'latin1');
  const length = wasm.h2EncodeHead(H.H2_HEAD_BUFFER, head.length, kind, H.H2_BLOCK_BUFFER, capacity);
  if (length === 0) return undefined;
  return Buffer.from(core.bytes.subarray(H.H2_BLOCK_BUFFER, H.H2_BLOCK_BUFFER + length));
}

/** The fields that the reference reads from the block. */
function fields(head: string, kind: number): string[] {
  const block = encode(head, kind);
  if (block === undefined) throw new Error('no room');
  const decoder = new ReferenceDecoder();
  const list = decoder.decode(block).map(([name, value]) => `${name}: ${value}`);
  expect(decoder.size).toBe(0);
  return list;
}

const head = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`;

describe('h2EncodeHead', () => {
  it.each([
    [
      'a request of gRPC',
      head(
        'POST /pkg.Service/Method HTTP/1.1',
        'Content-Type: application/grpc+proto',
        'Host: a:80',
        'X-B:  padded \t',
      ),
      H.H2_REQUEST,
      [':method: POST', ':scheme: http', ':path: /pkg.Service/Method', ':authority: a:80'],
      ['content-type: application/grpc+proto', 'x-b: padded', 'te: trailers'],
    ],
    [
      'a request that has no body, which the end of its stream says',
      head('PUT /x HTTP/1.1', 'host: a', 'content-length: 0'),
      H.H2_REQUEST,
      [':method: PUT', ':scheme: http', ':path: /x', ':authority: a'],
      [],
    ],
    [
      'what means one connection alone',
      head(
        'GET / HTTP/1.1',
        'host: a',
        'connection: keep-alive, x-b',
        'Keep-Alive: 5',
        'transfer-encoding: chunked',
        'TE: gzip',
        'Proxy-Connection: x',
      ),
      H.H2_REQUEST | H.H2_HTTPS,
      [':method: GET', ':scheme: https', ':path: /', ':authority: a'],
      [],
    ],
    [
      'a CONNECT',
      head('CONNECT a:443 HTTP/1.1', 'host: a:443'),
      H.H2_REQUEST,
      [':method: CONNECT', ':authority: a:443'],
      [],
    ],
    [
      'an upgrade',
      head('GET /chat HTTP/1.1', 'host: a', 'upgrade: websocket', 'connection: Upgrade', 'x: y'),
      H.H2_REQUEST | H.H2_UPGRADE,
      [':method: CONNECT', ':scheme: http', ':path: /chat', ':authority: a', ':protocol: websocket'],
      ['x: y'],
    ],
    [
      'another method',
      head('PATCH /x HTTP/1.1', 'host: a'),
      H.H2_REQUEST,
      [':method: PATCH', ':scheme: http', ':path: /x', ':authority: a'],
      [],
    ],
    [
      'the switch of protocols',
      head('HTTP/1.1 101 Switching Protocols', 'upgrade: websocket'),
      H.H2_RESPONSE,
      [':status: 200'],
      [],
    ],
    [
      'an interim response',
      head('HTTP/1.1 103 Early Hints', 'link: </a>'),
      H.H2_RESPONSE,
      [':status: 103'],
      ['link: </a>'],
    ],
    [
      'a host of a response',
      head('HTTP/1.1 429 Too Many Requests', 'host: x'),
      H.H2_RESPONSE,
      [':status: 429'],
      ['host: x'],
    ],
  ] as const)('encodes %s', (_name, text, kind, pseudo, rest) => {
    for (const huffman of [0, H.H2_HUFFMAN]) expect(fields(text, kind | huffman)).toEqual([...pseudo, ...rest]);
  });

  it('encodes each status of the static table by its index', () => {
    for (const status of [200, 204, 206, 304, 400, 404, 500]) {
      expect(encode(head(`HTTP/1.1 ${status} Reason`), H.H2_RESPONSE)).toHaveLength(1);
      expect(fields(head(`HTTP/1.1 ${status} Reason`), H.H2_RESPONSE)).toEqual([`:status: ${status}`]);
    }
  });

  it('marks secrets as never to be indexed, and nothing as to be', () => {
    const text = head('GET / HTTP/1.1', 'authorization: a', 'cookie: b', 'x-c: d');
    expect(encode(text, H.H2_REQUEST)!.toString('hex')).toBe('8286841f080161' + '1f110162' + '0003782d630164');
    expect(encode(head('HTTP/1.1 200 OK', 'set-cookie: a'), H.H2_RESPONSE)!.toString('hex')).toBe('881f280161');
  });

  it('tells where the head of a local reply ends, and encodes trailers with and without an empty line', () => {
    const reply = head('HTTP/1.1 503 Service Unavailable', 'content-length: 4');
    encode(`${reply}body`, H.H2_RESPONSE);
    expect(int(H.H2_ENCODED_HEAD_LENGTH)).toBe(reply.length);
    for (const end of ['', '\r\n']) {
      expect(fields(`grpc-status: 0\r\nGrpc-Message: x\r\n${end}`, H.H2_TRAILERS)).toEqual([
        'grpc-status: 0',
        'grpc-message: x',
      ]);
    }
  });

  it('writes what the reference reads, for every line, and says so where there is no room', () => {
    const names = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,150}$/).filter((name) => !DROPPED.test(name));
    const values = fc.string({
      unit: fc
        .oneof({ weight: 9, arbitrary: fc.integer({ min: 0x21, max: 0x7e }) }, fc.integer({ min: 0x80, max: 0xff }))
        .map((code) => String.fromCharCode(code)),
      maxLength: 300,
    });
    const lines = fc.array(
      fc.tuple(fc.oneof(fc.constantFrom('accept', 'Server', 'ETag', 'set-cookie', 'www-authenticate'), names), values),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(lines, fc.constantFrom(0, H.H2_HUFFMAN), fc.nat(100), (list, huffman, missing) => {
        const text = head('HTTP/1.1 200 OK', ...list.map(([name, value]) => `${name}: ${value}`));
        const kind = H.H2_RESPONSE | huffman;
        expect(fields(text, kind)).toEqual([
          ':status: 200',
          ...list.map(([name, value]) => `${name.toLowerCase()}: ${value}`),
        ]);
        const length = encode(text, kind)!.length;
        core.bytes.fill(0x5a, H.H2_BLOCK_BUFFER, H.H2_BLOCK_BUFFER + length + 64);
        const capacity = Math.max(0, length - 1 - missing);
        expect(encode(text, kind, capacity)).toBeUndefined();
        expect(
          core.bytes
            .subarray(H.H2_BLOCK_BUFFER + capacity, H.H2_BLOCK_BUFFER + length + 64)
            .every((byte) => byte === 0x5a),
        ).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});

const DROPPED = /^(host|te|upgrade|connection|keep-alive|proxy-connection|transfer-encoding)$/i;

/** Frames of a connection; just enough of RFC 9113 to be nghttp2's peer. */
function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(9);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  return Buffer.concat([bytes, payload]);
}
const HEADERS = 1;
const SETTINGS = 4;
const CONTINUATION = 9;

/** A server whose heads are decoded and encoded by the core: answers each request with its own lines. */
async function startEcho(heads: string[]): Promise<net.Server> {
  const server = net.createServer((socket) => {
    const decoder = core.h2Decoders.take();
    wasm.h2ResetDecoder(decoder);
    let bytes = Buffer.alloc(0);
    let preface = true;
    let block = Buffer.alloc(0);
    socket.write(frame(SETTINGS, 0, 0));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => core.h2Decoders.release(decoder));
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (preface && bytes.length >= 24) {
        bytes = bytes.subarray(24);
        preface = false;
      }
      while (!preface && bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const length = bytes.readUIntBE(0, 3);
        const [type, flags, stream] = [bytes[3]!, bytes[4]!, bytes.readUInt32BE(5)];
        const payload = bytes.subarray(9, 9 + length);
        bytes = bytes.subarray(9 + length);
        if (type === SETTINGS && (flags & 1) === 0) socket.write(frame(SETTINGS, 1, 0));
        if (type !== HEADERS && type !== CONTINUATION) continue;
        block = Buffer.concat([block, (flags & 0x20) !== 0 && type === HEADERS ? payload.subarray(5) : payload]);
        if ((flags & 4) === 0) continue;
        block.copy(core.bytes, H.H2_BLOCK_BUFFER);
        const kind = H.H2_REQUEST | H.H2_END_STREAM;
        const size = wasm.h2DecodeHead(
          decoder,
          H.H2_BLOCK_BUFFER,
          block.length,
          kind,
          H.H2_HEAD_BUFFER,
          H.H2_HEAD_BUFFER_BYTES,
        );
        block = Buffer.alloc(0);
        heads.push(size < 0 ? `error ${size}` : core.text(H.H2_HEAD_BUFFER, size));
        const lines = heads.at(-1)!.split('\r\n').slice(2).join('\r\n');
        const answer = encode(`HTTP/1.1 200 OK\r\n${lines}`, H.H2_RESPONSE | (stream % 4 === 1 ? H.H2_HUFFMAN : 0));
        socket.write(frame(HEADERS, 4 | 1, stream, answer));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

describe('with nghttp2 as the peer', () => {
  it('reads what its encoder writes, and writes what its decoder reads, over many heads of a connection', async () => {
    const heads: string[] = [];
    const server = await startEcho(heads);
    const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const names = fc.oneof(
      fc.constantFrom('accept', 'user-agent', 'x-b', 'grpc-timeout', 'etag', 'cache-control'),
      fc.stringMatching(/^x-[a-z0-9_.!-]{0,60}$/),
    );
    const printable = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      maxLength: 80,
    });
    // Node takes one value for some of these names; each name is used once.
    const lists = fc.uniqueArray(fc.tuple(names, fc.oneof(printable, fc.constantFrom('same', 'v'.repeat(900)))), {
      selector: ([name]) => name,
      maxLength: 10,
    });
    try {
      for (const list of fc.sample(lists, { numRuns: 250, seed: 7 })) {
        const request = client.request({
          ':path': `/${list.length}`,
          ':authority': 'reviews',
          ...Object.fromEntries(list),
        });
        const [answer] = (await once(request, 'response')) as [http2.IncomingHttpHeaders];
        const expected = list.map(([name, value]) => `${name}: ${value}`);
        expect(heads.at(-1)).toBe(head(`GET /${list.length} HTTP/1.1`, 'host: reviews', ...expected));
        for (const [name, value] of list) expect(answer[name]).toBe(value);
        request.resume();
        await once(request, 'close');
      }
    } finally {
      client.destroy();
      server.close();
    }
  });

  it('reads every byte that a value may have, and all its integers', () => {
    // Huffman codes of all symbols, by the reference that nghttp2 has agreed with; lengths around each byte of an integer.
    for (const length of [0, 1, 126, 127, 128, 254, 255, 256, 16_510, 16_511, 40_000]) {
      const value = Array.from({ length }, (_, index) => String.fromCharCode(0x21 + ((index * 7) % 0x5d))).join('');
      for (const huffman of [0, H.H2_HUFFMAN]) {
        expect(fields(head('HTTP/1.1 200 OK', `x: ${value}`), H.H2_RESPONSE | huffman)).toEqual([
          ':status: 200',
          `x: ${value}`,
        ]);
      }
    }
    expect(hpackInteger(1337, 5, 0)).toEqual(Buffer.from([31, 154, 10])); // RFC 7541, C.1.2
  });
});
