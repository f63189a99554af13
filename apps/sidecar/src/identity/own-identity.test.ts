// The own identity as a process has it: a certificate from the authority, renewals that peers see, a restart without it.

import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import type { WorkloadIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { startTestCitadel } from '@lateen/identity/testing/citadel';
import { afterEach, expect, it, vi } from 'vitest';
import {
  Cleanups,
  fetchText,
  HCM_TYPE,
  ROUTER,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
} from '../testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 20_000, interval: 50 };

/** A listener with mutual TLS in front of an upstream. */
function bootstrap(upstreamPort: number): object {
  const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const own = {
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
    resource_api_version: 'V3',
  };
  const hcm = {
    '@type': HCM_TYPE,
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
    },
    http_filters: [ROUTER],
  };
  const tls = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: own }],
      combined_validation_context: {
        default_validation_context: {
          match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }],
        },
        validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: own },
      },
    },
  };
  return {
    admin: { address: socket(0) },
    static_resources: {
      listeners: [
        {
          name: 'mtls',
          address: socket(0),
          filter_chains: [
            {
              transport_socket: { name: 'tls', typed_config: tls },
              filters: [{ name: 'hcm', typed_config: hcm }],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'app',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'app',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(upstreamPort) } }] }],
          },
        },
      ],
    },
  };
}

/** One request on a new handshake; resolves to the answer and the serial number that the server showed. */
function callMtls(port: number, client: WorkloadIdentity): Promise<{ text: string; serial: string; names: string }> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port,
      key: client.keyPem,
      cert: client.certChainPem,
      ca: client.rootsPem,
      checkServerIdentity: () => undefined,
    });
    let text = '';
    socket.on('secureConnect', () => socket.write('GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'));
    const shown = { serial: '', names: '' };
    socket.on('data', (chunk) => {
      const certificate = socket.getPeerX509Certificate();
      shown.serial = certificate?.serialNumber ?? shown.serial;
      shown.names = certificate?.subjectAltName ?? shown.names;
      text += chunk;
    });
    socket.on('end', () => resolve({ text, ...shown }));
    socket.on('error', reject);
  });
}

it('serves with a certificate from the authority, renews it, and serves from the stored one after a restart', async () => {
  const directory = temporaryDirectory(cleanups);
  const stateDir = join(directory, 'state');
  mkdirSync(stateDir, { mode: 0o700 });
  const authority = await TestAuthority.create();
  const account = { namespace: 'default', serviceAccount: 'web' };
  const certificates = await startTestCitadel(authority, { ...account, ttlSeconds: 10 });
  cleanups.add(() => certificates.stop());
  const client = await authority.issue({ namespace: 'default', serviceAccount: 'client' });
  writeFileSync(join(directory, 'token'), 'token');
  writeFileSync(join(directory, 'root-cert.pem'), authority.rootsPem);
  const file = join(directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap(await startUpstream(cleanups, 'app'))));
  const args = [
    ...['--config-path', file, '--state-dir', stateDir, '--citadel-address', `127.0.0.1:${certificates.port}`],
    ...['--token-file', join(directory, 'token'), '--root-cert', join(directory, 'root-cert.pem')],
  ];
  const first = await startSidecarProcess(cleanups, args);
  const port = await first.port('mtls');
  const answer = await vi.waitFor(async () => {
    const result = await callMtls(port, client);
    expect(result.text).toContain('app /x');
    return result;
  }, patience);
  expect(answer.names).toBe('URI:spiffe://cluster.local/ns/default/sa/web');
  expect(statSync(join(stateDir, 'key.pem')).mode & 0o777).toBe(0o600);

  await vi.waitFor(async () => expect((await callMtls(port, client)).serial).not.toBe(answer.serial), patience);
  const shown = JSON.stringify(await first.adminJson('/certs'));
  expect(shown).toContain('spiffe://cluster.local/ns/default/sa/web');
  // It is in use before it is stored, and counted after.
  const renewals = async () => (await fetchText(`http://${first.admin}/stats?filter=renewals_total`)).body;
  await vi.waitFor(async () => expect(await renewals()).not.toBe('lateen_certificate_renewals_total: 1\n'), patience);

  certificates.stop();
  first.child.kill('SIGKILL');
  await first.exit();
  const second = await startSidecarProcess(cleanups, args);
  expect((await callMtls(await second.port('mtls'), client)).text).toContain('app /x');

  const stranger = await (await TestAuthority.create()).issue({ namespace: 'default', serviceAccount: 'client' });
  const refused = callMtls(await second.port('mtls'), { ...stranger, rootsPem: authority.rootsPem });
  await expect(
    refused.then(({ text }) => (text === '' ? Promise.reject(new Error('closed')) : text)),
  ).rejects.toThrow();
});
