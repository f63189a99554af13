// Pod mode: probes of the application by HTTP, TCP and gRPC from the address that redirect rules let pass; its metrics.

import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '@lateen/xds-proto/grpc/health/v1/health_pb.js';
import { afterEach, expect, test } from 'vitest';
import { scrapeApplication, sharedScrape } from './app-metrics.js';
import { askApplication, parseAppProbers } from './app-probers.js';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listen(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
  close(): unknown;
}) {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

const ask = (probe: object) => {
  const faults: string[] = [];
  const probers = parseAppProbers(JSON.stringify({ '/app-health/app/readyz': probe }), faults);
  expect(faults).toEqual([]);
  return askApplication(probers.get('/app-health/app/readyz')!, '127.0.0.1');
};

test('by HTTP, with the headers of the probe, from the source that is not redirected', async () => {
  const seen: Record<string, unknown>[] = [];
  const server = createServer(({ url, headers, socket }, response) => {
    seen.push({ url, host: headers.host, shown: headers['x-shown'], from: socket.remoteAddress });
    response.writeHead(url === '/sick' ? 503 : url === '/moved' ? 302 : 200).end();
  });
  const port = await listen(server);
  const httpHeaders = [{ name: 'X-Shown', value: 'yes' }];
  expect(await ask({ httpGet: { path: '/well', port, httpHeaders } })).toBeUndefined();
  expect(await ask({ httpGet: { path: '/moved', port } })).toBeUndefined();
  expect(await ask({ httpGet: { path: '/sick', port } })).toBe('GET /sick was answered 503');
  expect(seen[0]).toEqual({ url: '/well', host: `127.0.0.1:${port}`, shown: 'yes', from: '127.0.0.6' });
});

test('by TCP, and nobody there', async () => {
  const server = createTcpServer((socket) => socket.end());
  const port = await listen(server);
  expect(await ask({ tcpSocket: { port } })).toBeUndefined();
  closers.splice(0)[0]?.();
  expect(await ask({ tcpSocket: { port } })).toMatch(/ECONNREFUSED/);
  expect(await ask({ httpGet: { port } })).toMatch(/ECONNREFUSED/);
  expect(await ask({ grpc: { port } })).toMatch(/ECONNREFUSED/);
});

test('by gRPC', async () => {
  const server = createHttp2Server();
  let status = ServingStatus.SERVING;
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    const message = toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status }));
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  });
  const port = await listen(server);
  expect(await ask({ grpc: { port, service: 'books' } })).toBeUndefined();
  status = ServingStatus.NOT_SERVING;
  expect(await ask({ grpc: { port, service: 'books' } })).toBe('the gRPC service "books" is NOT_SERVING');
});

test('a probe that is not answered in time', async () => {
  const port = await listen(createTcpServer(() => undefined));
  const fault = await ask({ httpGet: { path: '/', port }, timeoutSeconds: 1 });
  expect(fault).toBe('GET / was not answered within 1000 ms');
});

test('metrics of the application, without what only stands at an end', async () => {
  const port = await listen(
    createServer(({ url }, response) => {
      response.writeHead(url === '/metrics' ? 200 : 404).end('books 1\n# EOF\n');
    }),
  );
  expect(await scrapeApplication({ port, path: '/metrics' })).toBe('books 1\n');
  await expect(scrapeApplication({ port, path: '/other' })).rejects.toThrow('answered /other with 404');
});

test('hooks of a container are asked as probes are', async () => {
  const server = createServer((_request, response) => response.end());
  const port = await listen(server);
  const faults: string[] = [];
  const hook = { '/app-lifecycle/app/prestopz': { httpGet: { path: '/stop', port } }, '/app-lifecycle/app/other': {} };
  const probers = parseAppProbers(JSON.stringify(hook), faults);
  expect(faults.join()).toContain('/app-lifecycle/app/other is not');
  expect(await askApplication(probers.get('/app-lifecycle/app/prestopz')!, '127.0.0.1')).toBeUndefined();
});

test('metrics that several ask for at once are asked for once, and anew by the next', async () => {
  const held: (() => void)[] = [];
  const server = createServer((_request, response) => held.push(() => response.end(`scrapes ${held.length}`)));
  const port = await listen(server);
  const ask = sharedScrape({ port, path: '/metrics' });
  const hurried = ask(1);
  const both = [ask(), ask()];
  await expect(hurried).rejects.toThrow('did not answer in time');
  await expect.poll(() => held.length).toBe(1);
  held[0]?.();
  expect(await Promise.all(both)).toEqual(['scrapes 1\n', 'scrapes 1\n']);
  const next = ask();
  await expect.poll(() => held.length).toBe(2);
  held[1]?.();
  expect(await next).toBe('scrapes 2\n');
});
