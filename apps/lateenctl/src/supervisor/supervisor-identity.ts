// Supervisor: the certificates that it needs itself: for the workload registry, and those of the roles that the command line has.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ADMIN_ROLES, CertificateClient } from '@lateen/identity';
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

/** Prepares the identities. */
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
  const all = [registry, ...ADMIN_ROLES.map((role) => client(layout.roleIdentity(role)))];

  const start = async () => {
    const roleDirectories = ADMIN_ROLES.map((role) => layout.roleIdentity(role));
    for (const directory of [layout.registryIdentity, ...roleDirectories, trustDirectory]) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    }
    const account = (serviceAccount: string) => ({ namespace: SYSTEM_NAMESPACE, serviceAccount });
    await tokens.add(join(layout.registryIdentity, TOKEN_FILE), account('lateen-supervisor'));
    for (const role of ADMIN_ROLES)
      await tokens.add(join(layout.roleIdentity(role), TOKEN_FILE), account(`lateen-${role}`));
    await roots.ready();
    await roots.copyTo(trustDirectory);
    await Promise.all(all.map((each) => each.start()));
  };
  return {
    registry,
    start: () => {
      start().catch((error: Error) => logger.error({ error }, 'the supervisor cannot prepare its certificates'));
    },
    close: async () => {
      await Promise.all(all.map((each) => each.stop()));
    },
  };
}
