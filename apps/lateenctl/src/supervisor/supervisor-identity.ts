// Supervisor: the certificates that it needs itself: for the workload registry, and the one that the command line uses.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CertificateClient } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { StateLayout } from '../state/state-layout.js';
import { SYSTEM_NAMESPACE } from './pods/gateway-pod.js';
import type { TokenFiles } from './token-files.js';
import { ROOT_CERT_FILE, type TrustRoots } from './trust-roots.js';

const TOKEN_FILE = 'token';
/** Citadel's root as it was handed out; `root-cert.pem` in an identity's directory is the certificate client's. */
const TRUST_DIRECTORY = 'trust';

export interface IdentityOptions {
  readonly layout: StateLayout;
  readonly citadelAddress: string;
  readonly trustDomain: string;
  readonly tokens: TokenFiles;
  readonly roots: TrustRoots;
  readonly logger: Logger;
}

export interface SupervisorIdentities {
  /** `lateen-supervisor`. */
  readonly registry: CertificateClient;
  /** Begins to ask Citadel, as soon as there is a root; tries again until it answers. */
  start(): void;
  close(): Promise<void>;
}

/** Prepares both identities. */
export function issueIdentity(options: IdentityOptions): SupervisorIdentities {
  const { layout, tokens, roots, logger } = options;
  const trustDirectory = join(layout.supervisor, TRUST_DIRECTORY);
  const client = (directory: string) =>
    new CertificateClient({
      citadelAddress: options.citadelAddress,
      tokenFile: join(directory, TOKEN_FILE),
      rootCertFile: join(trustDirectory, ROOT_CERT_FILE),
      directory,
      trustDomain: options.trustDomain,
      logger,
    });
  const registry = client(layout.registryIdentity);
  const admin = client(layout.adminIdentity);

  const start = async () => {
    for (const directory of [layout.registryIdentity, layout.adminIdentity, trustDirectory]) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    }
    const account = (serviceAccount: string) => ({ namespace: SYSTEM_NAMESPACE, serviceAccount });
    await tokens.add(join(layout.registryIdentity, TOKEN_FILE), account('lateen-supervisor'));
    await tokens.add(join(layout.adminIdentity, TOKEN_FILE), account('lateen-admin'));
    await roots.ready();
    await roots.copyTo(trustDirectory);
    await Promise.all([registry.start(), admin.start()]);
  };
  return {
    registry,
    start: () => {
      start().catch((error: Error) => logger.error({ error }, 'the supervisor cannot prepare its certificates'));
    },
    close: async () => {
      await Promise.all([registry.stop(), admin.stop()]);
    },
  };
}
