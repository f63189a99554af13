// Tokens: why one was refused, in Envoy's words.

/** What callers are told, by reason. */
export const STATUS_TEXT = {
  missing: 'Jwt is missing',
  notYetValid: 'Jwt not yet valid',
  expired: 'Jwt is expired',
  badFormat: 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections',
  headerBase64: 'Jwt header is an invalid Base64url encoded',
  headerJson: 'Jwt header is an invalid JSON',
  headerAlg: 'Jwt header [alg] field is required and must be a string',
  headerAlgUnknown: 'Jwt header [alg] is not supported',
  headerKid: 'Jwt header [kid] field is not a string',
  payloadBase64: 'Jwt payload is an invalid Base64url encoded',
  payloadJson: 'Jwt payload is an invalid JSON',
  payloadIss: 'Jwt payload [iss] field is not a string',
  payloadSub: 'Jwt payload [sub] field is not a string',
  payloadIat: 'Jwt payload [iat] field is not an integer',
  payloadIatRange: 'Jwt payload [iat] field is not a positive 64 bit integer',
  payloadNbf: 'Jwt payload [nbf] field is not an integer',
  payloadNbfRange: 'Jwt payload [nbf] field is not a positive 64 bit integer',
  payloadExp: 'Jwt payload [exp] field is not an integer',
  payloadExpRange: 'Jwt payload [exp] field is not a positive 64 bit integer',
  payloadJti: 'Jwt payload [jti] field is not a string',
  payloadAud: 'Jwt payload [aud] field is not a string or string list',
  signatureBase64: 'Jwt signature is an invalid Base64url encoded',
  unknownIssuer: 'Jwt issuer is not configured',
  audience: 'Audiences in Jwt are not allowed',
  signature: 'Jwt verification fails',
  noValidKeys: "Jwks doesn't have any valid public key",
  noMatchingKey: "Jwks doesn't have key to match kid or alg from Jwt",
} as const;

/** Why a token, or a request, is refused. */
export type JwtRefusal = keyof typeof STATUS_TEXT;
export type JwtStatus = 'ok' | JwtRefusal;

/** A wrong audience is the one thing that another token of the same caller may not mend. */
export function refusalStatus(refusal: JwtRefusal): 401 | 403 {
  return refusal === 'audience' ? 403 : 401;
}

/** Response code details. */
export function refusalDetails(refusal: JwtRefusal): string {
  return `jwt_authn_access_denied{${STATUS_TEXT[refusal].replaceAll(' ', '_')}}`;
}
