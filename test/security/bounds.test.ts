// Security: slow, greedy and absent-minded clients cost a bounded amount of memory and leave nothing behind.

import { readdirSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { cluster, listener, ProxyUnderTest, toCluster } from './proxy-under-test.js';
import { dial, Reader } from './raw-wire.js';

const MIB = 1024 * 1024;
let backend: Server;
let hole: Server;
let proxy: ProxyUnderTest;
let port = 0;
let holePort = 0;
let timedPort = 0;
/** Open connections of the backend, and how many there have been. */
const backendConnections = { open: 0, total: 0 };

/** Serves `/N` with N bytes, and answers a POST with the size of its body. */
function startBackend(): Server {
  const server = createHttpServer((request, response) => {
    if (request.method === 'POST') {
      let received = 0;
      request.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      request.on('end', () => response.end(String(received)));
      return;
    }
    let left = Number((request.url ?? '').slice(1));
    response.setHeader('content-length', left);
    const chunk = Buffer.alloc(65_536, 'x');
    const go = (): void => {
      while (left > 0) {
        const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
        left -= part.length;
        if (!response.write(part)) {
          response.once('drain', go);
          return;
        }
      }
      response.end();
    };
    go();
  });
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket) => {
    backendConnections.open++;
    backendConnections.total++;
    socket.on('close', () => backendConnections.open--);
    socket.on('error', () => {});
  });
  return server;
}

