// Security: request smuggling. What the proxy and an origin could understand differently is refused, whole and in any split.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { cluster, listener, ProxyUnderTest, toCluster } from './proxy-under-test.js';
import { bytes, dial, Reader, RecordingUpstream } from './raw-wire.js';

let upstream: RecordingUpstream;
let proxy: ProxyUnderTest;
let port = 0;
let http10Port = 0;

beforeAll(async () => {
  upstream = await RecordingUpstream.start();
  port = await freePort();
  http10Port = await freePort();
  proxy = await ProxyUnderTest.start(
    [
      listener('l', port, { routes: [toCluster('c')] }),
      listener('http10', http10Port, {
        routes: [toCluster('c')],
        hcm: { http_protocol_options: { accept_http_10: true } },
      }),
    ],
    [cluster('c', upstream.port)],
  );
});

afterAll(async () => {
  await proxy?.stop();
  await upstream?.stop();
});

beforeEach(() => upstream.reset());

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const post = (headers: string, body = '') => `POST /p HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
const chunked = (body: string) => post('Transfer-Encoding: chunked\r\n', body);

interface Refused {
  readonly why: string;
  readonly send: string;
  readonly status?: number;
}

const REFUSED: readonly Refused[] = [
  { why: 'CL and TE', send: post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n') },
  { why: 'TE and CL', send: post('Transfer-Encoding: chunked\r\nContent-Length: 0\r\n', '0\r\n\r\n') },
  { why: 'CL and TE of odd case', send: post('content-LENGTH: 5\r\ntransfer-ENCODING: Chunked\r\n', '0\r\n\r\n') },
  { why: 'two different CLs', send: post('Content-Length: 5\r\nContent-Length: 6\r\n', 'hello') },
  { why: 'a CL list of equals', send: post('Content-Length: 5, 5\r\n', 'hello') },
  { why: 'a CL list', send: post('Content-Length: 5, 6\r\n', 'hello') },
  { why: 'an empty CL', send: post('Content-Length: \r\n', 'hello') },
  { why: 'a CL with a sign', send: post('Content-Length: +5\r\n', 'hello') },
  { why: 'a negative CL', send: post('Content-Length: -5\r\n', 'hello') },
  { why: 'a hexadecimal CL', send: post('Content-Length: 0x5\r\n', 'hello') },
  { why: 'a CL with an inner space', send: post('Content-Length: 5 5\r\n', 'hello') },
  { why: 'a CL with an underscore', send: post('Content-Length: 1_0\r\n', 'hello') },
  { why: 'a fractional CL', send: post('Content-Length: 5.0\r\n', 'hello') },
  { why: 'a CL of 2^64 + 5', send: post('Content-Length: 18446744073709551621\r\n', 'hello') },
  { why: 'a CL of 2^63', send: post('Content-Length: 9223372036854775808\r\n', 'hello') },
  { why: 'a CL of 2^53 + 1', send: post('Content-Length: 9007199254740993\r\n', 'hello') },
  { why: 'a CL with a form feed', send: post('Content-Length: \f5\r\n', 'hello') },
  { why: 'a CL with a NUL', send: post('Content-Length: 5\0\r\n', 'hello') },
  { why: 'a space before the colon of CL', send: post('Content-Length : 5\r\n', 'hello') },
  { why: 'a space before the colon of TE', send: post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n') },
  { why: 'a tab before the colon of TE', send: post('Transfer-Encoding\t: chunked\r\n', '0\r\n\r\n') },
  { why: 'a TE name with a NUL', send: post('Transfer-Encoding\0: chunked\r\n', '0\r\n\r\n') },
  { why: 'TE identity', send: post('Transfer-Encoding: identity\r\n') },
  { why: 'TE chunked, identity', send: post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n') },
  { why: 'TE gzip, chunked', send: post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), status: 501 },
  { why: 'TE chunked twice in a list', send: post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n') },
  {
    why: 'TE chunked twice in lines',
    send: post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  },
  {
    why: 'TE chunked then x',
    send: post('Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n', '0\r\n\r\n'),
  },
  { why: 'TE xchunked', send: post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n') },
  { why: 'TE "chunked"', send: post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n') },
  { why: 'TE chunked;q=1', send: post('Transfer-Encoding: chunked;q=1\r\n', '0\r\n\r\n') },
  { why: 'TE with a vertical tab', send: post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n') },
  { why: 'TE ,chunked', send: post('Transfer-Encoding: ,chunked\r\n', '0\r\n\r\n') },
  { why: 'TE chunked,', send: post('Transfer-Encoding: chunked,\r\n', '0\r\n\r\n') },
  { why: 'an empty TE', send: post('Transfer-Encoding:\r\n', '0\r\n\r\n') },
  { why: 'TE with bytes above ASCII', send: post('Transfer-Encoding: chunked\xa0\r\n', '0\r\n\r\n') },
  { why: 'a folded TE', send: post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n') },
  { why: 'obs-fold', send: post('X-A: b\r\n c\r\n') },
  { why: 'obs-fold by a tab', send: post('X-A: b\r\n\tc\r\n') },
  { why: 'a fold before any header', send: `GET / HTTP/1.1\r\n Host: a\r\n\r\n` },
  { why: 'a header line that begins with a space', send: 'GET / HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\n' },
  { why: 'a bare LF in the head', send: 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n' },
  { why: 'bare LFs only', send: 'GET / HTTP/1.1\nHost: a\n\n' },
  { why: 'a bare LF that ends the head', send: 'GET / HTTP/1.1\r\nHost: a\r\n\n' },
  { why: 'a bare CR in a value', send: 'GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\n' },
  { why: 'a bare CR in the request line', send: 'GET /\r HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'CR CR LF', send: 'GET / HTTP/1.1\r\nHost: a\r\r\n\r\n' },
  { why: 'a NUL in a value', send: 'GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n' },
  { why: 'a NUL in a name', send: 'GET / HTTP/1.1\r\nHost: a\r\nX\0Y: 1\r\n\r\n' },
  { why: 'a NUL in the target', send: 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'DEL in a value', send: 'GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n' },
  { why: 'a pseudo header', send: 'GET / HTTP/1.1\r\nHost: a\r\n:path: /admin\r\n\r\n' },
  { why: 'an empty header name', send: 'GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n' },
  { why: 'a header without a colon', send: 'GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n' },
  { why: 'a header name in quotes', send: 'GET / HTTP/1.1\r\nHost: a\r\n"x": y\r\n\r\n' },
  { why: 'a header name above ASCII', send: 'GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n' },
  { why: 'no version', send: 'GET /\r\nHost: a\r\n\r\n' },
  { why: 'two spaces in the request line', send: 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'a tab in the request line', send: 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'a space in the target', send: 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'a space after the version', send: 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n' },
  { why: 'HTTP/1.10', send: 'GET / HTTP/1.10\r\nHost: a\r\n\r\n' },
  { why: 'http/1.1', send: 'GET / http/1.1\r\nHost: a\r\n\r\n' },
  { why: 'HTTP/2.0', send: 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', status: 505 },
  { why: 'a method in small letters', send: 'delete / HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'a method with a small letter', send: 'DELETe / HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'a very long method', send: `${'A'.repeat(100)} / HTTP/1.1\r\nHost: a\r\n\r\n` },
  { why: 'no Host', send: 'GET / HTTP/1.1\r\n\r\n' },
  { why: 'two Hosts', send: 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n' },
  { why: 'two Hosts of odd case', send: 'GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n\r\n' },
  { why: 'an empty Host', send: 'GET / HTTP/1.1\r\nHost:\r\n\r\n' },
  { why: 'a Host list', send: 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n' },
  { why: 'a Host with user information', send: 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n' },
  { why: 'a Host with a path', send: 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n' },
  { why: 'a Host with a backslash', send: 'GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n' },
  { why: 'a Host above ASCII', send: 'GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n' },
  { why: 'an absolute form without an authority', send: 'GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'an absolute form with user information', send: 'GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n' },
  { why: 'an absolute form of another scheme', send: 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'an absolute form beside a bad Host', send: 'GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n' },
  { why: 'a relative target', send: 'GET x HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'the * form of GET', send: 'GET * HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'the * form with more', send: 'OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'an authority-form GET', send: 'GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'CONNECT with a path', send: 'CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n' },
  { why: 'Connection that names Host', send: 'GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n' },
  {
    why: 'Connection that names Content-Length',
    send: post('Connection: close, Content-Length\r\nContent-Length: 36\r\n'),
  },
  {
    why: 'Connection that names Transfer-Encoding',
    send: post('Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  },
  { why: 'a chunk size of 16 digits', send: chunked('ffffffffffffffff\r\nx') },
  { why: 'a chunk size of 17 digits that overflows', send: chunked('10000000000000005\r\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk size of many zeros', send: chunked(`${'0'.repeat(40)}5\r\nhello\r\n0\r\n\r\n`) },
  { why: 'a negative chunk size', send: chunked('-5\r\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk size with 0x', send: chunked('0x5\r\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk size with a sign', send: chunked('+5\r\nhello\r\n0\r\n\r\n') },
  { why: 'an empty chunk size', send: chunked('\r\nhello\r\n0\r\n\r\n') },
  { why: 'a space before a chunk size', send: chunked(' 5\r\nhello\r\n0\r\n\r\n') },
  { why: 'a space after a chunk size', send: chunked('5 \r\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk size ended by LF', send: chunked('5\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk size ended by CR', send: chunked('5\rhello\r\n0\r\n\r\n') },
  { why: 'a chunk extension with LF', send: chunked('5;a\nb\r\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk extension with CR', send: chunked('5;a\rb\r\nhello\r\n0\r\n\r\n') },
  { why: 'a chunk extension with a NUL', send: chunked('5;a\0\r\nhello\r\n0\r\n\r\n') },
  { why: 'chunk data ended by LF', send: chunked('5\r\nhello\n0\r\n\r\n') },
  { why: 'chunk data that is too long', send: chunked('5\r\nhelloworld\r\n0\r\n\r\n') },
  { why: 'chunk data ended by two other bytes', send: chunked('5\r\nhelloXX0\r\n\r\n') },
  { why: 'a trailer without a colon', send: chunked('0\r\nfoo\r\n\r\n') },
  { why: 'a folded trailer', send: chunked('0\r\na: b\r\n c\r\n\r\n') },
  { why: 'a trailer with a space before the colon', send: chunked('0\r\na : b\r\n\r\n') },
  { why: 'a last chunk ended by LF', send: chunked('0\n\n') },
  { why: 'a chunked body ended by LF', send: chunked('0\r\n\n') },
  { why: 'HTTP/1.0', send: 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', status: 426 },
  {
    why: 'TE in HTTP/1.0',
    send: 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  },
];

/** All the proxy said, once it has closed. */
async function exchange(to: number, pieces: readonly Buffer[]): Promise<{ statuses: readonly number[]; text: string }> {
  const socket = await dial(to);
  const reader = new Reader(socket);
  for (const piece of pieces) {
    socket.write(piece);
    if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve));
  }
  await reader.until(({ ended }) => ended);
  socket.destroy();
  return reader.responses(0);
}

const everyByte = (text: string): Buffer[] => [...bytes(text)].map((byte) => Buffer.of(byte));

describe('what is refused', () => {
  test.each(REFUSED)('$why', async ({ send, status }) => {
    const { statuses } = await exchange(port, [bytes(send + SMUGGLED)]);
    expect(statuses).toEqual([status ?? 400]);
    expect(upstream.seen.map(({ target }) => target)).toEqual([]);
    expect(upstream.unreadable).toBe(0);
  });

  test('each of them, byte by byte', async () => {
    for (const { why, send, status } of REFUSED) {
      const { statuses } = await exchange(port, everyByte(send + SMUGGLED));
      expect(statuses, why).toEqual([status ?? 400]);
    }
    expect(upstream.seen.filter(({ target }) => target.includes('smuggled'))).toEqual([]);
  });

  test('each of them as HEAD, answered without a body', async () => {
    const asHead = REFUSED.filter(({ send }) => /^(GET|POST) /.test(send));
    expect(asHead.length).toBeGreaterThan(80);
    for (const { why, send, status } of asHead) {
      const { text } = await exchange(port, [bytes(send.replace(/^\w+/, 'HEAD') + SMUGGLED)]);
      expect([why, text.slice(9, 12), text.indexOf('\r\n\r\n')]).toEqual([why, `${status ?? 400}`, text.length - 4]);
    }
    expect(upstream.seen).toEqual([]);
  });

  test('each of them after a good request: that one is answered, nothing behind is looked at', async () => {
    for (const { why, send, status } of REFUSED) {
      upstream.reset();
      const { statuses } = await exchange(port, [bytes(`GET /first HTTP/1.1\r\nHost: a\r\n\r\n${send}${SMUGGLED}`)]);
      expect(statuses, why).toEqual([200, status ?? 400]);
      expect(
        upstream.seen.map(({ target }) => target),
        why,
      ).toEqual(['/first']);
    }
  });

  test('the HTTP/2 preface: what follows are no frames, and later it is no request', async () => {
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const sent = bytes(preface + SMUGGLED);
    for (const pieces of [[sent], everyByte(preface + SMUGGLED)]) {
      expect((await exchange(port, pieces)).statuses).toEqual([]);
    }
    const first = bytes('GET /first HTTP/1.1\r\nHost: a\r\n\r\n');
    expect((await exchange(port, [Buffer.concat([first, sent])])).statuses).toEqual([200, 505]);
    expect(upstream.seen.map(({ target }) => target)).toEqual(['/first']);
  });

  test('TE in HTTP/1.0, where 1.0 is accepted', async () => {
    const send = 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n';
    expect((await exchange(http10Port, [bytes(send + SMUGGLED)])).statuses).toEqual([400]);
    expect(upstream.seen).toEqual([]);
  });

  test.each([
    ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'],
    ['an upgrade', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ])('%s, with nothing behind it looked at', async (_why, send) => {
    const { statuses } = await exchange(port, [bytes(send + SMUGGLED)]);
    expect(statuses).toHaveLength(1);
    expect(statuses[0]).toBeGreaterThanOrEqual(403);
    expect(upstream.seen).toEqual([]);
  });

  test('a head over the limit, whole and in pieces', async () => {
    const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`;
    expect((await exchange(port, [bytes(long)])).statuses).toEqual([431]);
    const pieces = Array.from({ length: 70 }, (_, index) => bytes(long.slice(index * 1000, index * 1000 + 1000)));
    expect((await exchange(port, pieces)).statuses).toEqual([431]);
    const many = `GET / HTTP/1.1\r\nHost: a\r\n${'a: b\r\n'.repeat(200)}\r\n`;
    expect((await exchange(port, [bytes(many)])).statuses).toEqual([431]);
    expect(upstream.seen).toEqual([]);
  });
});

