// The root: made once, on first start; afterwards only ever read. What is damaged is an error that names the file.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '@lateen/identity';
import { createRootCertificate, type RootCertificate } from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';

export const ROOT_FILE = {
  key: 'ca-key.pem',
  certificate: 'root-cert.pem',
  /** Exists only while the first start writes the two others: what it finds then was never used and may be replaced. */
  firstStart: 'first-start-in-progress',
} as const;

export interface RootStoreOptions {
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly ttlSeconds: number;
  readonly logger: Logger;
}

export interface StoredRoot extends RootCertificate {
  readonly notAfter: Date;
}

const EXPIRY_WARNING_DAYS = 30;

/** Reads the root, or makes it where neither file exists. @throws Error naming the file and what to do about it */
export async function loadOrCreateRoot(options: RootStoreOptions): Promise<StoredRoot> {
  const { stateDir, logger } = options;
  const keyFile = join(stateDir, ROOT_FILE.key);
  const certFile = join(stateDir, ROOT_FILE.certificate);
  const marker = join(stateDir, ROOT_FILE.firstStart);
  if (await exists(marker)) {
    logger.warn({ stateDir }, 'the first start was interrupted; making the root again');
    await rm(keyFile, { force: true });
    await rm(certFile, { force: true });
    await syncDirectory(stateDir);
  }
  const [hasKey, hasCertificate] = await Promise.all([exists(keyFile), exists(certFile)]);
  if (!hasKey && !hasCertificate) {
    await createRoot(options, { keyFile, certFile, marker });
  } else if (!hasKey || !hasCertificate) {
    const [missing, present] = hasKey ? [certFile, keyFile] : [keyFile, certFile];
    throw new Error(
      `${missing} is missing while ${present} exists; restore it from a backup, or remove ${present} as well to start ` +
        'with a new root (every workload must then get the new root and a new certificate)',
    );
  }
  const root = await readRoot(keyFile, certFile);
  const daysLeft = (root.notAfter.getTime() - Date.now()) / 86_400_000;
  if (daysLeft < EXPIRY_WARNING_DAYS)
    logger.warn({ certFile, notAfter: root.notAfter.toISOString() }, 'root ends soon');
  return root;
}

async function createRoot(
  { stateDir, trustDomain, ttlSeconds, logger }: RootStoreOptions,
  files: { keyFile: string; certFile: string; marker: string },
): Promise<void> {
  const root = await createRootCertificate({ trustDomain, ttlSeconds });
  await writeFileAtomic(files.marker, '', { mode: 0o600 });
  await writeFileAtomic(files.keyFile, root.keyPem, { mode: 0o600 });
  await writeFileAtomic(files.certFile, root.certPem, { mode: 0o644 });
  await rm(files.marker);
  await syncDirectory(stateDir);
  logger.info({ certFile: files.certFile }, 'made a new root');
}

async function readRoot(keyFile: string, certFile: string): Promise<StoredRoot> {
  const { mode } = await stat(keyFile);
  if ((mode & 0o077) !== 0) {
    throw new Error(
      `${keyFile} may be read by others (mode ${(mode & 0o777).toString(8)}); if nobody can have copied it, ` +
        'chmod 600 it, otherwise replace the root',
    );
  }
  const [keyPem, certPem] = await Promise.all([readFile(keyFile, 'utf8'), readFile(certFile, 'utf8')]);
  const advice = 'restore it from a backup';
  const key = attempt(() => createPrivateKey(keyPem), keyFile, `is not a private key; ${advice}`);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new Error(`${keyFile} is not a P-256 key; ${advice}`);
  const certificate = attempt(() => new X509Certificate(certPem), certFile, `is not a certificate; ${advice}`);
  if (!certificate.ca) throw new Error(`${certFile} is not the certificate of an authority; ${advice}`);
  if (!certificate.checkPrivateKey(key)) {
    throw new Error(`${certFile} and ${keyFile} do not belong together; restore the pair from a backup`);
  }
  if (!certificate.verify(certificate.publicKey)) {
    throw new Error(`${certFile} is not signed by its own key, so it is no root; ${advice}`);
  }
  const notAfter = new Date(certificate.validTo);
  if (notAfter.getTime() <= Date.now()) throw new Error(`${certFile} has expired on ${notAfter.toISOString()}`);
  return { keyPem, certPem: certificate.toString(), notAfter };
}

function attempt<T>(action: () => T, file: string, what: string): T {
  try {
    return action();
  } catch (error) {
    throw new Error(`${file} ${what} (${(error as Error).message})`, { cause: error });
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
