// Kind RequestAuthentication: which tokens (JWT) are taken at some workloads.
import type { z } from 'zod';
import { jsonWebKeySet, jwksAddress, tokenHeaderName } from '../../declare/formats-of-tokens.js';
import { list, message, required } from '../../declare/message.js';
import { duration, flag, text } from '../../declare/scalars.js';
import { attachment } from '../fields/selector.js';

const name = text('', { minLength: 1 });

/** Where in the headers a token is. */
export const tokenHeader = message('JWTHeader', {
  name: required(text('The header.', { minLength: 1 })),
  prefix: text('What stands before the token, such as "Bearer ".'),
});

/** A claim that is passed on as a header. */
export const claimToHeader = message('ClaimToHeader', {
  header: required(text('The header that is set.', { minLength: 1, format: tokenHeaderName })),
  claim: required(text('The claim; a nested one with dots.', { minLength: 1 })),
});

/** An issuer whose tokens are taken. */
export const jwtRule = message(
  'JWTRule',
  {
    issuer: text('The `iss` of its tokens.'),
    audiences: list(name, 'Audiences of which a token must have one; none: any.'),
    jwksUri: text('Where its keys are fetched.', { minLength: 1, maxLength: 2048, format: jwksAddress }),
    jwks_uri: text('Where its keys are fetched (older spelling).', {
      minLength: 1,
      maxLength: 2048,
      format: jwksAddress,
    }),
    jwks: text('Its keys, as JSON.', { format: jsonWebKeySet }),
    fromHeaders: list(tokenHeader, 'Headers with a token (default: Authorization with "Bearer ").'),
    fromParams: list(name, 'Query parameters with a token (default: access_token).'),
    fromCookies: list(name, 'Cookies with a token.'),
    outputPayloadToHeader: text('Header that gets the payload of a token that was good, in base64url.'),
    forwardOriginalToken: flag('Whether the token is passed on (default false).'),
    outputClaimToHeaders: list(claimToHeader, 'Claims that are passed on as headers.'),
    timeout: duration('How long the keys may take to fetch (default 5s).'),
    spaceDelimitedClaims: list(
      name,
      'Claims that hold several values with spaces between, besides scope and permission.',
      {
        max: 64,
      },
    ),
  },
  {
    atMostOneOf: [['jwksUri', 'jwks_uri', 'jwks']],
    instead: { audience: 'audiences', fromHeader: 'fromHeaders', fromCookie: 'fromCookies', jwksURI: 'jwksUri' },
  },
);

/** The spec of a RequestAuthentication. */
export const requestAuthentication = message(
  'RequestAuthentication',
  {
    ...attachment,
    jwtRules: list(jwtRule, 'Issuers whose tokens are taken; other tokens are refused.', { max: 4096 }),
  },
  { atMostOneOf: [['selector', 'targetRef', 'targetRefs']], instead: { rules: 'jwtRules', jwt: 'jwtRules' } },
);

export type RequestAuthenticationSpec = z.infer<typeof requestAuthentication>;
export type JwtRule = z.infer<typeof jwtRule>;
