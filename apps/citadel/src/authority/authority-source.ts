// Authority: where it comes from: a root of our own, which can be rotated, or the files of somebody else's intermediate.

import { X509Certificate } from 'node:crypto';
import { readCertificates } from '@lateen/identity';
import type { SigningKeyType } from '@lateen/identity/authority';
import type { AuthorityStatus, Logger, Rotation } from '@lateen/telemetry';
import { type AuditLog, type IssuedEntry, issuedCertificates } from '../audit-log.js';
import { type Authority, describeCertificate } from './authority.js';
import { CaDirectory } from './ca-directory.js';
import { DirectoryRootStore } from './directory-root-store.js';
import { Holders } from './holders.js';
import { OwnRoots } from './own-roots.js';
import { PluggedInAuthority } from './plugged-in-authority.js';
import { RootRotation, RotationRefused, type RotationStatus } from './root-rotation.js';
import type { StateLease } from './state-lease.js';

export { RotationRefused } from './root-rotation.js';

export interface AuthoritySourceOptions {
  readonly stateDir: string;
  readonly trustDomain: string;
  /** Directory of an intermediate's files; undefined for a root of our own. */
  readonly caDir: string | undefined;
  readonly passphrase: string | undefined;
  readonly rootTtlSeconds: number;
  readonly rootKeyType: SigningKeyType;
  readonly rotationSettleMs?: number | undefined;
  readonly audit: AuditLog;
  readonly auditFile: string;
  readonly lease: StateLease;
  readonly logger: Logger;
  /** The state cannot be written any more. */
  readonly onFailure: (error: Error) => void;
}

export interface AuthoritySource {
  readonly authority: Authority;
  status(): AuthorityStatus;
  /** @throws RotationRefused */
  rotateRoot(graceSeconds: number, requestedBy: string): Promise<void>;
  /** Told of each certificate, so that a rotation knows who has followed. */
  issued(entry: IssuedEntry): void;
  close(): Promise<void>;
}

const MAX_NAMES = 20;

/** @throws Error naming the file that cannot be used */
export function openAuthority(options: AuthoritySourceOptions): Promise<AuthoritySource> {
  return options.caDir === undefined ? openOwnRoots(options) : openPluggedIn(options, options.caDir);
}

async function openPluggedIn(options: AuthoritySourceOptions, directory: string): Promise<AuthoritySource> {
  const source = new CaDirectory(directory, options.stateDir);
  const authority = await PluggedInAuthority.open({ ...options, source });
  return {
    authority,
    status: () => ({ ...standing(authority, options), source: 'plugged-in CA', problem: authority.problem }),
    rotateRoot: async () => {
      throw new RotationRefused(
        `the CA comes from the files in ${directory}, and its root is not Citadel's to replace: add the new root to ` +
          'root-cert.pem there, then change the other files',
      );
    },
    issued: () => undefined,
    close: () => authority.close(),
  };
}

async function openOwnRoots(options: AuthoritySourceOptions): Promise<AuthoritySource> {
  const { audit, auditFile, logger, onFailure } = options;
  const roots = await OwnRoots.open({
    ...options,
    store: new DirectoryRootStore(options),
    ttlSeconds: options.rootTtlSeconds,
    keyType: options.rootKeyType,
  });
  const holders = new Holders();
  const record = (step: string, { from, to, requestedBy, graceSeconds }: Rotation) =>
    audit.write({ event: 'rotation', step, from, to, requestedBy, graceSeconds });
  if (roots.skipped !== undefined) await record(roots.skipped.step, roots.skipped);
  const rotation = new RootRotation({
    roots,
    holders,
    readHolders: async () => {
      holders.clear();
      for await (const entry of issuedCertificates(auditFile)) holders.add(heldBy(entry));
    },
    record,
    ...(options.rotationSettleMs === undefined ? {} : { settleMs: options.rotationSettleMs }),
    logger,
    onFailure,
  });
  await rotation.resume();
  return {
    authority: roots,
    status: () => ({ ...standing(roots, options), ...rotationStatus(rotation.status), source: 'own root' }),
    rotateRoot: async (graceSeconds, requestedBy) => {
      await rotation.start(graceSeconds, requestedBy);
    },
    issued: (entry) => holders.add(heldBy(entry)),
    close: () => rotation.stop(),
  };
}

export function heldBy(entry: IssuedEntry) {
  return { ...entry, notAfterMs: Date.parse(entry.notAfter) };
}

export function rotationStatus({ rotation, last, waitingFor }: RotationStatus) {
  if (rotation === undefined) return { last };
  const names = waitingFor.slice(0, MAX_NAMES).map(({ name }) => name);
  return { rotation, last, waitingFor: { count: waitingFor.length, names } };
}

export function standing(authority: Authority, { passphrase }: Pick<AuthoritySourceOptions, 'passphrase'>) {
  const { chainPem, bundlePem } = authority.current;
  return {
    encrypted: passphrase !== undefined,
    signing: describeCertificate(new X509Certificate(chainPem[0] as string)),
    roots: readCertificates(bundlePem).map(describeCertificate),
  };
}
