// Flags: several OIDC issuers, with what belongs to each.

import type { OidcOptions } from './attest/attestors.js';

const DEFAULT_AUDIENCE = 'istio-ca';

/**
 * @param audiences none, one for all issuers, or one for each
 * @param jwksUris none, or one for each; '' leaves it to discovery
 * @throws Error where the numbers do not fit, or an issuer is named twice
 */
export function oidcOptions(
  issuers: readonly string[],
  audiences: readonly string[],
  jwksUris: readonly string[],
): OidcOptions[] {
  const twice = issuers.find((issuer, index) => issuers.indexOf(issuer) !== index);
  if (twice !== undefined) throw new Error(`--oidc-issuer ${twice} is given twice`);
  if (audiences.length > 1 && audiences.length !== issuers.length)
    throw new Error(
      `--oidc-audience is given ${audiences.length} times for ${issuers.length} issuers: give it once, or for each`,
    );
  if (jwksUris.length > 0 && jwksUris.length !== issuers.length)
    throw new Error(
      `--oidc-jwks-uri is given ${jwksUris.length} times for ${issuers.length} issuers: give it for each, "" where discovery finds the keys`,
    );
  return issuers.map((issuer, index) => ({
    issuer,
    audience: (audiences.length === 1 ? audiences[0] : audiences[index]) ?? DEFAULT_AUDIENCE,
    jwksUri: jwksUris[index] || undefined,
  }));
}
