// Workload health: each kind of probe against a real server or command, and the thresholds of the loop.

import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { Server as GrpcServer, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { TestWebAuthority } from '@lateen/identity/testing';
import { grpcService } from '@lateen/xds-proto';
import {
  Health,
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from '@lateen/xds-proto/grpc/health/v1/health_pb.js';
import { afterEach, expect, test } from 'vitest';
import { startHealthLoop } from './health-loop.js';
import { probeOnce } from './probe-once.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function listen(server: TcpServer | Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

const http = (port: number, path = '/') =>
  ({ kind: 'httpGet', scheme: 'http', host: '127.0.0.1', port, path, headers: [['x-a', '1']] }) as const;

test('httpGet: 200 to 399 is well, with the headers that it says, and what is not answered in time is not', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/never') return;
    response.writeHead(Number(request.url?.slice(1)) || (request.headers['x-a'] === '1' ? 200 : 500)).end();
  });
  cleanups.push(() => server.closeAllConnections());
  const port = await listen(server);
  expect(await probeOnce(http(port), 5000)).toBeUndefined();
  expect(await probeOnce(http(port, '/302'), 5000)).toBeUndefined();
  expect(await probeOnce(http(port, '/404'), 5000)).toBe('GET /404 was answered 404');
  expect(await probeOnce(http(port, '/never'), 50)).toBe('GET /never was not answered within 50 ms');
});

test('httpGet over TLS does not check the certificate', async () => {
  const { keyPem, certPem } = await (await TestWebAuthority.create('nobody')).issue({ dnsNames: ['other'] });
  const port = await listen(createTlsServer({ key: keyPem, cert: certPem }, (_, response) => response.end()));
  expect(await probeOnce({ ...http(port), scheme: 'https' }, 5000)).toBeUndefined();
  expect(await probeOnce(http(port), 5000)).toBeDefined();
});

test('tcpSocket: whoever accepts is well', async () => {
  const server = createTcpServer((socket) => socket.destroy());
  const port = await listen(server);
  expect(await probeOnce({ kind: 'tcpSocket', host: '127.0.0.1', port }, 5000)).toBeUndefined();
  await new Promise((resolve) => server.close(resolve));
  expect(await probeOnce({ kind: 'tcpSocket', host: '127.0.0.1', port }, 5000)).toContain('ECONNREFUSED');
});

test('exec: whatever ends with 0 is well', async () => {
  const run = (script: string, timeoutMs = 5000) =>
    probeOnce({ kind: 'exec', command: ['sh', '-c', script] }, timeoutMs);
  expect(await run('exit 0')).toBeUndefined();
  expect(await run('echo too hot >&2; exit 3')).toBe('sh ended with 3: too hot');
  expect(await run('exec sleep 60', 50)).toBe('sh did not end within 50 ms');
  expect(await probeOnce({ kind: 'exec', command: ['/no/such/program'] }, 5000)).toContain('ENOENT');
});

test('grpc: the service says itself how it is', async () => {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  const server = new GrpcServer();
  server.addService(grpcService(Health) as ServiceDefinition, {
    check: (call: { request: HealthCheckRequest }, answer: (error: null, response: unknown) => void) =>
      answer(
        null,
        create(HealthCheckResponseSchema, { status: call.request.service === 'ill' ? NOT_SERVING : SERVING }),
      ),
  });
  cleanups.push(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  const ask = (service: string) => probeOnce({ kind: 'grpc', host: '127.0.0.1', port, service }, 5000);
  expect(await ask('')).toBeUndefined();
  expect(await ask('ill')).toBe('the gRPC service "ill" is NOT_SERVING');
  server.forceShutdown();
  expect(await ask('')).toBeDefined();
});

test('the loop tells each change once, when its threshold is reached, and nothing before', async () => {
  const statuses = [200, 500, 200, 200, 500, 500, 500, 200, 200];
  const asked: number[] = [];
  const server = createServer((_, response) => {
    const status = statuses[asked.length] ?? 200;
    asked.push(status);
    response.writeHead(status).end();
  });
  const port = await listen(server);
  const told: string[] = [];
  await new Promise<void>((resolve) => {
    const times = { initialDelayMs: 1, timeoutMs: 5000, periodMs: 1 };
    const loop = startHealthLoop(
      { action: http(port), ...times, successThreshold: 2, failureThreshold: 3 },
      (fault) => {
        told.push(`${fault ?? 'well'} after ${asked.length}`);
        if (told.length === 3) {
          loop.stop();
          resolve();
        }
      },
    );
  });
  expect(told).toEqual(['well after 4', 'GET / was answered 500 after 7', 'well after 9']);
});