interface Taken {
  readonly why: string;
  readonly send: string;
  /** Method, target and body of each request that the origin must see. */
  readonly seen: readonly (readonly [string, string, string])[];
}

const TAKEN: readonly Taken[] = [
  {
    why: 'equal CLs',
    send: post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
    seen: [['POST', '/p', 'hello']],
  },
  { why: 'a CL with zeros', send: post('Content-Length: 005\r\n', 'hello'), seen: [['POST', '/p', 'hello']] },
  {
    why: 'a CL with blanks before it',
    send: post('Content-Length:   5\r\n', 'hello'),
    seen: [['POST', '/p', 'hello']],
  },
  {
    why: 'TE of odd case',
    send: post('tRANSFER-eNCODING: \t cHUNKED \t\r\n', '5\r\nhello\r\n0\r\n\r\n'),
    seen: [['POST', '/p', 'hello']],
  },
  {
    why: 'chunks with extensions',
    send: chunked('5;a="b\\"c";d\r\nhello\r\n0;e\r\n\r\n'),
    seen: [['POST', '/p', 'hello']],
  },
  {
    why: 'trailers, which do not cross',
    send: chunked('5\r\nhello\r\n0\r\nContent-Length: 3\r\nHost: evil\r\nTransfer-Encoding: x\r\n\r\n'),
    seen: [['POST', '/p', 'hello']],
  },
  {
    why: 'chunk sizes of upper case',
    send: chunked('A\r\n0123456789\r\n0\r\n\r\n'),
    seen: [['POST', '/p', '0123456789']],
  },
  {
    why: 'chunk data that looks like framing',
    send: chunked('7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n'),
    seen: [['POST', '/p', '0\r\n\r\n\r\n']],
  },
  {
    why: 'a body that looks like a request',
    send: post(`Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
    seen: [['POST', '/p', SMUGGLED]],
  },
  {
    why: 'a GET with a body',
    send: `GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`,
    seen: [['GET', '/g', 'hello']],
  },
  {
    why: 'empty lines before a request',
    send: `\r\n\r\nGET /e HTTP/1.1\r\nHost: a\r\n\r\n`,
    seen: [['GET', '/e', '']],
  },
  { why: 'an absolute form', send: 'GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n', seen: [['GET', '/x?y', '']] },
  {
    why: 'an absolute form without a path',
    send: 'GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n',
    seen: [['GET', '/?y', '']],
  },
];

describe('what is taken, the origin understands alike', () => {
  test.each(TAKEN)('$why', async ({ send, seen }) => {
    const last = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    const wanted = [...seen, ['GET', '/last', '']];
    for (const pieces of [[bytes(send + last)], everyByte(send + last)]) {
      upstream.reset();
      const { statuses } = await exchange(port, pieces);
      expect(statuses).toEqual(wanted.map(() => 200));
      expect(upstream.seen.map(({ method, target, body }) => [method, target, body])).toEqual(wanted);
      expect(upstream.unreadable).toBe(0);
      for (const { header } of upstream.seen) {
        expect(header('host')).toHaveLength(1);
        expect(header('content-length').length + header('transfer-encoding').length).toBeLessThanOrEqual(1);
      }
    }
  });

  test('a length with blanks and zeros goes on as its number', async () => {
    const send = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t 05 \t\r\nConnection: close\r\n\r\nhello';
    expect((await exchange(port, [bytes(send)])).statuses).toEqual([200]);
    expect(upstream.seen[0]?.header('content-length')).toEqual(['5']);
    expect(upstream.seen[0]?.body).toBe('hello');
  });

  test("an absolute form's authority takes the place of Host", async () => {
    await exchange(port, [bytes('GET http://b:81/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')]);
    expect(upstream.seen[0]?.header('host')).toEqual(['b:81']);
  });

  test('the * form matches no prefix, as in Envoy', async () => {
    const send = 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    expect((await exchange(port, [bytes(send)])).statuses).toEqual([404]);
    expect(upstream.seen).toEqual([]);
  });

  test('several thousand pipelined requests are answered in order', async () => {
    const socket = await dial(port);
    const reader = new Reader(socket);
    const count = 3_000;
    let text = '';
    for (let index = 0; index < count; index++) text += `GET /${index} HTTP/1.1\r\nHost: a\r\n\r\n`;
    socket.write(bytes(text));
    const { statuses } = await reader.responses(count, 20_000);
    socket.destroy();
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(upstream.seen.map(({ target }) => target)).toEqual(Array.from({ length: count }, (_, index) => `/${index}`));
  });

  test('a body that the origin answered early is not read as the next request', async () => {
    const socket = await dial(port);
    const reader = new Reader(socket);
    // No route leads to an answer before the body has come: the answer is the proxy's own.
    socket.write(
      bytes(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\nTransfer-Encoding: x\r\n\r\n`),
    );
    await reader.responses(1);
    socket.write(bytes(SMUGGLED));
    await reader.until(({ ended }) => ended);
    expect(reader.text.match(/HTTP\/1.1/g)).toHaveLength(1);
    expect(upstream.seen).toEqual([]);
    socket.destroy();
  });
});
