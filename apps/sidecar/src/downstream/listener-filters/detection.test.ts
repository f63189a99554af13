// Ports that say no protocol: HTTP by its rules, anything else as it is, between applications and between sidecars.

import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TestAuthority } from '@lateen/identity/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { openClient, readAll, startTcpServer, TCP_EXCHANGE, tcpProxy } from '../../tcp/tcp-fixture.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  TLS_INSPECTOR,
  toCluster,
} from '../../testing/envoy-config.js';
import { answerOf } from '../../testing/http2-peers.js';
import { meshClientSocketOf, meshServerSocket, workloadSecrets } from '../../testing/mesh-identity.js';
import { type ProxyFixture, startProxy } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.create();
});

const HTTP_INSPECTOR = {
  name: 'http',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
  },
};
const PLAIN_HTTP = { transport_protocol: 'raw_buffer', application_protocols: ['http/1.0', 'http/1.1', 'h2c'] };
/** Marks what went through the rules of HTTP. */
const marked = (cluster: string, name: string) =>
  connectionManager(
    anyHost({ ...toCluster(cluster), response_headers_to_add: [{ header: { key: 'x-http-at', value: name } }] }),
  );

function detecting(
  name: string,
  chains: readonly Record<string, unknown>[],
  timeout: string,
  direction: string,
  others?: Record<string, unknown>,
) {
  return listener(name, chains, {
    ...(others === undefined ? {} : { default_filter_chain: others }),
    traffic_direction: direction,
    listener_filters: [TLS_INSPECTOR, HTTP_INSPECTOR],
    listener_filters_timeout: timeout,
    continue_on_listener_filters_timeout: true,
  });
}

const CLIENT_PROTOCOL = httpOptions({
  use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
});

/** An outbound listener in front of an application. */
async function startClientSide(
  port: number,
  timeout = '0s',
  extra: Record<string, unknown> = {},
): Promise<ProxyFixture> {
  const secrets = await workloadSecrets(authority, 'shop');
  const chains = [{ name: 'http', filter_chain_match: PLAIN_HTTP, filters: [marked('app', 'client')] }];
  const others = { name: 'tcp', filters: [tcpProxy({ cluster: 'app' })] };
  const app = cluster('app', [endpointOf(port)], { ...CLIENT_PROTOCOL, ...extra });
  return startProxy(dataPlaneConfig([detecting('out', chains, timeout, 'OUTBOUND', others)], [app], secrets));
}

/** A server's sidecar, which takes both plainly and by mutual TLS. */
async function startServerSide(port: number): Promise<ProxyFixture> {
  const tcp = [TCP_EXCHANGE, tcpProxy({ cluster: 'app' })];
  const http = [marked('app', 'server')];
  const mutual = (protocols: readonly string[], filters: readonly Record<string, unknown>[]) => ({
    filter_chain_match: { transport_protocol: 'tls', application_protocols: protocols },
    filters,
    transport_socket: meshServerSocket(),
  });
  const chains = [
    { name: 'mtls-http', ...mutual(['istio-http/1.0', 'istio-http/1.1', 'istio-h2'], http) },
    { name: 'mtls', ...mutual(['istio', 'istio-peer-exchange'], tcp) },
    { name: 'plaintext-http', filter_chain_match: PLAIN_HTTP, filters: http },
    { name: 'plaintext', filter_chain_match: { transport_protocol: 'raw_buffer' }, filters: tcp },
    { name: 'tls-passthrough', filter_chain_match: { transport_protocol: 'tls' }, filters: tcp },
  ];
  const app = cluster('app', [endpointOf(port)], CLIENT_PROTOCOL);
  const secrets = await workloadSecrets(authority, 'db');
  return startProxy(dataPlaneConfig([detecting('in', chains, '0.2s', 'INBOUND')], [app], secrets));
}

