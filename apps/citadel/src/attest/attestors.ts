// Attestation: the list of attestors that the flags ask for.

import { OidcKeys } from '@lateen/identity/tokens';
import { type Attestor, AttestorUnavailableError } from './attestor.js';
import { certificateAttestor } from './certificate-attestor.js';
import { type TokenIssuer, tokenAttestor } from './token-attestor.js';
import type { TokenKeys } from './token-keys.js';
import type { TokenReviewer } from './token-review.js';

/** Tokens of an OIDC issuer, such as a cluster. */
export interface OidcOptions {
  readonly issuer: string;
  readonly audience: string;
  /** Found by discovery unless given. */
  readonly jwksUri?: string | undefined;
}

export interface AttestorOptions {
  readonly trustDomain: string;
  /** Keys of the local signer; undefined where its tokens are not taken. */
  readonly tokenKeys: TokenKeys | undefined;
  readonly tokenIssuer: string;
  readonly tokenAudience: string;
  /** Each takes the tokens of one issuer. */
  readonly oidc: readonly OidcOptions[];
  /** Asks the API server about all other tokens; undefined outside of a cluster. */
  readonly reviewer?: TokenReviewer | undefined;
  /** Whether a certificate may be renewed by showing it. */
  readonly renewal: boolean;
}

/** In the order in which they are asked. @throws Error where an address may not be used */
export function createAttestors(options: AttestorOptions): Attestor[] {
  const { tokenKeys, oidc, reviewer } = options;
  const issuers: TokenIssuer[] = [];
  if (tokenKeys !== undefined)
    issuers.push({
      name: 'local-token',
      issuer: options.tokenIssuer,
      audience: options.tokenAudience,
      keys: () => tokenKeys.current(),
    });
  issuers.push(...oidc.map(oidcIssuer));
  return [
    ...(issuers.length === 0 && reviewer === undefined ? [] : [tokenAttestor(issuers, reviewer)]),
    ...(options.renewal ? [certificateAttestor(options.trustDomain)] : []),
  ];
}

function oidcIssuer({ issuer, audience, jwksUri }: OidcOptions): TokenIssuer {
  const oidcKeys = new OidcKeys({ issuer, jwksUri });
  return {
    name: 'oidc-token',
    issuer,
    audience,
    keys: async () => {
      const keys = await oidcKeys.current();
      if (keys === undefined) throw new AttestorUnavailableError(oidcKeys.problem ?? `there are no keys of ${issuer}`);
      return keys;
    },
  };
}
