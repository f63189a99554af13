// Attestation: who asks. Attestors are asked in order; the first that finds its kind of proof decides.

import type { SpiffeIdParts } from '@lateen/identity';

/** What a client showed. */
export interface ShownProof {
  /** Values of the `authorization` metadata. */
  readonly authorization: readonly string[];
  /** DER of a client certificate that TLS has verified against the trust roots. */
  readonly clientCertificate: Uint8Array | undefined;
}

/** A proved identity. */
export interface Attestation extends Omit<SpiffeIdParts, 'trustDomain'> {
  readonly podName: string | undefined;
  /** Uid of the pod that a token is bound to, where the attestor tells it. */
  readonly podUid?: string | undefined;
  /** Serial number of the certificate that proved it, where one did. */
  readonly renews?: string;
  /** Name of the attestor, for the journal. */
  readonly attestor: string;
}

export interface Attestor {
  /**
   * Undefined where nothing of its kind was shown.
   * @throws AttestationError where it was and does not hold; AttestorUnavailableError where that cannot be told now
   */
  attest(proof: ShownProof): Promise<Attestation | undefined>;
}

/** The proof does not hold. */
export class AttestationError extends Error {}

/** Nobody can be attested at the moment, for want of keys or of the API server. */
export class AttestorUnavailableError extends Error {}

/** @throws AttestationError where nothing was shown that any of the attestors knows */
export async function attest(attestors: readonly Attestor[], proof: ShownProof): Promise<Attestation> {
  for (const attestor of attestors) {
    const attestation = await attestor.attest(proof);
    if (attestation !== undefined) return attestation;
  }
  throw new AttestationError('exactly one "authorization: Bearer TOKEN", or a client certificate, is required');
}