/** Says what it got, as a response where that is a request. */
const application = (socket: Socket): void => {
  let got = '';
  socket.on('data', (chunk) => {
    got += chunk.toString('latin1');
    if (got.endsWith('\r\n\r\n')) {
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok`);
    } else if (got.endsWith('\n') && !got.includes('HTTP/1.')) socket.write(`got ${got}`);
  });
  socket.on('end', () => socket.end());
};
const speaksFirst = (socket: Socket): void => {
  socket.write('ready\n');
  socket.on('data', (chunk) => socket.end(`got ${chunk}`));
};
const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

async function say(port: number, ...parts: readonly string[]): Promise<string> {
  const socket = await openClient(port);
  const all = readAll(socket);
  socket.setNoDelay(true);
  for (const part of parts) await new Promise((resolve) => socket.write(part, 'latin1', resolve));
  const text = (await all).toString('latin1');
  socket.end();
  return text;
}

describe('a listener that detects the protocol', () => {
  it('leads HTTP through its rules, also where it comes byte by byte', async () => {
    const proxy = await startClientSide(await startTcpServer(application));
    expect(await say(proxy.port(), REQUEST)).toContain('x-http-at: client');
    expect(await say(proxy.port(), ...REQUEST)).toContain('x-http-at: client');
    // HTTP/1.0 as well, which is refused in its own words.
    expect(await say(proxy.port(), 'GET / HTTP/1.0\r\nhost: a\r\n\r\n')).toContain('426 Upgrade Required');
  });

  it('passes on what is not HTTP, at once and whole, without waiting for a time-out', async () => {
    const proxy = await startClientSide(await startTcpServer(application));
    const socket = await openClient(proxy.port());
    const all = readAll(socket);
    socket.write('PI');
    await eventually(() => proxy.dataPlane.stats.downstreamCxActive === 1, 'it is there');
    socket.end('NG\n');
    expect((await all).toString()).toBe('got PING\n');
  });

  it('hands over what a client said before it ended its side', async () => {
    const proxy = await startClientSide(
      await startTcpServer((socket) => socket.on('data', (chunk) => socket.end(`got ${chunk}`))),
    );
    const socket = await openClient(proxy.port());
    const all = readAll(socket);
    socket.end('GE');
    expect((await all).toString()).toBe('got GE');
  });

  it('lets a server speak first after the time-out, and passes on what the client says then', async () => {
    const proxy = await startClientSide(await startTcpServer(speaksFirst), '0.1s');
    const socket = await openClient(proxy.port());
    const all = readAll(socket);
    await once(socket, 'data');
    socket.write(REQUEST);
    expect((await all).toString()).toBe(`ready\ngot ${REQUEST}`);
  });

  it('takes HTTP whose first byte is late where there is no time-out', async () => {
    const proxy = await startClientSide(await startTcpServer(application));
    const socket = await openClient(proxy.port());
    const all = readAll(socket);
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.write(REQUEST);
    expect((await all).toString()).toContain('x-http-at: client');
  });

  it('knows HTTP/2 by its preface, in one piece or cut', async () => {
    const { createServer } = await import('node:http2');
    const server = createServer((_request, response) => response.end('two'));
    const port = await startTcpServer((socket) => server.emit('connection', socket));
    const proxy = await startClientSide(port);
    const session = connectHttp2(`http://127.0.0.1:${proxy.port()}`);
    const answer = await answerOf(session.request({ ':path': '/' }));
    session.destroy();
    expect(answer.body.toString()).toBe('two');
    expect(answer.headers['x-http-at']).toBe('client');
    const socket = await openClient(proxy.port());
    socket.setNoDelay(true);
    for (const part of ['PRI * HT', 'TP/2.0\r\n\r', '\nSM\r\n\r\n', '\0\0\0\x04\0\0\0\0\0']) {
      await new Promise((resolve) => socket.write(part, 'latin1', resolve));
    }
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first[3]).toBe(4); // SETTINGS
  });

  it('passes TLS on to the application', async () => {
    const first: Buffer[] = [];
    const proxy = await startClientSide(
      await startTcpServer((socket) => socket.on('data', (chunk) => first.push(chunk))),
    );
    const tls = connectTls({ port: proxy.port(), host: '127.0.0.1', rejectUnauthorized: false });
    tls.on('error', () => {});
    await eventually(() => first.length > 0, 'the ClientHello arrives');
    expect(first[0]![0]).toBe(22);
    tls.destroy();
  });

  it('hands over more than one read brings, whole and in order', async () => {
    const proxy = await startClientSide(
      await startTcpServer((socket) => {
        const chunks: Buffer[] = [];
        socket.on('data', (chunk) => chunks.push(chunk));
        socket.on('end', () => socket.end(Buffer.concat(chunks)));
      }),
    );
    const sent = `GET /${'0123456789abcdef'.repeat(16 * 1024)}`;
    const socket = await openClient(proxy.port());
    const all = readAll(socket);
    socket.setNoDelay(true);
    for (let at = 0; at < sent.length; at += 50_000) {
      await new Promise((resolve) => socket.write(sent.slice(at, at + 50_000), resolve));
    }
    socket.end();
    expect((await all).toString() === sent).toBe(true);
  });
});

