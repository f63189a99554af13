// Security: what a hostile or broken upstream sends harms neither its own client nor the next request on the connection.

import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { cluster, listener, MESH_FILTERS, ProxyUnderTest, toCluster } from './proxy-under-test.js';
import { bytes, dial, Reader, ScriptedUpstream } from './raw-wire.js';

let upstream: ScriptedUpstream;
let proxy: ProxyUnderTest;
let port = 0;
let outbound = 0;
const clients: Socket[] = [];

/** What the upstream answers; the path says which. */
const scripts = new Map<string, (socket: Socket, connection: number) => void>();

beforeAll(async () => {
  upstream = await ScriptedUpstream.start((socket, head, connection) => {
    const path = head.split(' ')[1] ?? '';
    const script = scripts.get(path);
    if (script === undefined) {
      const body = `${path} on ${connection}`;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    } else script(socket, connection);
  });
  port = await freePort();
  outbound = await freePort();
  proxy = await ProxyUnderTest.start(
    [
      listener('l', port, { routes: [toCluster('c')] }),
      listener(
        'outbound',
        outbound,
        { routes: [toCluster('c')], filters: MESH_FILTERS },
        { traffic_direction: 'OUTBOUND' },
      ),
    ],
    [cluster('c', upstream.port)],
  );
});

afterAll(async () => {
  await proxy?.stop();
  await upstream?.stop();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

async function client(to = port): Promise<{ socket: Socket; reader: Reader }> {
  const socket = await dial(to);
  clients.push(socket);
  return { socket, reader: new Reader(socket) };
}

const get = (path: string, method = 'GET') => bytes(`${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);

/** Asks for what the upstream answers with `raw`, and then, on a new connection, for something harmless. */
async function answer(raw: string | ((socket: Socket) => void), method = 'GET', to = port): Promise<Reader> {
  scripts.set('/evil', (socket) => (typeof raw === 'string' ? socket.write(bytes(raw)) : raw(socket)));
  const { socket, reader } = await client(to);
  socket.write(get('/evil', method));
  await reader.until(({ text, ended }) => ended || text.includes('\r\n\r\n'));
  return reader;
}

/** The next requests get their own answers, whatever came before. */
async function harmless(): Promise<void> {
  for (const path of ['/after-1', '/after-2', '/after-3']) {
    const { socket, reader } = await client();
    socket.write(get(path));
    const { text } = await reader.responses(1);
    expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toMatch(new RegExp(`^${path} on \\d+$`));
  }
}

const REFUSED: readonly (readonly [string, string])[] = [
  ['CL and TE', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two different CLs', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'],
  ['a CL list', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello'],
  ['a CL with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello'],
  ['a TE of gzip', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx'],
  ['TE chunked twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n'],
  ['TE in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['obs-fold', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['a bare LF in a line', 'HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n'],
  ['a bare CR in a value', 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n'],
  ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n'],
  ['a NUL in the reason', 'HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n'],
  ['a bare CR in the reason', 'HTTP/1.1 200 O\rX: y\r\nContent-Length: 0\r\n\r\n'],
  ['an unasked 101', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ['another protocol', 'SSH-2.0-OpenSSH_9.0 hello hello\r\n\r\n'],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of letters', 'HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n'],
  ['a head over the limit', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}\r\nContent-Length: 0\r\n\r\n`],
  ['too many headers', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(200)}Content-Length: 0\r\n\r\n`],
  ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(200_000)}`],
];

describe('answers that are refused', () => {
  test.each(REFUSED)('%s', async (_why, raw) => {
    const { text } = await (await answer(raw)).responses(1);
    expect(text).toMatch(/^HTTP\/1.1 50[23] /);
    expect(text).not.toMatch(/set-cookie/i);
    await harmless();
  });
});

const SPLIT = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';

describe('bytes behind an answer', () => {
  test.each([
    ['a body', `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello${SPLIT}`, 'GET'],
    ['a chunked body', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${SPLIT}`, 'GET'],
    ['no body', `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n${SPLIT}`, 'GET'],
    ['a 204', `HTTP/1.1 204 No Content\r\n\r\n${SPLIT}`, 'GET'],
    ['a 204 with CL', `HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello${SPLIT}`, 'GET'],
    ['a 304 with CL', `HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello${SPLIT}`, 'GET'],
    ['a HEAD with a body', `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello${SPLIT}`, 'HEAD'],
    [
      'a HEAD with chunks',
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${SPLIT}`,
      'HEAD',
    ],
  ])('%s: they reach nobody', async (_why, raw, method) => {
    const reader = await answer(raw, method);
    await harmless();
    expect(reader.text).not.toContain('poison');
  });

  test('bytes that come while the connection is idle close it', async () => {
    let evil: Socket | undefined;
    const reader = await answer((socket) => {
      evil = socket;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    });
    await reader.responses(1);
    evil?.write(SPLIT);
    await new Promise<void>((resolve) => evil?.once('close', () => resolve()));
    await harmless();
  });
});

