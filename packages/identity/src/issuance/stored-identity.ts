// Issuance, client side: whether the identity of an earlier run can serve this one, and with which roots.

import { readFile } from 'node:fs/promises';
import { readSubjectAltNames } from '../subject-alt-names.js';
import { identityFromPem, mergeRoots, readCertificates, type WorkloadIdentity } from '../workload-identity.js';
import { readStoredIdentity } from './identity-directory.js';

export interface StoredIdentityOptions {
  readonly directory: string;
  readonly trustDomain: string;
  readonly rootCertFile: string;
  /** DNS names that the certificate must have. */
  readonly dnsNames?: readonly string[] | undefined;
}

export interface StoredIdentity {
  /** With the roots of the file. */
  readonly identity: WorkloadIdentity;
  /** The roots that were known when it was issued. */
  readonly issuedWithRootsPem: string;
}

/**
 * The stored identity; undefined where there is none.
 * @throws Error saying why it cannot serve: damaged, of another trust domain, without the DNS names, out of its dates, or of a root that is no
 *   longer trusted
 */
export async function loadUsableIdentity(options: StoredIdentityOptions): Promise<StoredIdentity | undefined> {
  const stored = await readStoredIdentity(options.directory);
  if (stored === undefined) return undefined;
  if (!stored.spiffeId.startsWith(`spiffe://${options.trustDomain}/`)) {
    throw new Error(`it is for ${stored.spiffeId}, which is not in the trust domain ${options.trustDomain}`);
  }
  requireDnsNames(stored.certChainPem, options.dnsNames);
  const now = Date.now();
  if (now < stored.notBefore.getTime() || now >= stored.notAfter.getTime()) {
    throw new Error(`it is valid from ${stored.notBefore.toISOString()} to ${stored.notAfter.toISOString()}`);
  }
  // The file may be away at the moment; the roots that were stored with the certificate serve then.
  const rootsPem = await readFile(options.rootCertFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  const identity = rootsPem === undefined ? stored : withRoots(stored, rootsPem);
  return { identity, issuedWithRootsPem: stored.rootsPem };
}

/**
 * The identity with other trust roots, beside the root that its own chain carries.
 * @throws Error when the chain does not lead to any of the given roots
 */
export function withRoots(identity: WorkloadIdentity, rootsPem: string): WorkloadIdentity {
  identityFromPem({ ...identity, rootsPem });
  return { ...identity, rootsPem: rootsWith(rootsPem, identity.certChainPem) };
}

/** Roots of a file, and the root at the end of a chain from a verified authority where it has one. */
export function rootsWith(rootsPem: string, certChainPem: string): string {
  const last = readCertificates(certChainPem).at(-1);
  return last?.ca && last.checkIssued(last) ? mergeRoots(rootsPem, last.toString()) : mergeRoots(rootsPem);
}

/** @throws Error naming the DNS names that the leaf does not have */
export function requireDnsNames(certChainPem: string, dnsNames: readonly string[] = []): void {
  const leaf = readCertificates(certChainPem)[0];
  const present = leaf === undefined ? [] : readSubjectAltNames(leaf.raw).dnsNames;
  const missing = dnsNames.filter((name) => !present.includes(name));
  if (missing.length > 0) throw new Error(`the certificate is not for the DNS name ${missing.join(', ')}`);
}
