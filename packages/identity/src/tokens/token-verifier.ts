// Tokens, checking side: signature, issuer, audience, dates, and the service account that the token speaks for.

import {
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { isNamespaceName, isServiceAccountName } from '../spiffe-id.js';
import { DEFAULT_TOKEN_AUDIENCE, LOCAL_TOKEN_ISSUER } from './token-signer.js';

/** Who a verified token speaks for. */
export interface ServiceAccountIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** From the pod claim, where there is one. */
  readonly podName: string | undefined;
  readonly expiresAt: Date;
}

export interface VerifyTokenOptions {
  readonly keys: JSONWebKeySet | JWTVerifyGetKey;
  readonly audience?: string;
  readonly issuer?: string;
  /** For tests; now unless given. */
  readonly now?: Date;
}

/** Why a token was refused; `code` is stable, for metrics and audit lines. */
export class TokenError extends Error {
  constructor(
    readonly code: 'malformed' | 'expired' | 'not-yet-valid' | 'issuer' | 'audience' | 'signature' | 'subject',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'TokenError';
  }
}

const CLOCK_TOLERANCE_SECONDS = 60;
const MAX_TOKEN_BYTES = 16 * 1024;
// Kubernetes signs with RS256 or ES256; nothing symmetric and never "none".
const ALGORITHMS = ['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA'];

/**
 * The issuer that a token names, to choose the keys it is checked with; nothing of it is proved.
 * @throws TokenError where it is no token
 */
export function unverifiedIssuer(token: string): string | undefined {
  if (token.length > MAX_TOKEN_BYTES)
    throw new TokenError('malformed', `token is larger than ${MAX_TOKEN_BYTES} bytes`);
  try {
    return decodeJwt(token).iss;
  } catch (error) {
    throw tokenError(error as Error);
  }
}

/** Verifies a service account token. @throws TokenError saying what is wrong with it */
export async function verifyServiceAccountToken(
  token: string,
  options: VerifyTokenOptions,
): Promise<ServiceAccountIdentity> {
  if (token.length > MAX_TOKEN_BYTES)
    throw new TokenError('malformed', `token is larger than ${MAX_TOKEN_BYTES} bytes`);
  const getKey = typeof options.keys === 'function' ? options.keys : createLocalJWKSet(options.keys);
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token, getKey, {
      algorithms: ALGORITHMS,
      issuer: options.issuer ?? LOCAL_TOKEN_ISSUER,
      audience: options.audience ?? DEFAULT_TOKEN_AUDIENCE,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: options.now,
      requiredClaims: ['iss', 'sub', 'aud', 'exp'],
    }));
  } catch (error) {
    throw tokenError(error as Error);
  }
  return readIdentity(payload);
}

function readIdentity(payload: JWTPayload): ServiceAccountIdentity {
  const parts = (payload.sub as string).split(':');
  const [system, kind, namespace, serviceAccount] = parts;
  if (
    parts.length !== 4 ||
    system !== 'system' ||
    kind !== 'serviceaccount' ||
    !isNamespaceName(namespace as string) ||
    !isServiceAccountName(serviceAccount as string)
  ) {
    throw new TokenError('subject', 'token subject is not of the form system:serviceaccount:NAMESPACE:NAME');
  }
  const claim = payload['kubernetes.io'];
  const kubernetes = isRecord(claim) ? claim : {};
  const account = isRecord(kubernetes.serviceaccount) ? kubernetes.serviceaccount.name : undefined;
  if (
    (kubernetes.namespace !== undefined && kubernetes.namespace !== namespace) ||
    (account !== undefined && account !== serviceAccount)
  ) {
    throw new TokenError('subject', 'token subject and its kubernetes.io claim name different service accounts');
  }
  const pod = isRecord(kubernetes.pod) ? kubernetes.pod.name : undefined;
  return {
    namespace: namespace as string,
    serviceAccount: serviceAccount as string,
    podName: typeof pod === 'string' ? pod : undefined,
    expiresAt: new Date((payload.exp as number) * 1000),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tokenError(error: Error): TokenError {
  const because = { cause: error };
  if (error instanceof errors.JWTExpired) return new TokenError('expired', 'token has expired', because);
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'iss') return new TokenError('issuer', 'token is of another issuer', because);
    if (error.claim === 'aud') return new TokenError('audience', 'token is for another audience', because);
    if (error.claim === 'nbf') return new TokenError('not-yet-valid', 'token is not valid yet', because);
    return new TokenError('malformed', `token claim ${error.claim}: ${error.reason}`, because);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return new TokenError('signature', 'token is not signed by a known key', because);
  }
  return new TokenError('malformed', `token cannot be verified: ${error.message}`, because);
}
