// Mutual TLS between sidecars: who gets in, who does not, resumed sessions, renewal, PERMISSIVE and STRICT.

import { X509Certificate } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { TestAuthority } from '@lateen/identity/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TlsSecret } from '../data-plane.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  TLS_INSPECTOR,
  toCluster,
} from '../testing/envoy-config.js';
import { meshClientSocket, meshServerSocket, workloadSecrets } from '../testing/mesh-identity.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { type ProxyFixture, startProxy, startUpstream } from '../testing/proxy-fixture.js';
import { eventually, RawConnection, type RawUpstream } from '../testing/raw-peers.js';

let authority: TestAuthority;
let server: Map<string, TlsSecret>;
let client: Map<string, TlsSecret>;

beforeAll(async () => {
  authority = await TestAuthority.create();
  [server, client] = await Promise.all([
    workloadSecrets(authority, 'reviews'),
    workloadSecrets(authority, 'productpage'),
  ]);
});

type Json = Record<string, unknown>;

function inboundConfig(upstreamPort: number, mode: 'PERMISSIVE' | 'STRICT', secrets: ReadonlyMap<string, TlsSecret>) {
  const hcm = connectionManager(anyHost(toCluster('app')), {
    forward_client_cert_details: 'APPEND_FORWARD',
    set_current_client_cert_details: { subject: true, dns: true, uri: true },
  });
  const chains: Json[] = [
    { filter_chain_match: { transport_protocol: 'tls' }, filters: [hcm], transport_socket: meshServerSocket() },
  ];
  if (mode === 'PERMISSIVE') chains.push({ filter_chain_match: { transport_protocol: 'raw_buffer' }, filters: [hcm] });
  const extra = { listener_filters: [TLS_INSPECTOR], traffic_direction: 'INBOUND' };
  return dataPlaneConfig([listener('inbound', chains, extra)], [cluster('app', [endpointOf(upstreamPort)])], secrets);
}

function outboundConfig(
  port: number,
  secrets: ReadonlyMap<string, TlsSecret>,
  accounts = ['reviews'],
  route: Json = {},
  hcm: Json = {},
) {
  const upstream = cluster(
    'reviews',
    [endpointOf(port, { metadata: { filter_metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } } } })],
    {
      transport_socket_matches: [
        { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transport_socket: meshClientSocket(...accounts) },
        {
          name: 'tlsMode-disabled',
          match: {},
          transport_socket: {
            name: 'raw',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer' },
          },
        },
      ],
    },
  );
  return dataPlaneConfig(
    [listener('outbound', [{ filters: [connectionManager(anyHost(toCluster('reviews', route)), hcm)] }])],
    [upstream],
    secrets,
  );
}

async function startInbound(
  mode: 'PERMISSIVE' | 'STRICT',
  secrets = server,
): Promise<{ proxy: ProxyFixture; app: RawUpstream }> {
  const app = await startUpstream();
  return { proxy: await startProxy(inboundConfig(app.port, mode, secrets)), app };
}

/** A TLS client that presents these secrets; the server's certificate is not looked at. */
async function tlsClient(
  port: number,
  secrets: ReadonlyMap<string, TlsSecret> | undefined,
  extra: ConnectionOptions = {},
) {
  const identity = secrets?.get('default');
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    ALPNProtocols: ['istio'], // shares nothing with the server's list, which must not matter
    ...(identity?.kind === 'certificate' ? { cert: identity.certificateChainPem, key: identity.privateKeyPem } : {}),
    ...extra,
  });
  const sessions: Buffer[] = [];
  let secure = false;
  socket.on('session', (session: Buffer) => sessions.push(session));
  socket.on('secureConnect', () => {
    secure = true;
  });
  const connection = new RawConnection(socket);
  await connection.until(({ closed }) => secure || closed, 'the end of the handshake');
  return { socket, connection, sessions };
}

async function answerOne(app: RawUpstream, body = 'ok'): Promise<string> {
  const server = await app.next();
  const { head } = await server.message();
  server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  return head;
}

const GET = 'GET / HTTP/1.1\r\nHost: reviews\r\n\r\n';

async function isServed(app: RawUpstream, socket: TLSSocket, connection: RawConnection): Promise<boolean> {
  const before = app.connections.length;
  if (!socket.destroyed) socket.write(GET);
  await connection.until(
    ({ closed }) => closed || app.connections.length > before,
    'a refusal or a request at the app',
  );
  if (app.connections.length === before) return false;
  await answerOne(app);
  await connection.untilText('ok');
  return true;
}

