// Which of HTTP's versions is spoken: by ALPN, by first bytes, by configuration, on both sides.

import { createSecureServer } from 'node:http2';
import { createServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { connect } from 'node:tls';
import { TestAuthority } from '@lateen/identity/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TlsSecret } from '../../data-plane.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  tlsSocket,
  toCluster,
} from '../../testing/envoy-config.js';
import { ask, bodyOf, http2Client, startHttp2Upstream } from '../../testing/http2-peers.js';
import { meshClientSocketOf, meshServerSocket, workloadSecrets } from '../../testing/mesh-identity.js';
import { startOneCluster } from '../../testing/one-cluster.js';
import { type ProxyFixture, startProxy } from '../../testing/proxy-fixture.js';

let secrets: Map<string, TlsSecret>;
let key = '';
let cert = '';

beforeAll(async () => {
  const authority = await TestAuthority.create();
  secrets = await workloadSecrets(authority, 'reviews');
  const own = secrets.get('default');
  if (own?.kind === 'certificate') [key, cert] = [own.privateKeyPem, own.certificateChainPem];
});

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const DIRECT = anyHost({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'direct' } } });

function tlsListener(alpn: readonly string[], hcm: Record<string, unknown> = {}): Promise<ProxyFixture> {
  const socket = tlsSocket('Downstream', {
    tls_certificate_sds_secret_configs: [{ name: 'default' }],
    alpn_protocols: alpn,
  });
  const chain = { filters: [connectionManager(DIRECT, hcm)], transport_socket: socket };
  return startProxy(dataPlaneConfig([listener('l', [chain])], [], secrets));
}

describe('clients', () => {
  it('speak HTTP/2 where TLS has settled on it, and where nothing was settled and they begin with it', async () => {
    const proxy = await tlsListener(['h2', 'http/1.1']);
    const session = http2Client(proxy.port(), { rejectUnauthorized: false }, 'https');
    expect((await ask(session, { ':path': '/' })).body.toString()).toBe('direct');
    const silent = await tlsListener([]);
    const createConnection = () => connect({ port: silent.port(), host: '127.0.0.1', rejectUnauthorized: false });
    const other = http2Client(silent.port(), { createConnection });
    expect((await ask(other, { ':path': '/' })).body.toString()).toBe('direct');
  });

  it('speak what the listener says: HTTP/2 alone, or HTTP/1.1 alone', async () => {
    const { proxy } = await startOneCluster({ hcm: { codec_type: 'HTTP2' } });
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await client.untilEnd();
    expect(client.received).not.toContain('HTTP/1.1');
    const { proxy: old } = await startOneCluster({ hcm: { codec_type: 'HTTP1' } });
    const refused = await old.client();
    refused.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    await refused.untilText('\r\n\r\n');
    expect(refused.received).toMatch(/^HTTP\/1\.1 505 /);
  });

  it('may send the first bytes one at a time', async () => {
    const { proxy } = await startOneCluster({
      routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
    });
    const client = await proxy.client();
    for (const byte of 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n') {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // SETTINGS of nothing: the server's own and its answer come back.
    client.send(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    await client.until(({ received }) => received.endsWith('\0\0\0\x04\x01\0\0\0\0'), 'the answer to SETTINGS');
  });
});

describe('upstreams with auto_config', () => {
  async function through(server: Server): Promise<string[]> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const auto = httpOptions({ auto_config: { http2_protocol_options: {} } });
    const upstream = cluster('c', [endpointOf(port)], { ...auto, transport_socket: tlsSocket('Upstream', {}) });
    const config = dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
      [upstream],
    );
    const proxy = await startProxy(config);
    const session = http2Client(proxy.port());
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask(session, { ':path': '/' })));
    await proxy.dataPlane.close();
    return answers.map(({ body }) => body.toString());
  }

  it('speak HTTP/2 where they take it, and HTTP/1.1 otherwise', async () => {
    const answer = (request: { httpVersion: string }, response: { end(text: string): void }): void => {
      response.end(`HTTP/${request.httpVersion}`);
    };
    const both = createSecureServer({ key, cert, allowHTTP1: true }, answer);
    expect(await through(both)).toEqual(Array(4).fill('HTTP/2.0'));
    const old = createServer({ key, cert, ALPNProtocols: ['http/1.1'] }, answer);
    expect(await through(old)).toEqual(Array(4).fill('HTTP/1.1'));
  });
});

describe('two sidecars', () => {
  it('speak HTTP/2 over mutual TLS, with the client certificate told on', async () => {
    const app = await startHttp2Upstream(async (stream, headers) => {
      const body = await bodyOf(stream);
      stream.respond({ ':status': 200, xfcc: String(headers['x-forwarded-client-cert']) });
      stream.end(body);
    });
    const http2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
    const inbound = await startProxy(
      dataPlaneConfig(
        [
          listener('in', [
            {
              filters: [
                connectionManager(anyHost(toCluster('app')), {
                  forward_client_cert_details: 'APPEND_FORWARD',
                  set_current_client_cert_details: { uri: true },
                }),
              ],
              transport_socket: meshServerSocket(),
            },
          ]),
        ],
        [cluster('app', [endpointOf(app.port)], http2)],
        secrets,
      ),
    );
    const transport = meshClientSocketOf(['reviews'], ['istio-h2', 'istio', 'h2']);
    const outbound = await startProxy(
      dataPlaneConfig(
        [listener('out', [{ filters: [connectionManager(anyHost(toCluster('in')))] }])],
        [cluster('in', [endpointOf(inbound.port())], { ...http2, transport_socket: transport })],
        secrets,
      ),
    );
    const session = http2Client(outbound.port());
    const large = Buffer.alloc(1_500_000, 'mesh');
    const [small, big] = await Promise.all([
      ask(session, { ':path': '/' }),
      ask(session, { ':path': '/', ':method': 'POST' }, large),
    ]);
    expect(small.headers.xfcc).toContain('spiffe://cluster.local/ns/default/sa/reviews');
    expect(big.body.equals(large)).toBe(true);
    expect(app.sessions).toBe(1);
  });
});