describe('two sidecars at a port that says nothing', () => {
  const ALPN = ['istio-peer-exchange', 'istio'];
  async function startMesh(serve: (socket: Socket) => void) {
    const server = await startServerSide(await startTcpServer(serve));
    const transport = { transport_socket: meshClientSocketOf(['db'], ALPN), filters: [TCP_EXCHANGE] };
    return { server, client: await startClientSide(server.port(), '0.1s', transport) };
  }

  it('tell each other which it is: HTTP is HTTP at both, the rest at neither', async () => {
    const { client } = await startMesh(application);
    const answer = await say(client.port(), REQUEST);
    expect(answer).toContain('x-http-at: client');
    expect(answer).toContain('x-http-at: server');
    const socket = await openClient(client.port());
    const all = readAll(socket);
    socket.end('PING\n');
    expect((await all).toString()).toBe('got PING\n');
  });

  it('let a server speak first', async () => {
    const { client } = await startMesh(speaksFirst);
    const socket = await openClient(client.port());
    const all = readAll(socket);
    await once(socket, 'data');
    socket.write('x');
    expect((await all).toString()).toBe('ready\ngot x');
  });

  it('take plain calls of both kinds at the server', async () => {
    const { server } = await startMesh(application);
    expect(await say(server.port(), REQUEST)).toContain('x-http-at: server');
    const socket = await openClient(server.port());
    const all = readAll(socket);
    socket.end('PING\n');
    expect((await all).toString()).toBe('got PING\n');
  });
});

describe('a listener whose inspectors leave ports alone', () => {
  const ALL = { destination_port_range: { start: 1, end: 65_536 } };
  const OTHERS = { destination_port_range: { start: 0, end: 1 } };

  async function startLeaving(port: number, rule: Record<string, unknown>): Promise<ProxyFixture> {
    const chains = [{ name: 'http', filter_chain_match: PLAIN_HTTP, filters: [marked('app', 'client')] }];
    const fields = detecting('out', chains, '0s', 'OUTBOUND', { name: 'tcp', filters: [tcpProxy({ cluster: 'app' })] });
    const filters = [TLS_INSPECTOR, HTTP_INSPECTOR].map((filter) => ({ ...filter, filter_disabled: rule }));
    const app = cluster('app', [endpointOf(port)], CLIENT_PROTOCOL);
    return startProxy(dataPlaneConfig([{ ...fields, listener_filters: filters }], [app]));
  }

  it('lets the servers of these speak first, and does not look for HTTP', async () => {
    const proxy = await startLeaving(await startTcpServer(speaksFirst), { or_match: { rules: [OTHERS, ALL] } });
    const socket = await openClient(proxy.port());
    const all = readAll(socket);
    await once(socket, 'data');
    socket.write(REQUEST);
    expect((await all).toString()).toBe(`ready\ngot ${REQUEST}`);
  });

  it('looks at connections to all others', async () => {
    const proxy = await startLeaving(await startTcpServer(application), {
      and_match: { rules: [ALL, { not_match: ALL }] },
    });
    expect(await say(proxy.port(), REQUEST)).toContain('x-http-at: client');
  });
});
