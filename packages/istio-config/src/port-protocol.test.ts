// Protocols of ports: Istio's rules.
import { expect, test } from 'vitest';
import { isHttpProtocol, protocolFromPortName, protocolOfPort } from './port-protocol.js';

test.each([
  [{ name: 'http', port: 80 }, 'http'],
  [{ name: 'http-web', port: 80 }, 'http'],
  [{ name: 'HTTP2-x', port: 80 }, 'http2'],
  [{ name: 'grpc-web', port: 80 }, 'grpc-web'],
  [{ name: 'grpc-web-admin', port: 80 }, 'grpc-web'],
  [{ name: 'grpc-admin', port: 80 }, 'grpc'],
  [{ name: 'web', port: 80 }, 'auto'],
  [{ name: 'httpx', port: 80 }, 'auto'],
  [{ port: 80 }, 'auto'],
  [{ port: 3306 }, 'tcp'],
  [{ name: 'db', port: 3306 }, 'tcp'],
  [{ name: 'http', port: 3306 }, 'http'],
  [{ name: 'tcp', appProtocol: 'http', port: 80 }, 'http'],
  [{ appProtocol: 'kubernetes.io/h2c', port: 80 }, 'http2'],
  [{ appProtocol: 'example.com/x', name: 'http', port: 80 }, 'auto'],
  [{ name: 'http', protocol: 'UDP', port: 53 }, 'udp'],
] as const)('%o is %s', (naming, protocol) => {
  expect(protocolOfPort(naming)).toBe(protocol);
});

test('HTTP and what looks like it', () => {
  expect(['http', 'http2', 'grpc', 'grpc-web'].map((name) => isHttpProtocol(protocolFromPortName(name)!))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(isHttpProtocol('https')).toBe(false);
  expect(isHttpProtocol('auto')).toBe(false);
});