describe('informational answers', () => {
  test('a flood of them takes no memory and ends with the answer', async () => {
    const before = proxy.rssMiB();
    const reader = await answer((socket) => {
      const hundred = 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n'.repeat(1000);
      for (let index = 0; index < 100; index++) socket.write(hundred);
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    });
    const { text } = await reader.responses(1, 20_000);
    expect(text).toMatch(/hello$/);
    expect(proxy.rssMiB() - before).toBeLessThan(60);
    await harmless();
  });

  test('one that is cut between two reads', async () => {
    const reader = await answer((socket) => {
      const pieces = ['HTTP/1.1 100 Con', 'tinue\r\n\r', '\nHTTP/1.1 2', '00 OK\r\nContent-Length: 5\r\n\r\nhe', 'llo'];
      const next = () => {
        const piece = pieces.shift();
        if (piece === undefined) return;
        socket.write(piece);
        setTimeout(next, 20);
      };
      next();
    });
    expect((await reader.responses(1)).text).toMatch(/hello$/);
  });
});

describe('answers that are cut', () => {
  const cut = (text: string) => (socket: Socket) => {
    socket.write(text);
    setTimeout(() => socket.destroy(), 30);
  };

  test.each([
    ['in the status line', 'HTTP/1.1 20'],
    ['in the head', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['before anything', ''],
  ])('%s: 503', async (_why, text) => {
    const reader = await answer(cut(text));
    expect((await reader.responses(1)).statuses).toEqual([503]);
    await harmless();
  });

  test.each([
    ['in a body with CL', 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello'],
    ['in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello'],
    ['between chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ])('%s: the client can tell', async (_why, text) => {
    const reader = await answer(cut(text));
    await reader.until(({ ended }) => ended);
    expect(reader.text).toContain('hello');
    expect(reader.text).not.toContain('0\r\n\r\n');
    await harmless();
  });

  test.each([
    ['a size that is none', 'x\r\n'],
    ['a size that overflows', 'fffffffffffffffff\r\n'],
    ['data that is too long', '5\r\nhelloworld\r\n0\r\n\r\n'],
  ])('%s in a chunked body: the client can tell', async (_why, text) => {
    const reader = await answer(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${text}`);
    await reader.until(({ ended }) => ended);
    expect(reader.text).not.toContain('\r\n0\r\n\r\n');
    await harmless();
  });
});

describe('headers of answers', () => {
  test('hop-by-hop ones, and those that Connection names, do not cross', async () => {
    const { text } = await (
      await answer(
        'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n' +
          'Upgrade: h2c\r\nProxy-Connection: x\r\nX-Stays: 1\r\n\r\n',
      )
    ).responses(1);
    expect(text).toMatch(/x-stays: 1/i);
    expect(text).not.toMatch(/x-hop|keep-alive|upgrade|proxy-connection/i);
  });

  test('peer metadata of answers does not reach the application', async () => {
    const raw =
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-envoy-peer-metadata: AAAA\r\nX-Envoy-Peer-Metadata-Id: b\r\n\r\n';
    const { text } = await (await answer(raw, 'GET', outbound)).responses(1);
    expect(text).not.toMatch(/peer-metadata/i);
  });

  test('a server header of the upstream is replaced', async () => {
    const { text } = await (await answer('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: x\r\n\r\n')).responses(1);
    expect(text.match(/server:/gi)).toHaveLength(1);
    expect(text).not.toMatch(/server: x/i);
  });
});

describe('answers before the request is complete', () => {
  test('the rest of the body is not read as a request, and the upstream connection is not used again', async () => {
    const used = new Set<number>();
    scripts.set('/early', (socket, connection) => {
      used.add(connection);
      socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
    });
    const { socket, reader } = await client();
    socket.write(bytes('POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello'));
    await reader.until(({ text }) => text.includes('big'));
    socket.write(bytes(`GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`));
    await reader.until(({ ended }) => ended);
    expect(reader.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    const { socket: second, reader: secondReader } = await client();
    second.write(get('/next'));
    const { text } = await secondReader.responses(1);
    expect([...used].some((connection) => text.endsWith(`/next on ${connection}`))).toBe(false);
  });
});