describe('the accepting side', () => {
  it('takes a workload of the mesh and tells the app who it was', async () => {
    const { proxy, app } = await startInbound('STRICT');
    const { connection } = await tlsClient(proxy.port(), client);
    connection.send(GET);
    const head = await answerOne(app);
    expect(head).toMatch(
      /\r\nx-forwarded-client-cert: By=spiffe:\/\/cluster.local\/ns\/default\/sa\/reviews;Hash=[0-9a-f]{64};Subject="[^"]*";URI=spiffe:\/\/cluster.local\/ns\/default\/sa\/productpage\r\n/i,
    );
    await connection.untilText('ok');
  });

  it('refuses strangers, other trust domains and clients without a certificate, before any byte reaches the app', async () => {
    const { proxy, app } = await startInbound('STRICT');
    const stranger = await workloadSecrets(await TestAuthority.create(), 'productpage');
    const foreign = await workloadSecrets(await TestAuthority.create('other.mesh'), 'productpage');
    for (const secrets of [stranger, foreign, undefined]) {
      const { socket, connection } = await tlsClient(proxy.port(), secrets);
      expect(await isServed(app, socket, connection)).toBe(false);
    }
    expect(app.connections).toHaveLength(0);
    expect(proxy.dataPlane.stats.downstreamCxTlsRefused).toEqual({ no_cert: 1, error: 2, san: 0, cert_hash: 0 });
    expect(proxy.dataPlane.stats.downstreamCxTlsErrors).toBe(0);
    expect(proxy.dataPlane.stats.downstreamCxTlsTotal).toBe(0);
    expect(proxy.dataPlane.stats.downstreamCxActive).toBe(0);
  });

  it('STRICT refuses plaintext, PERMISSIVE takes both on one port', async () => {
    const strict = await startInbound('STRICT');
    const refused = await strict.proxy.client();
    refused.send(GET);
    await refused.untilEnd();
    expect(refused.received).toBe('');
    const permissive = await startInbound('PERMISSIVE');
    const plain = await permissive.proxy.client();
    plain.send(GET);
    await answerOne(permissive.app);
    expect((await plain.message()).body).toBe('ok');
    const { connection } = await tlsClient(permissive.proxy.port(), client);
    connection.send(GET);
    const next = permissive.app.connections[0]!;
    await next.message();
    next.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await connection.untilText('ok');
  });

  it('resumes a session, also across a renewal, but not under another trust bundle', async () => {
    const { proxy, app } = await startInbound('STRICT');
    const first = await tlsClient(proxy.port(), client);
    expect(await isServed(app, first.socket, first.connection)).toBe(true);
    await eventually(() => first.sessions.length > 0, 'there is a session ticket');
    const session = first.sessions.at(-1);
    first.socket.destroy();

    proxy.dataPlane.updateSecrets(await workloadSecrets(authority, 'reviews'));
    const resumed = await tlsClient(proxy.port(), client, { session });
    expect(resumed.socket.isSessionReused()).toBe(true);
    resumed.connection.send(GET);
    const served = app.connections[0]!;
    expect((await served.message()).head).toMatch(/URI=spiffe:\/\/cluster.local\/ns\/default\/sa\/productpage/);
    served.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await resumed.connection.untilText('ok');

    const other = await TestAuthority.create();
    const renewed = await workloadSecrets(other, 'reviews');
    proxy.dataPlane.updateSecrets(renewed);
    // A client of the old mesh: neither its session nor its certificate counts any more.
    const late = await tlsClient(proxy.port(), client, { session });
    expect(late.socket.isSessionReused()).toBe(false);
    expect(await isServed(app, late.socket, late.connection)).toBe(false);
  });

  it('does not take a resumed session whose certificate has expired', async () => {
    const { proxy, app } = await startInbound('STRICT');
    const short = await workloadSecrets(authority, 'productpage', 2);
    const first = await tlsClient(proxy.port(), short);
    expect(await isServed(app, first.socket, first.connection)).toBe(true);
    await eventually(() => first.sessions.length > 0, 'there is a session ticket');
    const session = first.sessions.at(-1);
    const pem = short.get('default');
    if (pem?.kind !== 'certificate') throw new Error('no certificate');
    const expiresMs = Date.parse(new X509Certificate(pem.certificateChainPem).validTo);
    await eventually(() => Date.now() > expiresMs + 1, 'the certificate has expired');
    const late = await tlsClient(proxy.port(), short, { session });
    expect(await isServed(app, late.socket, late.connection)).toBe(false);
  });

  it('takes a ClientHello in small segments and closes one that is malformed', async () => {
    const { proxy, app } = await startInbound('STRICT');
    const relay = await splitRelay(proxy.port(), 7);
    const { connection } = await tlsClient(relay.port, client);
    connection.send(GET);
    await answerOne(app);
    await connection.untilText('ok');
    await relay.stop();
    const bad = await proxy.client();
    bad.send(Buffer.from([22, 3, 1, 0, 5, 1, 0, 0, 1, 3]));
    await bad.untilEnd();
    expect(bad.received).toBe('');
  });
});

