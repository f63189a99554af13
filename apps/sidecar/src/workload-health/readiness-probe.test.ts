// Workload health: what is read of a node's probe, and what is refused of it.

import { expect, test } from 'vitest';
import { readReadinessProbe } from './readiness-probe.js';

const read = (readinessProbe: object) => readReadinessProbe({ PROXY_CONFIG: { readinessProbe } as never });

test('a node without a probe has none', () => {
  expect(readReadinessProbe(undefined)).toBeUndefined();
  expect(readReadinessProbe({ PROXY_CONFIG: {} })).toBeUndefined();
});

test('what is left out has the defaults of Kubernetes, and is asked of the application itself', () => {
  expect(read({ httpGet: { port: 8080 }, periodSeconds: 0 })).toEqual({
    action: { kind: 'httpGet', scheme: 'http', host: '127.0.0.1', port: 8080, path: '/', headers: [] },
    initialDelayMs: 0,
    timeoutMs: 1000,
    periodMs: 10_000,
    successThreshold: 1,
    failureThreshold: 3,
  });
});

test('everything is read', () => {
  const times = {
    initialDelaySeconds: 1,
    timeoutSeconds: 2,
    periodSeconds: 3,
    successThreshold: 4,
    failureThreshold: 5,
  };
  const httpHeaders = [{ name: 'x', value: '1' }, { name: 'y' }];
  expect(read({ ...times, httpGet: { scheme: 'HTTPS', host: '::1', port: 1, path: 'ready', httpHeaders } })).toEqual({
    action: {
      kind: 'httpGet',
      scheme: 'https',
      host: '::1',
      port: 1,
      path: '/ready',
      headers: [
        ['x', '1'],
        ['y', ''],
      ],
    },
    initialDelayMs: 1000,
    timeoutMs: 2000,
    periodMs: 3000,
    successThreshold: 4,
    failureThreshold: 5,
  });
  expect(read({ tcpSocket: { port: 2, host: 'db' } })?.action).toEqual({ kind: 'tcpSocket', host: 'db', port: 2 });
  expect(read({ exec: { command: ['true'] } })?.action).toEqual({ kind: 'exec', command: ['true'] });
  expect(read({ grpc: { port: 3, service: 's' } })?.action).toEqual({
    kind: 'grpc',
    host: '127.0.0.1',
    port: 3,
    service: 's',
  });
});

test.each([
  [{}, 'needs exactly one of httpGet, tcpSocket, exec, grpc'],
  [{ exec: { command: ['true'] }, tcpSocket: { port: 1 } }, 'needs exactly one of'],
  [{ httpGet: { port: 0 } }, 'readinessProbe.httpGet.port must be a port'],
  [{ httpGet: { port: 1, scheme: 'FTP' } }, 'readinessProbe.httpGet.scheme must be HTTP or HTTPS'],
  [{ httpGet: { port: 1, pth: '/' } }, 'readinessProbe.httpGet.pth is not a field of a probe'],
  [{ exec: { command: [] } }, 'readinessProbe.exec.command must be a list of texts'],
  [{ tcpSocket: { port: 1 }, periodSeconds: -1 }, 'readinessProbe.periodSeconds must be a whole number'],
  [{ tcpSocket: 7 }, 'readinessProbe.tcpSocket must be an object'],
])('%j is refused by name', (probe, message) => {
  expect(() => read(probe)).toThrow(message);
});
