// Authority: what signs now, what follows a leaf, and which roots are trusted; replaced as a whole when one of these changes.

import { X509Certificate } from 'node:crypto';
import { rootId, rootIdsOf } from '@lateen/identity';
import { type CertificateIssuer, createCertificateIssuer, signingAlgorithmOf } from '@lateen/identity/authority';
import type { AuthorityCertificate } from '@lateen/telemetry';

/** One state of the authority. */
export interface IssuingAuthority {
  readonly issuer: CertificateIssuer;
  /** PEM of what follows a leaf: intermediates, then the root. */
  readonly chainPem: readonly string[];
  /** PEM of every trusted root; the one that certificates are issued from is the first. */
  readonly bundlePem: string;
  /** Ids of those roots, in that order. */
  readonly rootIds: readonly string[];
  /** When the root that issues ends. */
  readonly rootNotAfter: Date;
  /** When the first certificate between a leaf and the root ends, the root included. */
  readonly chainNotAfter: Date;
}

/** Something that signs, and may change what it signs with. */
export interface Authority {
  readonly current: IssuingAuthority;
  /** Calls `listener` at each change. Returns the function that ends it. */
  subscribe(listener: (authority: IssuingAuthority) => void): () => void;
}

export interface AuthorityMaterial {
  readonly keyPem: string;
  readonly certPem: string;
  readonly chainPem: readonly string[];
  readonly bundlePem: string;
}

/** Makes a state of what was read or made. */
export async function issuingAuthority(material: AuthorityMaterial): Promise<IssuingAuthority> {
  const { chainPem, bundlePem } = material;
  const ends = chainPem.map((pem) => Date.parse(new X509Certificate(pem).validTo));
  const chainNotAfter = new Date(Math.min(...ends));
  return {
    issuer: await createCertificateIssuer(material, chainNotAfter),
    chainPem,
    bundlePem,
    rootIds: rootIdsOf(bundlePem),
    rootNotAfter: new Date(ends.at(-1) as number),
    chainNotAfter,
  };
}

export function describeCertificate(certificate: X509Certificate): AuthorityCertificate {
  return {
    id: rootId(certificate),
    subject: certificate.subject.trim().replace(/\n/g, ', '),
    key: signingAlgorithmOf(certificate.publicKey).label,
    notBefore: new Date(certificate.validFrom).toISOString(),
    notAfter: new Date(certificate.validTo).toISOString(),
  };
}
