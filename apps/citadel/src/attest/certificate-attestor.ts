// Attestation by the certificate that a client already has: it may be renewed, for the same identity, while it is valid.

import { X509Certificate } from 'node:crypto';
import { parsePeerSpiffeId, parseSpiffeId } from '@lateen/identity';
import { type Attestation, AttestationError, type Attestor, type ShownProof } from './attestor.js';

/** TLS has verified chain and purpose at the handshake; the dates are looked at again, since connections live on. */
export function certificateAttestor(trustDomain: string): Attestor {
  return {
    attest: async ({ clientCertificate }: ShownProof): Promise<Attestation | undefined> => {
      if (clientCertificate === undefined) return undefined;
      try {
        const certificate = new X509Certificate(clientCertificate);
        const now = Date.now();
        if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo))
          throw new Error(`it is valid from ${certificate.validFrom} to ${certificate.validTo}`);
        const identity = parseSpiffeId(parsePeerSpiffeId(clientCertificate));
        if (identity.trustDomain !== trustDomain) throw new Error(`it is of the trust domain ${identity.trustDomain}`);
        const { namespace, serviceAccount } = identity;
        const renews = certificate.serialNumber;
        return { namespace, serviceAccount, podName: undefined, renews, attestor: 'client-certificate' };
      } catch (error) {
        throw new AttestationError(`the client certificate proves nothing: ${(error as Error).message}`, {
          cause: error,
        });
      }
    },
  };
}
