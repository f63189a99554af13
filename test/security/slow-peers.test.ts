// Security, black box: slow, late and vanished peers harm nobody else and lose nothing, and nothing is done twice.

import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { cluster, type Json, listener, ProxyUnderTest, toCluster } from './proxy-under-test.js';
import { dial, Reader, RecordingUpstream, ScriptedUpstream } from './raw-wire.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanups.splice(0).reverse()) await step();
});

async function start(
  hcm: Json,
  upstreamPort: number,
  extra: Json = {},
): Promise<{ proxy: ProxyUnderTest; port: number }> {
  const port = await freePort();
  const proxy = await ProxyUnderTest.start(
    [listener('l', port, { routes: [toCluster('c')], hcm })],
    [cluster('c', upstreamPort, extra)],
  );
  cleanups.push(() => proxy.stop());
  return { proxy, port };
}

test('a slow reader gets the whole of a response after which the proxy closes', async () => {
  const backend = createHttpServer((request, response) => {
    response.end(Buffer.alloc(Number((request.url ?? '').slice(1)), 'x'));
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    backend.closeAllConnections();
    backend.close();
  });
  const { port } = await start({}, (backend.address() as AddressInfo).port);
  // What the kernels take is unknown; at one of these sizes the end of the answer is still the proxy's when it has all of it.
  const sizes = Array.from({ length: 160 }, (_, index) => 1_000_000 + index * 40_000);
  const short: number[] = [];
  await Promise.all(
    sizes.map(async (size) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      let received = 0;
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      socket.pause();
      socket.write(`GET /${size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      socket.resume();
      await new Promise((resolve) => socket.once('close', resolve));
      if (received < size) short.push(size);
    }),
  );
  expect(short).toEqual([]);
});

test('a response without a length that is cut by a reset does not look complete', async () => {
  const upstream = await ScriptedUpstream.start((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\nhello');
    setTimeout(() => socket.resetAndDestroy(), 50);
  });
  cleanups.push(() => upstream.stop());
  const { port } = await start({}, upstream.port);
  const socket = connect(port, '127.0.0.1');
  let text = '';
  let failed = false;
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {
    failed = true;
  });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  const chunkedWithoutEnd = /transfer-encoding: chunked/i.test(text) && !text.endsWith('0\r\n\r\n');
  expect(failed || chunkedWithoutEnd).toBe(true);
});

test('request_timeout ends a request that does not come to its end', async () => {
  const upstream = await RecordingUpstream.start();
  cleanups.push(() => upstream.stop());
  const { port } = await start({ request_timeout: '0.3s' }, upstream.port);
  const socket = await dial(port);
  const reader = new Reader(socket);
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
  const timer = setInterval(() => socket.write('x'), 50);
  cleanups.push(() => {
    clearInterval(timer);
    socket.destroy();
  });
  await reader.until(({ ended }) => ended, 3_000);
  expect(reader.text).toMatch(/^HTTP\/1.1 408 /);
});

test('an incomplete request that idles gets 408', async () => {
  const upstream = await RecordingUpstream.start();
  cleanups.push(() => upstream.stop());
  const { port } = await start({ stream_idle_timeout: '0.3s' }, upstream.port);
  const socket = await dial(port);
  const reader = new Reader(socket);
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
  expect((await reader.responses(1)).statuses).toEqual([408]);
  socket.destroy();
});

async function bigAnswers(): Promise<number> {
  const backend = createHttpServer((_request, response) => response.end(Buffer.alloc(20_000, 'x')));
  backend.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    backend.closeAllConnections();
    backend.close();
  });
  return (backend.address() as AddressInfo).port;
}
const ASK = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('a pipelining client that reads late gets all its answers', async () => {
  const { port } = await start({}, await bigAnswers());
  const socket = await dial(port);
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  socket.pause();
  socket.write(ASK.repeat(2_000));
  await new Promise((resolve) => setTimeout(resolve, 500));
  socket.resume();
  await waitUntil('40 MB', () => received > 2_000 * 20_000, 10_000);
  socket.destroy();
});

test("a slow reader's upstream connection serves the next client", async () => {
  const { proxy, port } = await start({}, await bigAnswers());
  const hung: number[] = [];
  for (let count = 150; count <= 260; count++) {
    const slow = await dial(port);
    slow.pause();
    slow.write(ASK.repeat(count));
    let last = -1;
    await waitUntil('it to stand still', async () => {
      const now = await proxy.metric('envoy_http_downstream_rq_total');
      const still = now === last;
      last = now;
      return still;
    });
    const other = await dial(port);
    const reader = new Reader(other);
    other.write(ASK);
    await reader.responses(1, 1_000).catch(() => hung.push(count));
    other.destroy();
    slow.destroy();
  }
  expect(hung).toEqual([]);
});

test('a POST that was handled is not sent again', async () => {
  const heads: string[] = [];
  const upstream = await ScriptedUpstream.start((socket, head) => {
    heads.push(head.slice(0, head.indexOf(' HTTP')));
    if (head.startsWith('POST')) setTimeout(() => socket.resetAndDestroy(), 50);
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  cleanups.push(() => upstream.stop());
  const port = await freePort();
  const retrying = {
    match: { prefix: '/' },
    route: { cluster: 'c', retry_policy: { retry_on: 'connect-failure,reset-before-request', num_retries: 2 } },
  };
  const proxy = await ProxyUnderTest.start(
    [listener('l', port, { routes: [retrying] })],
    [cluster('c', upstream.port)],
  );
  cleanups.push(() => proxy.stop());
  const socket = await dial(port);
  const reader = new Reader(socket);
  socket.write(ASK);
  await reader.responses(1);
  socket.write('POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
  await reader.responses(2);
  socket.destroy();
  expect(heads).toEqual(['GET /', 'POST /b']);
});
