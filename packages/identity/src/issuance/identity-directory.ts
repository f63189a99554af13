// Storage of an identity on the host that made the key: key.pem (0600), cert-chain.pem, root-cert.pem.

import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { identityFromPem, type WorkloadIdentity } from '../workload-identity.js';
import { syncDirectory, writeFileAtomic } from '../write-file-atomic.js';

/** File names in the directory of whoever made the key. */
export const IDENTITY_FILE = { key: 'key.pem', certChain: 'cert-chain.pem', roots: 'root-cert.pem' } as const;

// The chain is written here before its key takes the old key's place, so that a crash between the two leaves a pair.
const NEXT_CERT_CHAIN = 'cert-chain.pem.next';

/**
 * Stores an identity durably. A crash at any moment leaves either the old identity or the new one readable.
 * The directory is made (0700) where it does not exist.
 */
export async function storeIdentity(directory: string, identity: WorkloadIdentity): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(directory, IDENTITY_FILE.roots), identity.rootsPem, { mode: 0o644 });
  await writeFileAtomic(join(directory, NEXT_CERT_CHAIN), identity.certChainPem, { mode: 0o644 });
  await writeFileAtomic(join(directory, IDENTITY_FILE.key), identity.keyPem, { mode: 0o600 });
  await rename(join(directory, NEXT_CERT_CHAIN), join(directory, IDENTITY_FILE.certChain));
  await syncDirectory(directory);
}

/**
 * Reads a stored identity; undefined where none was stored. Says nothing about its dates.
 * @throws Error naming the directory and what is wrong: a damaged file, parts that do not belong together, a key that
 *   others may read
 */
export async function readStoredIdentity(directory: string): Promise<WorkloadIdentity | undefined> {
  const keyFile = join(directory, IDENTITY_FILE.key);
  const [keyPem, rootsPem] = await Promise.all([
    readIfThere(keyFile),
    readIfThere(join(directory, IDENTITY_FILE.roots)),
  ]);
  if (keyPem === undefined || rootsPem === undefined) return undefined;
  const { mode } = await stat(keyFile);
  if ((mode & 0o077) !== 0) throw new Error(`${keyFile} may be read by others (mode ${(mode & 0o777).toString(8)})`);
  let problem: Error | undefined;
  for (const name of [IDENTITY_FILE.certChain, NEXT_CERT_CHAIN]) {
    const certChainPem = await readIfThere(join(directory, name));
    if (certChainPem === undefined) continue;
    try {
      return identityFromPem({ keyPem, certChainPem, rootsPem });
    } catch (error) {
      problem ??= error as Error;
    }
  }
  if (problem === undefined) return undefined;
  throw new Error(`the identity stored in ${directory} cannot be used: ${problem.message}`, { cause: problem });
}

/** Removes a stored identity, for a fresh start. */
export async function removeStoredIdentity(directory: string): Promise<void> {
  for (const name of [...Object.values(IDENTITY_FILE), NEXT_CERT_CHAIN])
    await rm(join(directory, name), { force: true });
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
