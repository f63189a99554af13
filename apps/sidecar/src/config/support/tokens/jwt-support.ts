// Support table: the filter that checks tokens (jwt_authn), and matchers of what they claim.

import type { SupportTable } from '../support-types.js';

const PACKAGE = 'envoy.extensions.filters.http.jwt_authn.v3';
export const JWT_AUTHN = `${PACKAGE}.JwtAuthentication`;

const MATCHER = 'envoy.type.matcher.v3';
const WITH_CONFIGURATION = 'keys come with the configuration (local_jwks); Pilot fetches those of a jwksUri';

export const JWT_SUPPORT: SupportTable = {
  [JWT_AUTHN]: {
    acted: ['providers', 'rules', 'bypass_cors_preflight', 'requirement_map', 'strip_failure_response'],
    refused: { filter_state_rules: 'filters keep no state; use rules' },
  },
  [`${PACKAGE}.JwtProvider`]: {
    acted: [
      'issuer',
      'audiences',
      'local_jwks',
      'forward',
      'from_headers',
      'from_params',
      'from_cookies',
      'forward_payload_header',
      'pad_forward_payload_header',
      'payload_in_metadata',
      'normalize_payload_in_metadata',
      'header_in_metadata',
      'clock_skew_seconds',
      'claim_to_headers',
      'clear_route_cache',
    ],
    inert: { jwt_cache_config: 'good tokens of all issuers are remembered, within one limit' },
    notes: {
      forward: 'a token in a cookie stays there, as in Envoy',
      claim_to_headers: 'a value that cannot stand in a header is left out',
    },
    refused: {
      remote_jwks: WITH_CONFIGURATION,
      subjects: 'match the claim sub',
      require_expiration: 'not supported; a token without exp does not expire',
      max_lifetime: 'not supported; the issuer says how long a token lives',
      failed_status_in_metadata: 'nothing reads it',
    },
  },
  [`${PACKAGE}.JwtProvider.NormalizePayload`]: { acted: ['space_delimited_claims'] },
  [`${PACKAGE}.JwtHeader`]: { acted: ['name', 'value_prefix'] },
  [`${PACKAGE}.JwtClaimToHeader`]: { acted: ['header_name', 'claim_name'] },
  [`${PACKAGE}.RequirementRule`]: {
    acted: ['match', 'requires', 'requirement_name'],
    notes: { match: 'by path alone: prefix, path, path_separated_prefix' },
  },
  [`${PACKAGE}.JwtRequirement`]: {
    acted: [
      'provider_name',
      'provider_and_audiences',
      'requires_any',
      'requires_all',
      'allow_missing_or_failed',
      'allow_missing',
    ],
  },
  [`${PACKAGE}.JwtRequirementOrList`]: { acted: ['requirements'] },
  [`${PACKAGE}.JwtRequirementAndList`]: { acted: ['requirements'] },
  [`${PACKAGE}.ProviderWithAudiences`]: { acted: ['provider_name', 'audiences'] },
};

/** Conditions about metadata: claims of verified tokens are all that there is. */
export const CLAIM_MATCH_SUPPORT: SupportTable = {
  [`${MATCHER}.MetadataMatcher`]: {
    acted: ['filter', 'path', 'value', 'invert'],
    notes: { filter: 'envoy.filters.http.jwt_authn' },
  },
  [`${MATCHER}.MetadataMatcher.PathSegment`]: { acted: ['key'] },
  [`${MATCHER}.ValueMatcher`]: {
    acted: ['string_match', 'bool_match', 'present_match', 'list_match', 'or_match'],
    notes: { or_match: 'of the same text as a value and as one of a list' },
  },
  [`${MATCHER}.ListMatcher`]: { acted: ['one_of'] },
  [`${MATCHER}.OrMatcher`]: { acted: ['value_matchers'] },
};
