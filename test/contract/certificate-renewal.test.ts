// Identity, end to end: certificates renewed every two seconds under load, most requests on new handshakes, some resumed.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { CertificateClient } from '@lateen/identity';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type AppProcess, startApp } from '../harness/app-process.js';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';

const TYPE = 'type.googleapis.com/envoy';
const LOAD_MS = 30_000;
// Renewed every 2 s, with 18 s left: a machine too busy to renew in time is no reason to fail.
const LIFE_SECONDS = 20;
const GRACE_PERIOD_RATIO = 0.9;
const directory = mkdtempSync(join(tmpdir(), 'lateen-renewal-'));
const processes: AppProcess[] = [];
let signer: TokenSigner;
let citadelPort = 0;
let inboundPort = 0;
let outboundPort = 0;
let backend: http.Server;
let testClient: CertificateClient;

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

function bootstrap(name: string, listener: object, cluster: object, adminPort: number): object {
  const manager = {
    '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    route_config: {
      name: 'local',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'next', timeout: '0s' } }],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` },
      },
    ],
  };
  return {
    node: { id: `sidecar~127.0.0.1~${name}.renewal~renewal.svc.cluster.local`, cluster: `${name}.renewal` },
    admin: { address: address(adminPort) },
    static_resources: {
      listeners: [
        {
          ...listener,
          filter_chains: [
            {
              ...(listener as { chain?: object }).chain,
              filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
            },
          ],
          chain: undefined,
        },
      ],
      clusters: [{ name: 'next', type: 'STATIC', connect_timeout: '5s', ...cluster }],
    },
  };
}

const assignment = (port: number) => ({
  load_assignment: { cluster_name: 'next', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
});

async function startSidecar(name: string, config: object): Promise<void> {
  const podDirectory = join(directory, name);
  const tokenFile = `${podDirectory}.token`;
  writeFileSync(tokenFile, await signServiceAccountToken(signer, { namespace: 'renewal', serviceAccount: name }), {
    mode: 0o600,
  });
  writeFileSync(`${podDirectory}.yaml`, stringify(config));
  const app = startApp('sidecar', [
    ...['--config-path', `${podDirectory}.yaml`, '--state-dir', podDirectory, '--log-level', 'warn'],
    ...['--citadel-address', `127.0.0.1:${citadelPort}`, '--token-file', tokenFile],
    ...['--root-cert', join(directory, 'citadel', 'root-cert.pem')],
    ...['--secret-grace-period-ratio', String(GRACE_PERIOD_RATIO)],
  ]);
  processes.push(app);
}

beforeAll(async () => {
  signer = await createTokenSigner();
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify(signer.jwks));
  citadelPort = await freePort();
  processes.push(
    startApp('citadel', [
      ...['--state-dir', join(directory, 'citadel'), '--token-key', join(directory, 'jwks.json')],
      ...['--grpc-port', String(citadelPort), '--admin-port', '0', '--monitoring-port', '0'],
      ...['--workload-ttl', `${LIFE_SECONDS}s`, '--log-level', 'warn'],
    ]),
  );
  await waitUntil('the root certificate', () => readFileSync(join(directory, 'citadel', 'root-cert.pem')));
  backend = http.createServer((_request, response) => response.end('hello'));
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  inboundPort = await freePort();
  outboundPort = await freePort();
  await startSidecar(
    'server',
    bootstrap(
      'server',
      {
        name: 'inbound',
        traffic_direction: 'INBOUND',
        address: address(inboundPort),
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
      },
      assignment((backend.address() as AddressInfo).port),
      await freePort(),
    ),
  );
  await startSidecar(
    'client',
    bootstrap(
      'client',
      { name: 'outbound', traffic_direction: 'OUTBOUND', address: address(outboundPort) },
      {
        ...assignment(inboundPort),
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': `${TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
            sni: 'server.renewal',
            common_tls_context: commonTls('spiffe://cluster.local/ns/renewal/sa/server'),
          },
        },
      },
      await freePort(),
    ),
  );
  const tokenFile = join(directory, 'probe.token');
  writeFileSync(tokenFile, await signServiceAccountToken(signer, { namespace: 'renewal', serviceAccount: 'probe' }));
  testClient = new CertificateClient({
    citadelAddress: `127.0.0.1:${citadelPort}`,
    tokenFile,
    rootCertFile: join(directory, 'citadel', 'root-cert.pem'),
    directory: join(directory, 'probe'),
    trustDomain: 'cluster.local',
    gracePeriodRatio: GRACE_PERIOD_RATIO,
  });
  await testClient.start();
  await waitUntil('a first certificate', () => testClient.current);
  await waitUntil('the client sidecar to answer', async () => (await viaSidecar(undefined)).status === 200);
});

