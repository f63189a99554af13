// Identity, end to end: Citadel and two sidecars that call each other over mutual TLS, whose certificates live for seconds.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { CertificateClient, type WorkloadIdentity } from '@lateen/identity';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import { stringify } from 'yaml';
import { type AppProcess, startApp } from '../../harness/app-process.js';
import { freePort } from '../../harness/free-port.js';
import { waitUntil } from '../../harness/wait-until.js';

const TYPE = 'type.googleapis.com/envoy';
// Renewed every 2 s, with 18 s left: a machine too busy to renew in time is no reason to fail.
const LIFE_SECONDS = 20;
const GRACE_PERIOD_RATIO = 0.9;
export const TRUST_DOMAIN = 'cluster.local';

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const ownIdentity = (name: string) => ({
  name,
  sds_config: {
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
  },
});
const commonTls = (peer: string) => ({
  tls_certificate_sds_secret_configs: [ownIdentity('default')],
  combined_validation_context: {
    default_validation_context: {
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: peer } }],
    },
    validation_context_sds_secret_config: ownIdentity('ROOTCA'),
  },
});

/** A way through a sidecar: what is taken at a listener goes to a cluster of its own. */
interface Way {
  readonly name: string;
  readonly listener: object;
  /** Of its one filter chain. */
  readonly chain?: object;
  readonly cluster: object;
}

function bootstrap(name: string, ways: readonly Way[], adminPort: number): object {
  return {
    node: { id: `sidecar~127.0.0.1~${name}.renewal~renewal.svc.cluster.local`, cluster: `${name}.renewal` },
    admin: { address: address(adminPort) },
    static_resources: {
      listeners: ways.map((way) => ({
        name: way.name,
        ...way.listener,
        filter_chains: [
          {
            ...way.chain,
            filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: managerTo(way) }],
          },
        ],
      })),
      clusters: ways.map((way) => ({ name: way.name, type: 'STATIC', connect_timeout: '5s', ...way.cluster })),
    },
  };
}

const managerTo = ({ name }: Way) => ({
  '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
  stat_prefix: name,
  route_config: {
    name,
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [{ match: { prefix: '/' }, route: { cluster: name, timeout: '0s' } }],
      },
    ],
  },
  http_filters: [
    {
      name: 'envoy.filters.http.router',
      typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` },
    },
  ],
});

/** Each request on a connection of its own. */
const ONE_REQUEST_EACH = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`,
      common_http_protocol_options: { max_requests_per_connection: 1 },
      explicit_http_config: { http_protocol_options: {} },
    },
  },
};

const assignment = (port: number) => ({
  load_assignment: {
    cluster_name: 'renewal',
    endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
  },
});

/** Reading keys and certificates for each handshake takes this process longer than the handshake. */
const secureContexts = new WeakMap<WorkloadIdentity, SecureContext>();

function secureContextOf(identity: WorkloadIdentity): SecureContext {
  const { rootsPem: ca, certChainPem: cert, keyPem: key } = identity;
  const context = secureContexts.get(identity) ?? createSecureContext({ ca, cert, key });
  secureContexts.set(identity, context);
  return context;
}

/** What one handshake came to. */
export interface Handshake {
  readonly status: string;
  readonly serial: string;
  readonly resumed: boolean;
  readonly session: Buffer | undefined;
}

export class RenewingPair {
  readonly #directory = mkdtempSync(join(tmpdir(), 'lateen-renewal-'));
  readonly #sidecars: AppProcess[] = [];
  readonly #clients: CertificateClient[] = [];
  readonly #backend = http.createServer((_request, response) => response.end('hello'));
  #signer!: TokenSigner;
  #citadel: AppProcess | undefined;
  #earlierOutput = '';
  citadelPort = 0;
  citadelAdminPort = 0;
  inboundPort = 0;
  outboundPort = 0;
  /** As `outboundPort`; each request goes on by a handshake of its own. */
  freshPort = 0;
  #serverAdminPort = 0;

  private constructor(private readonly citadelFlags: readonly string[]) {}

  /** Resolves when the first request has gone through both sidecars. */
  static async start(citadelFlags: readonly string[] = []): Promise<RenewingPair> {
    const pair = new RenewingPair(citadelFlags);
    await pair.#start();
    return pair;
  }

