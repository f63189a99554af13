// The built program with certificates in files: in the TLS context itself, in static secrets and by SDS from a file.

import { X509Certificate } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { TestAuthority } from '@lateen/identity/testing';
import { afterEach, expect, it, vi } from 'vitest';
import { Cleanups, HCM_TYPE, ROUTER, startSidecarProcess, temporaryDirectory } from './testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 15_000, interval: 50 };
const TYPES = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

/** A directory with a pair of files, replaced as a mounted Secret is. */
class MountedPair {
  #version = 0;
  constructor(
    readonly directory: string,
    private readonly authority: TestAuthority,
  ) {
    for (const name of ['cert.pem', 'key.pem']) symlinkSync(join('..data', name), join(directory, name));
  }

  /** Puts a new pair in place; gives the serial number. */
  async renew(): Promise<string> {
    const { certChainPem, keyPem } = await this.authority.issue({ namespace: 'default', serviceAccount: 'web' });
    this.put(certChainPem, keyPem);
    return new X509Certificate(certChainPem).serialNumber;
  }

  put(certChainPem: string, keyPem: string): void {
    const name = `..v${++this.#version}`;
    mkdirSync(join(this.directory, name));
    writeFileSync(join(this.directory, name, 'cert.pem'), certChainPem);
    writeFileSync(join(this.directory, name, 'key.pem'), keyPem);
    symlinkSync(name, join(this.directory, '..data_tmp'));
    renameSync(join(this.directory, '..data_tmp'), join(this.directory, '..data'));
    if (this.#version > 1) rmSync(join(this.directory, `..v${this.#version - 1}`), { recursive: true });
  }

  certificate(extra: object) {
    const file = (name: string) => ({ filename: join(this.directory, name) });
    return { certificate_chain: file('cert.pem'), private_key: file('key.pem'), ...extra };
  }
}

/** Serial number of the certificate that a port shows. */
function serialAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      resolve(serialNumber);
    });
    socket.on('error', reject);
  });
}

function tlsListener(name: string, common: object) {
  const hcm = {
    '@type': HCM_TYPE,
    stat_prefix: name,
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [] }] },
    http_filters: [ROUTER],
  };
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [
      {
        transport_socket: {
          name: 'tls',
          typed_config: { '@type': `${TYPES}.DownstreamTlsContext`, common_tls_context: common },
        },
        filters: [{ name: 'hcm', typed_config: hcm }],
      },
    ],
  };
}

it('follows certificate files where they are watched, and keeps what it has while they cannot be used', async () => {
  const directory = temporaryDirectory(cleanups);
  const authority = await TestAuthority.create();
  const mount = join(directory, 'mount');
  mkdirSync(mount);
  const pair = new MountedPair(mount, authority);
  const first = await pair.renew();
  const watched = { watched_directory: { path: mount } };
  const sds = join(directory, 'sds.json');
  const secret = { '@type': `${TYPES}.Secret`, name: 'by-sds', tls_certificate: pair.certificate({}) };
  writeFileSync(sds, JSON.stringify({ resources: [secret] }));
  const bootstrap = join(directory, 'bootstrap.json');
  const source = { path_config_source: { path: sds }, resource_api_version: 'V3' };
  writeFileSync(
    bootstrap,
    JSON.stringify({
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: {
        secrets: [{ name: 'static', tls_certificate: pair.certificate(watched) }],
        listeners: [
          tlsListener('inline', { tls_certificates: [pair.certificate(watched)] }),
          tlsListener('once', { tls_certificates: [pair.certificate({})] }),
          tlsListener('static', { tls_certificate_sds_secret_configs: [{ name: 'static' }] }),
          tlsListener('sds', { tls_certificate_sds_secret_configs: [{ name: 'by-sds', sds_config: source }] }),
        ],
      },
    }),
  );
  const sidecar = await startSidecarProcess(cleanups, ['--config-path', bootstrap]);
  const served = async () => {
    const serials: Record<string, string> = {};
    for (const name of ['inline', 'once', 'static', 'sds']) serials[name] = await serialAt(await sidecar.port(name));
    return serials;
  };
  expect(await served()).toEqual({ inline: first, once: first, static: first, sds: first });
  const second = await pair.renew();
  const renewed = { inline: second, once: first, static: second, sds: second };
  await vi.waitFor(async () => expect(await served()).toEqual(renewed), patience);

  const stranger = await authority.issue({ namespace: 'default', serviceAccount: 'other' });
  const { certChainPem } = await authority.issue({ namespace: 'default', serviceAccount: 'web' });
  pair.put(certChainPem, stranger.keyPem);
  const refusals = () => sidecar.log.filter(({ message }) => message.startsWith('changed certificate files'));
  await vi.waitFor(() => expect(refusals()).toHaveLength(3), patience);
  expect(JSON.stringify(refusals()[0])).toContain('private_key: does not belong to the certificate');
  expect(await served()).toEqual(renewed);
  const third = await pair.renew();
  await vi.waitFor(
    async () => expect(await served()).toEqual({ inline: third, once: first, static: third, sds: third }),
    patience,
  );
});
