// Contract from YAML to bytes: the PROXY protocol: a gateway takes it from a balancer, and a DestinationRule has it written.

import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../harness/free-port.js';
import { gatewayMesh, pair, server } from './gateway-mesh.js';
import type { TestBackend } from './tls-client.js';
import { TranslatedProxy } from './translated-proxy.js';

const GATEWAY = `127.${150 + Math.floor(Math.random() * 40)}.9.1`;
const V1 = 'PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n';
// 192.0.2.8:4712 → 198.51.100.1:443, followed by a type-length-value of three bytes.
const V2 = Buffer.concat([
  Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12', 'latin1'),
  Buffer.from([192, 0, 2, 8, 198, 51, 100, 1, 4712 >> 8, 4712 & 255, 443 >> 8, 443 & 255, 0xe0, 0, 3, 1, 2, 3]),
]);

/** Answers the first bytes of a connection, as a response of HTTP, with these bytes; behind TLS where it has a certificate. */
async function mirror(tls?: WebCertificate): Promise<TestBackend> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (first) => {
      const answer = (to: typeof socket, bytes: string) =>
        to.end(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes.length}\r\nconnection: close\r\n\r\n${bytes}`);
      if (tls === undefined) {
        let received = first.toString('latin1');
        const answerWhenWhole = () => {
          if (/(hello|GET [\s\S]*\r\n\r\n)$/.test(received)) answer(socket, received);
        };
        answerWhenWhole();
        socket.on('data', (chunk) => {
          received += chunk.toString('latin1');
          answerWhenWhole();
        });
        return;
      }
      const line = first.indexOf('\r\n') + 2;
      socket.pause();
      if (first.length > line) socket.unshift(first.subarray(line));
      const secure = new TLSSocket(socket, { isServer: true, cert: tls.certPem, key: tls.keyPem });
      secure.on('error', () => socket.destroy());
      secure.once('data', (bytes: Buffer) =>
        answer(secure, first.subarray(0, line).toString('latin1') + bytes.toString('latin1')),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** Everything that comes back for the bytes; after a PROXY header TLS begins where a server name is given. */
function talk(port: number, header: string | Buffer, text: string, servername?: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(port, GATEWAY);
    socket.write(header);
    const stream = servername === undefined ? socket : connectTls({ socket, servername, rejectUnauthorized: false });
    stream.write(text);
    stream.setEncoding('latin1');
    stream.on('data', (chunk: string) => {
      received += chunk;
    });
    stream.on('error', () => socket.destroy());
    stream.on('close', () => resolve(received));
  });
}

const GET = 'GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n';

let proxy: TranslatedProxy;
let web: TestBackend;
let echo: TestBackend;
let secure: TestBackend;
let certificate: WebCertificate;
let plainPort = 0;

const rule = (host: string, version: string, more = '') => `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${host}, namespace: default }
spec: { host: ${host}, trafficPolicy: { proxyProtocol: { version: ${version} }${more} } }
`;

async function serve(more: string): Promise<void> {
  const servers =
    server('http', 80, 'HTTP', '"*"') +
    server('a', 443, 'HTTPS', 'a.example.com', 'mode: SIMPLE, credentialName: a') +
    server('tcp', plainPort, 'TCP', '"*"');
  await proxy.serve(gatewayMesh(GATEWAY, { web, echo, secure }, servers, pair('a', certificate) + more));
}

beforeAll(async () => {
  const authority = await TestWebAuthority.create('servers');
  certificate = await authority.issue({ dnsNames: ['a.example.com'] });
  plainPort = await freePort();
  [web, echo, secure] = await Promise.all([mirror(), mirror(), mirror(certificate)]);
  proxy = await TranslatedProxy.start({ pod: 'edge-0.istio-system' });
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await Promise.all([web, echo, secure].map((backend) => backend?.close()));
});

describe('a gateway behind a balancer', () => {
  beforeAll(async () => {
    await serve(`
---
kind: MeshConfig
spec: { defaultConfig: { gatewayTopology: { proxyProtocol: {} } } }
`);
  }, 60_000);

  test('takes the client from headers of version 1 and 2, before requests', async () => {
    expect(await talk(8080, V1, GET)).toMatch(/x-forwarded-for: 192\.0\.2\.7\r/i);
    expect(await talk(8080, V2, GET)).toMatch(/x-forwarded-for: 192\.0\.2\.8\r/i);
  });

  test('takes them before TLS', async () => {
    expect(await talk(8443, V1, GET, 'a.example.com')).toMatch(/x-forwarded-for: 192\.0\.2\.7\r/i);
    expect(await talk(8443, V2, GET, 'a.example.com')).toMatch(/x-forwarded-for: 192\.0\.2\.8\r/i);
  });

  test('takes them before plain bytes, of which they are no part', async () => {
    expect(await talk(plainPort, V1, 'hello')).toMatch(/\r\n\r\nhello$/);
    expect(await talk(plainPort, V2, 'hello')).toMatch(/\r\n\r\nhello$/);
  });

  test('closes connections without a header, or with one that is none', async () => {
    expect(await talk(8080, '', GET)).toBe('');
    expect(await talk(8080, 'PROXY TCP4 nobody 198.51.100.1 1 2\r\n', GET)).toBe('');
  });
});

describe('a DestinationRule with proxyProtocol', () => {
  test('writes headers of version 1 before requests and bytes', async () => {
    await serve(rule('web', 'V1') + rule('echo', 'V1'));
    const header = /\r\n\r\nPROXY TCP4 127\.\S+ 127\.\S+ \d+ \d+\r\n/;
    expect(await talk(8080, '', GET)).toMatch(new RegExp(`${header.source}GET / HTTP/1.1\\r\\n`));
    expect(await talk(plainPort, '', 'hello')).toMatch(new RegExp(`${header.source}hello$`));
  }, 60_000);

  test('writes headers of version 2', async () => {
    await serve(rule('web', 'V2') + rule('echo', 'V2'));
    const header = '\r\n\r\n\r\n\r\n\0\r\nQUIT\n\x21\x11';
    expect(await talk(8080, '', GET)).toContain(header);
    const bytes = await talk(plainPort, '', 'hello');
    expect(bytes).toContain(header);
    expect(bytes).toMatch(/hello$/);
  }, 60_000);

  test('writes them before TLS of its own', async () => {
    await serve(rule('secure', 'V1', ', tls: { mode: SIMPLE, insecureSkipVerify: true }') + TO_SECURE);
    expect(await talk(8080, '', GET.replace('a.example.com', 's.example.com'))).toMatch(
      /\r\n\r\nPROXY TCP4 127\.\S+ 127\.\S+ \d+ \d+\r\nGET \/ HTTP\/1\.1\r\n/,
    );
  }, 60_000);
});

const TO_SECURE = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: to-secure, namespace: default }
spec:
  hosts: [s.example.com]
  gateways: [istio-system/edge]
  http: [{ route: [{ destination: { host: secure } }] }]
`;