  get rootFile(): string {
    return join(this.#directory, 'citadel', 'root-cert.pem');
  }

  /** What all processes wrote. */
  output(): string {
    return [this.#earlierOutput, ...[...this.#sidecars, this.#citadel].map((app) => app?.output() ?? '')].join('');
  }

  startCitadel(): void {
    this.#citadel = startApp('citadel', [
      ...['--state-dir', join(this.#directory, 'citadel'), '--token-key', join(this.#directory, 'jwks.json')],
      ...['--grpc-port', String(this.citadelPort), '--admin-port', String(this.citadelAdminPort)],
      ...['--monitoring-port', '0', '--workload-ttl', `${LIFE_SECONDS}s`, '--log-level', 'warn', ...this.citadelFlags],
    ]);
  }

  /** `kill -9`, and another in its place. */
  async killCitadel(): Promise<void> {
    this.#earlierOutput += this.#citadel?.output() ?? '';
    await this.#citadel?.stop('SIGKILL');
    this.startCitadel();
  }

  async token(serviceAccount: string, namespace = 'renewal'): Promise<string> {
    return signServiceAccountToken(this.#signer, { namespace, serviceAccount });
  }

  /** An identity of this process that renews itself as the sidecars' do. */
  async client(serviceAccount: string, namespace = 'renewal'): Promise<CertificateClient> {
    const tokenFile = join(this.#directory, `${serviceAccount}.token`);
    writeFileSync(tokenFile, await this.token(serviceAccount, namespace));
    const client = new CertificateClient({
      citadelAddress: `127.0.0.1:${this.citadelPort}`,
      tokenFile,
      rootCertFile: this.rootFile,
      directory: join(this.#directory, `${serviceAccount}.identity`),
      trustDomain: TRUST_DOMAIN,
      gracePeriodRatio: GRACE_PERIOD_RATIO,
    });
    this.#clients.push(client);
    await client.start();
    await waitUntil(`a certificate for ${serviceAccount}`, () => {
      if (client.current === undefined && client.status.lastError !== undefined)
        throw new Error(client.status.lastError);
      return client.current;
    });
    return client;
  }

  /** Handshakes that the server's sidecar has completed. */
  async handshakes(): Promise<number> {
    const page = await fetch(`http://127.0.0.1:${this.#serverAdminPort}/stats/prometheus?filter=ssl_handshake`);
    return Number(/^envoy_listener_ssl_handshake(?:\{.*\})? (\d+)$/m.exec(await page.text())?.[1]);
  }

  /** A request to the client's sidecar, which calls the server's. */
  viaSidecar(
    agent: http.Agent | undefined,
    port: number = this.outboundPort,
  ): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const request = http.get(
        { host: '127.0.0.1', port, path: '/', agent: agent ?? false, headers: { host: 'server' } },
        (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => {
            body += chunk.toString();
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
          response.on('error', reject);
        },
      );
      request.on('error', reject);
    });
  }

  /** One request to the server's sidecar on a handshake of its own, offering `session` where given. */
  onNewHandshake(identity: WorkloadIdentity, session: Buffer | undefined): Promise<Handshake> {
    return new Promise((resolve, reject) => {
      let ticket: Buffer | undefined;
      let text = '';
      const socket: TLSSocket = connectTls({
        host: '127.0.0.1',
        port: this.inboundPort,
        secureContext: secureContextOf(identity),
        ALPNProtocols: ['istio'],
        checkServerIdentity: () => undefined, // a SPIFFE id stands in the certificate, no host name
        ...(session === undefined ? {} : { session }),
      });
      socket.on('session', (next: Buffer) => {
        ticket = next;
      });
      let serial = '';
      let resumed = false;
      socket.on('secureConnect', () => {
        serial = socket.getPeerX509Certificate()?.serialNumber ?? '';
        resumed = socket.isSessionReused();
        socket.write('GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n');
      });
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      socket.on('error', reject);
      socket.on('close', () => resolve({ status: text.slice(0, 15), serial, resumed, session: ticket }));
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.stop()));
    await Promise.all([...this.#sidecars, this.#citadel].map((app) => app?.stop()));
    await new Promise((resolve) => this.#backend.close(resolve));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    this.#signer = await createTokenSigner();
    writeFileSync(join(this.#directory, 'jwks.json'), JSON.stringify(this.#signer.jwks));
    [this.citadelPort, this.citadelAdminPort] = [await freePort(), await freePort()];
    this.startCitadel();
    await waitUntil('the root certificate', () => readFileSync(this.rootFile));
    // That an application closes idle connections is not what is looked at here.
    this.#backend.keepAliveTimeout = 0;
    await new Promise<void>((resolve) => this.#backend.listen(0, '127.0.0.1', resolve));
    for (const name of ['inboundPort', 'outboundPort', 'freshPort'] as const) this[name] = await freePort();
    this.#serverAdminPort = await freePort();
    const inbound: Way = {
      name: 'inbound',
      listener: { traffic_direction: 'INBOUND', address: address(this.inboundPort) },
      chain: {
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': `${TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
            require_client_certificate: true,
            common_tls_context: commonTls('spiffe://cluster.local/'),
          },
        },
      },
      cluster: assignment((this.#backend.address() as AddressInfo).port),
    };
    await this.#startSidecar('server', bootstrap('server', [inbound], this.#serverAdminPort));
    const outbound = (name: string, port: number, connections: object): Way => ({
      name,
      listener: { traffic_direction: 'OUTBOUND', address: address(port) },
      cluster: {
        ...assignment(this.inboundPort),
        ...connections,
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': `${TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
            sni: 'server.renewal',
            common_tls_context: commonTls('spiffe://cluster.local/ns/renewal/sa/server'),
          },
        },
      },
    });
    const ways = [outbound('kept', this.outboundPort, {}), outbound('fresh', this.freshPort, ONE_REQUEST_EACH)];
    await this.#startSidecar('client', bootstrap('client', ways, await freePort()));
    await waitUntil('the client sidecar to answer', async () => (await this.viaSidecar(undefined)).status === 200);
  }

  async #startSidecar(name: string, config: object): Promise<void> {
    const podDirectory = join(this.#directory, name);
    writeFileSync(`${podDirectory}.token`, await this.token(name), { mode: 0o600 });
    writeFileSync(`${podDirectory}.yaml`, stringify(config));
    const app = startApp('sidecar', [
      ...['--config-path', `${podDirectory}.yaml`, '--state-dir', podDirectory, '--log-level', 'warn'],
      ...['--citadel-address', `127.0.0.1:${this.citadelPort}`, '--token-file', `${podDirectory}.token`],
      ...['--root-cert', this.rootFile, '--secret-grace-period-ratio', String(GRACE_PERIOD_RATIO)],
    ]);
    this.#sidecars.push(app);
  }
}