describe('from sidecar to sidecar', () => {
  it('carries requests and large bodies over mutual TLS, and counts the principals', async () => {
    const { proxy: inbound, app } = await startInbound('STRICT');
    const outbound = await startProxy(outboundConfig(inbound.port(), client));
    const plain = await outbound.client();
    plain.send('POST /up HTTP/1.1\r\nHost: reviews\r\nContent-Length: 2000000\r\n\r\n');
    plain.send('u'.repeat(2_000_000));
    const server = await app.next();
    expect((await server.message()).body).toHaveLength(2_000_000);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n');
    server.send('d'.repeat(3_000_000));
    expect((await plain.message()).body).toHaveLength(3_000_000);
    expect(inbound.dataPlane.stats.ringUsedBytes).toBe(0);
    expect(outbound.dataPlane.stats.ringUsedBytes).toBe(0);
  });

  it('resumes sessions toward an endpoint, and still knows and checks the peer', async () => {
    const { proxy: inbound, app } = await startInbound('STRICT');
    const outbound = await startProxy(outboundConfig(inbound.port(), client));
    const clients = await Promise.all([outbound.client(), outbound.client(), outbound.client()]);
    for (const [index, plain] of clients.entries()) {
      // Each needs a connection of its own, because the others are busy.
      plain.send(GET);
      const served = await app.next();
      expect((await served.message()).head).toMatch(/URI=spiffe:\/\/cluster.local\/ns\/default\/sa\/productpage/);
      expect(app.connections).toHaveLength(index + 1);
    }
    for (const [index, plain] of clients.entries()) {
      app.connections[index]?.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      expect((await plain.message()).body).toBe('ok');
    }
    expect(outbound.dataPlane.stats.upstreamCxConnectFail).toBe(0);
    expect(resumptions(outbound)).toBe(2);
  });

  it('refuses a server with another name, and says in the access log that it was for the name', async () => {
    const { proxy: inbound, app } = await startInbound('STRICT');
    const reasons: (string | undefined)[] = [];
    const outbound = await startProxy(outboundConfig(inbound.port(), client, ['ratings'], {}, ACCESS_LOG), {
      createAccessLogSink: () => (record) => reasons.push(record.upstreamTransportFailureReason),
    });
    const plain = await outbound.client();
    plain.send(GET);
    const answer = await plain.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 503 /);
    // The client is not told what the names are.
    expect(answer.body).toMatch(/remote connection failure$/);
    await eventually(() => reasons.length === 1, 'the request is logged');
    expect(reasons[0]).toMatch(/none of the names spiffe:\/\/cluster.local\/ns\/default\/sa\/reviews\S* is expected/);
    expect(app.connections).toHaveLength(0);
  });

  it('takes the refusal of a server, which TLS 1.3 tells late, for a failed connect and tries again', async () => {
    const { proxy: inbound, app } = await startInbound('STRICT');
    const other = await TestAuthority.create();
    // The client trusts the server, the server does not trust the client.
    const mixed = new Map(await workloadSecrets(other, 'productpage'));
    mixed.set('ROOTCA', client.get('ROOTCA')!);
    const route = { retry_policy: { retry_on: 'connect-failure', num_retries: 2 } };
    const outbound = await startProxy(outboundConfig(inbound.port(), mixed, ['reviews'], route));
    const plain = await outbound.client();
    plain.send(GET);
    const answer = await plain.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 503 /);
    expect(answer.body).toMatch(/retried and the latest reset reason: remote connection failure/);
    expect(outbound.dataPlane.stats.upstreamRqRetry).toBe(2);
    expect(app.connections).toHaveLength(0);
  });
});

function resumptions({ dataPlane }: ProxyFixture): number {
  return dataPlane.stats.upstreamCxTlsResumed;
}

/** Passes bytes on in pieces of `size`, each on its own, so that a ClientHello spans many segments. */
async function splitRelay(target: number, size: number): Promise<{ port: number; stop: () => Promise<void> }> {
  const sockets: Socket[] = [];
  const relay = createServer((from) => {
    const to = connect({ port: target, host: '127.0.0.1', noDelay: true });
    sockets.push(from, to);
    let queue = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += size) {
        const piece = chunk.subarray(at, at + size);
        queue = queue.then(async () => {
          to.write(piece);
          await new Promise((resolve) => setImmediate(resolve));
        });
      }
    });
    to.pipe(from);
    for (const socket of [from, to]) socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  return {
    port: (relay.address() as { port: number }).port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}
