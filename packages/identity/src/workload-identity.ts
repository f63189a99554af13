// The identity of one process: key, certificate chain and trust roots, and where its users hear of a new one.

import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { decodePemBlocks, encodePem } from './der.js';
import type { SpiffeId } from './spiffe-id.js';
import { parsePeerSpiffeId } from './subject-alt-names.js';

export interface WorkloadIdentity {
  readonly spiffeId: SpiffeId;
  /** PKCS#8 PEM. */
  readonly keyPem: string;
  /** The leaf first; the root is not in it unless the authority put it there. */
  readonly certChainPem: string;
  /** All trust roots, one PEM block each. */
  readonly rootsPem: string;
  /** Hexadecimal, upper case, as Node and OpenSSL print it. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Something that has an identity now and may have another later. Implemented by CertificateClient and StaticIdentity. */
export interface IdentitySource {
  /** Undefined until the first certificate is there. */
  readonly current: WorkloadIdentity | undefined;
  /** Calls `listener` at each change (not for the present value). Returns the function that ends it. */
  subscribe(listener: (identity: WorkloadIdentity) => void): () => void;
}

/** An identity that changes only by `replace`: for tests, and for certificates read from files once. */
export class StaticIdentity implements IdentitySource {
  #current: WorkloadIdentity;
  readonly #listeners = new Set<(identity: WorkloadIdentity) => void>();

  constructor(identity: WorkloadIdentity) {
    this.#current = identity;
  }

  get current(): WorkloadIdentity {
    return this.#current;
  }

  subscribe(listener: (identity: WorkloadIdentity) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Puts another identity in place and tells the subscribers. */
  replace(identity: WorkloadIdentity): void {
    this.#current = identity;
    for (const listener of [...this.#listeners]) listener(identity);
  }
}

/** The certificate is of other roots. */
export class UntrustedChainError extends Error {}

/**
 * Builds an identity from PEM texts and checks that they belong together: the key is the leaf's, and the chain leads to
 * one of the roots.
 * @throws Error saying which part does not fit
 */
export function identityFromPem(pem: { keyPem: string; certChainPem: string; rootsPem: string }): WorkloadIdentity {
  const chain = readCertificates(pem.certChainPem);
  const leaf = chain[0];
  if (leaf === undefined) throw new Error('the certificate chain has no PEM block "CERTIFICATE"');
  if (!leaf.checkPrivateKey(createPrivateKey(pem.keyPem))) throw new Error("the key is not the certificate's");
  const roots = readCertificates(pem.rootsPem);
  if (roots.length === 0) throw new Error('the trust roots have no PEM block "CERTIFICATE"');
  verifyChain(chain, roots);
  return {
    spiffeId: parsePeerSpiffeId(leaf.raw),
    keyPem: pem.keyPem,
    certChainPem: pem.certChainPem,
    rootsPem: pem.rootsPem,
    serial: leaf.serialNumber,
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
  };
}

/** Every certificate of a PEM text, in order. @throws Error for a block that is not a certificate */
export function readCertificates(pem: string): X509Certificate[] {
  return decodePemBlocks('CERTIFICATE', pem).map((der) => new X509Certificate(der));
}

/** Joins trust bundles: one PEM block for each distinct certificate, in the order of first appearance. */
export function mergeRoots(...bundles: readonly string[]): string {
  const distinct = new Map<string, Uint8Array>();
  for (const certificate of bundles.flatMap(readCertificates))
    distinct.set(certificate.fingerprint256, certificate.raw);
  return [...distinct.values()].map((der) => encodePem('CERTIFICATE', der)).join('');
}

/** The name of a root in journals, requests and on the command line: 16 hexadecimal digits of its SHA-256. */
export function rootId(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex').slice(0, 16);
}

/** Ids of the roots of a bundle, in its order. */
export function rootIdsOf(bundlePem: string): string[] {
  return readCertificates(bundlePem).map(rootId);
}

const MAX_CHAIN_LENGTH = 8;

/** Checks signatures from the leaf up to one of the roots. Dates and usages are TLS's to check. */
function verifyChain(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): void {
  if (chain.length > MAX_CHAIN_LENGTH) throw new Error(`the chain has more than ${MAX_CHAIN_LENGTH} certificates`);
  for (const [index, certificate] of chain.entries()) {
    if (roots.some((root) => signedBy(certificate, root))) return;
    const issuer = chain[index + 1];
    if (issuer === undefined || !signedBy(certificate, issuer)) break;
  }
  throw new UntrustedChainError('the certificate chain does not lead to any of the trust roots');
}

function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
