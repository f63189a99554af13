// Attestation by bearer token: a service account's, of the local supervisor, of an OIDC issuer, or of the cluster that we run in.

import { type JWTVerifyGetKey, TokenError, unverifiedIssuer, verifyServiceAccountToken } from '@lateen/identity/tokens';
import { type Attestation, AttestationError, type Attestor, type ShownProof } from './attestor.js';
import type { TokenReviewer } from './token-review.js';

export interface TokenIssuer {
  /** Name of the attestor in the journal. */
  readonly name: string;
  readonly issuer: string;
  readonly audience: string;
  /** Its keys as of now. @throws AttestorUnavailableError where none were ever read */
  keys(): Promise<JWTVerifyGetKey>;
}

/**
 * @param issuers each with its own keys and audience; a token is checked with those of the issuer that it names, only
 * @param reviewer decides of tokens of all other issuers; without it they are refused
 */
export function tokenAttestor(issuers: readonly TokenIssuer[], reviewer?: TokenReviewer): Attestor {
  return {
    attest: async ({ authorization }: ShownProof): Promise<Attestation | undefined> => {
      if (authorization.length === 0) return undefined;
      const bearer = authorization.length === 1 ? /^Bearer +(\S+)$/i.exec(authorization[0] as string) : null;
      if (bearer === null) throw new AttestationError('exactly one "authorization: Bearer TOKEN" is required');
      const token = bearer[1] as string;
      try {
        const named = unverifiedIssuer(token);
        const issuer = issuers.find((each) => each.issuer === named);
        if (issuer === undefined && reviewer !== undefined) return await reviewer.attest(token);
        if (issuer === undefined) throw new TokenError('issuer', 'token is of another issuer');
        const keys = await issuer.keys();
        const account = await verifyServiceAccountToken(token, {
          keys,
          audience: issuer.audience,
          issuer: issuer.issuer,
        });
        const { namespace, serviceAccount, podName } = account;
        return { namespace, serviceAccount, podName, attestor: issuer.name };
      } catch (error) {
        if (error instanceof TokenError) throw new AttestationError(error.message, { cause: error });
        throw error;
      }
    },
  };
}