const listen = (server: Server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const portOf = (server: Server) => (server.address() as AddressInfo).port;

beforeAll(async () => {
  backend = startBackend();
  hole = createServer({ pauseOnConnect: true }, (socket) => socket.on('error', () => {}));
  await Promise.all([listen(backend), listen(hole)]);
  port = await freePort();
  holePort = await freePort();
  timedPort = await freePort();
  proxy = await ProxyUnderTest.start(
    [
      listener('l', port, { routes: [toCluster('c')] }),
      listener('hole', holePort, { routes: [toCluster('hole')], hcm: { stream_idle_timeout: '2s' } }),
      listener('timed', timedPort, {
        routes: [toCluster('c')],
        hcm: {
          request_headers_timeout: '0.3s',
          stream_idle_timeout: '0.4s',
          common_http_protocol_options: { idle_timeout: '0.5s' },
        },
      }),
    ],
    [cluster('c', portOf(backend)), cluster('hole', portOf(hole))],
  );
});

afterAll(async () => {
  await proxy?.stop();
  (backend as unknown as { closeAllConnections(): void }).closeAllConnections();
  backend.close();
  hole.close();
});

const descriptors = () => readdirSync(`/proc/${proxy.app.child.pid}/fd`).length;
const idle = async () => {
  await waitUntil('nothing to be under way', async () => (await proxy.metric('envoy_http_downstream_rq_active')) === 0);
};
/** Waits until the proxy's memory has not changed for a while; its size then. */
async function settledMiB(): Promise<number> {
  let last = proxy.rssMiB();
  let since = Date.now();
  return waitUntil('memory to settle', () => {
    const now = proxy.rssMiB();
    if (Math.abs(now - last) > 0.5) {
      last = now;
      since = Date.now();
    }
    return Date.now() - since > 300 ? now : undefined;
  });
}

describe('memory', () => {
  test('100 clients that ask for 100 MB and read nothing', async () => {
    const before = await settledMiB();
    const sockets: Socket[] = [];
    for (let index = 0; index < 100; index++) {
      const socket = await dial(port);
      socket.write(`GET /${100 * MIB} HTTP/1.1\r\nHost: a\r\n\r\n`);
      sockets.push(socket);
    }
    await waitUntil('all of them to be served', () => backendConnections.open >= 100);
    expect((await settledMiB()) - before).toBeLessThan(80);
    for (const socket of sockets) socket.destroy();
    await idle();
    await waitUntil('the upstream connections to be closed', () => backendConnections.open === 0);
  });

  test('an upload of 300 MB in chunks, and one that nobody reads', async () => {
    const before = await settledMiB();
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, 'x'), Buffer.from('\r\n')]);
    const upload = await dial(port);
    const reader = new Reader(upload);
    upload.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    let peak = 0;
    for (let index = 0; index < 300; index++) {
      if (!upload.write(chunk)) await new Promise((resolve) => upload.once('drain', resolve));
      peak = Math.max(peak, proxy.rssMiB());
    }
    upload.write('0\r\n\r\n');
    expect((await reader.responses(1)).text).toMatch(new RegExp(`${300 * MIB}\\D*$`));
    expect(peak - before).toBeLessThan(60);
    upload.destroy();

    const stuck = await dial(holePort);
    stuck.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${1024 * MIB}\r\n\r\n`);
    let sent = 0;
    const pump = (): void => {
      while (sent < 64 && stuck.write(chunk)) sent++;
    };
    stuck.on('drain', pump);
    pump();
    expect((await settledMiB()) - before).toBeLessThan(60);
    expect(stuck.writableLength).toBeGreaterThan(0);
    stuck.destroy();
    await idle();
  });

  test('10,000 pipelined requests of a client that reads nothing', async () => {
    const before = await settledMiB();
    const socket = await dial(port);
    socket.write('GET /20000 HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10_000));
    expect((await settledMiB()) - before).toBeLessThan(40);
    socket.destroy();
    await idle();
  });

  test('2,000 idle connections', async () => {
    const before = await settledMiB();
    const sockets: Socket[] = [];
    for (let index = 0; index < 2_000; index++) sockets.push(await dial(port));
    await waitUntil('all of them', async () => (await proxy.metric('envoy_listener_downstream_cx_active')) >= 2_000);
    expect((await settledMiB()) - before).toBeLessThan(60);
    for (const socket of sockets) socket.destroy();
    await waitUntil('all to be gone', async () => (await proxy.metric('envoy_listener_downstream_cx_active')) === 0);
  });
});

describe('nothing is left behind', () => {
  test('by 5,000 connections, by aborted uploads and downloads', async () => {
    await idle();
    const before = descriptors();
    const each = async (text: string, end: (socket: Socket, reader: Reader) => Promise<void>, count: number) => {
      for (let done = 0; done < count; done += 50) {
        await Promise.all(
          Array.from({ length: 50 }, async () => {
            const socket = await dial(port);
            const reader = new Reader(socket);
            socket.write(text);
            await end(socket, reader);
            socket.destroy();
          }),
        );
      }
    };
    await each(
      'GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      async (_, reader) => void (await reader.until(({ ended }) => ended)),
      5_000,
    );
    const kept = backendConnections.open;
    const upload = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf';
    await each(upload, async () => {}, 200);
    await each(upload, async (socket) => void socket.resetAndDestroy(), 200);
    const download = `GET /${50 * MIB} HTTP/1.1\r\nHost: a\r\n\r\n`;
    await each(download, async (_, reader) => void (await reader.until(({ text }) => text.length > 1000)), 100);
    await each(download, async (socket) => void socket.resetAndDestroy(), 100);
    await idle();
    // What carried half a message is closed, never used again: only whole exchanges leave a connection for the next one.
    await waitUntil('the descriptors to be closed', () => descriptors() <= before + kept + 5);
    expect(backendConnections.open).toBeLessThanOrEqual(kept);
    const socket = await dial(port);
    const reader = new Reader(socket);
    for (let index = 0; index < 60; index++) {
      socket.write(`GET /${index} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const { statuses } = await reader.responses(index + 1);
      expect(statuses).toHaveLength(index + 1);
    }
    socket.destroy();
    expect(proxy.rssMiB()).toBeLessThan(300);
  });
});

describe('slow clients', () => {
  const closedAfter = async (first: string, trickle: boolean): Promise<{ text: string; afterMs: number }> => {
    const socket = await dial(timedPort);
    const reader = new Reader(socket);
    const start = performance.now();
    socket.write(first);
    const timer = trickle ? setInterval(() => socket.write('x'), 50) : undefined;
    await reader.until(({ ended }) => ended, 3_000);
    clearInterval(timer);
    socket.destroy();
    return { text: reader.text, afterMs: performance.now() - start };
  };

  test('a head that trickles in gets 408', async () => {
    const { text, afterMs } = await closedAfter('GET /2 HTT', true);
    expect(text).toMatch(/^HTTP\/1.1 408 /);
    expect(afterMs).toBeLessThan(1_500);
  });

  test('a body that stops coming ends the exchange', async () => {
    const { text } = await closedAfter('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx', false);
    expect(text).toMatch(/^HTTP\/1.1 (408|504) /);
  });

  test('a connection without a request is closed', async () => {
    expect((await closedAfter('', false)).text).toBe('');
  });
});