afterAll(async () => {
  await testClient?.stop();
  await Promise.all(processes.map((app) => app.stop()));
  await new Promise((resolve) => backend?.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

function viaSidecar(agent: http.Agent | undefined): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get(
      { host: '127.0.0.1', port: outboundPort, path: '/', agent: agent ?? false, headers: { host: 'server' } },
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

interface Handshake {
  readonly status: string;
  readonly serial: string;
  readonly resumed: boolean;
  readonly session: Buffer | undefined;
}

/** One request to the server's sidecar on a handshake of its own, offering `session` where given. */
function onNewHandshake(session: Buffer | undefined): Promise<Handshake> {
  const identity = testClient.current;
  if (identity === undefined) throw new Error('no certificate');
  return new Promise((resolve, reject) => {
    let ticket: Buffer | undefined;
    let text = '';
    const socket: TLSSocket = connectTls({
      host: '127.0.0.1',
      port: inboundPort,
      ca: identity.rootsPem,
      cert: identity.certChainPem,
      key: identity.keyPem,
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

function describe(result: Handshake): string {
  const identity = testClient.current;
  const leftMs = (identity?.notAfter.getTime() ?? 0) - Date.now();
  return `handshake: "${result.status}", ${result.resumed ? 'resumed' : 'full'}, own certificate has ${leftMs} ms left`;
}

test('no request fails while certificates are renewed every two seconds for thirty seconds', async () => {
  const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const failures: string[] = [];
  const serials = new Set<string>();
  let pooled = 0;
  let handshakes = 0;
  let resumptions = 0;
  const end = Date.now() + LOAD_MS;

  const pooledLoad = async () => {
    while (Date.now() < end) {
      const answer = await viaSidecar(keepAlive).catch((error: Error) => ({ status: 0, body: error.message }));
      if (answer.status !== 200 || answer.body !== 'hello') failures.push(`pooled: ${answer.status} ${answer.body}`);
      pooled++;
      await waitUntil('the handshakes to catch up', () => handshakes >= pooled || Date.now() >= end);
    }
  };
  const handshakeLoad = async () => {
    let session: Buffer | undefined;
    while (Date.now() < end) {
      try {
        const result = await onNewHandshake(session);
        if (!result.status.startsWith('HTTP/1.1 200')) failures.push(describe(result));
        if (result.resumed) resumptions++;
        if (result.serial !== '') serials.add(result.serial);
        // Every other handshake is a full one, so that new certificates are seen too.
        session = session === undefined ? result.session : undefined;
      } catch (error) {
        failures.push(`handshake: ${(error as Error).message}`);
      }
      handshakes++;
    }
  };
  await Promise.all([pooledLoad(), pooledLoad(), handshakeLoad(), handshakeLoad()]);
  keepAlive.destroy();

  const logs = processes.map((app) => app.output()).join('');
  expect(failures.slice(0, 10), logs.slice(-4000)).toEqual([]);
  expect(handshakes).toBeGreaterThanOrEqual(pooled);
  expect(resumptions).toBeGreaterThan(0);
  expect(serials.size).toBeGreaterThanOrEqual(10);
  console.log(
    `${pooled} pooled requests, ${handshakes} handshakes, ${resumptions} resumed, ${serials.size} certificates seen`,
  );
}, 90_000);
