// Tokens: takes one apart and checks its form, before anything of it is believed.

import type { JwtRefusal } from './jwt-status.js';

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };
export type JsonFields = { readonly [name: string]: JsonValue };

export interface ParsedToken {
  readonly algorithm: string;
  /** Empty where the header has none. */
  readonly keyId: string;
  readonly header: JsonFields;
  readonly payload: JsonFields;
  /** The payload as it stands in the token. */
  readonly payloadText: string;
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch; 0 = not said. */
  readonly notBefore: number;
  readonly expiresAt: number;
}

/** The algorithms that Envoy has; `none` is no algorithm. */
export const ALGORITHMS: ReadonlySet<string> = new Set([
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'HS256', 'HS384', 'HS512'],
]);

/** Without padding, as RFC 7515 has it. */
const BASE64URL = /^[A-Za-z0-9_-]*$/;
/** JSON that is nested deeper is refused. */
const MAX_DEPTH = 64;
const MAX_TIME = 2 ** 64;

/** A token in compact form, or what is wrong with it. The order of the checks is Envoy's, so that the answers are the same. */
export function parseToken(token: string): ParsedToken | JwtRefusal {
  const sections = token.split('.');
  if (sections.length !== 3 || sections.some((section) => section === '')) return 'badFormat';
  const [headerText, payloadText, signature] = sections as [string, string, string];
  const header = readJson(headerText);
  if (header === undefined) return 'headerBase64';
  if (header === null) return 'headerJson';
  const algorithm = field(header, 'alg');
  if (typeof algorithm !== 'string') return 'headerAlg';
  if (!ALGORITHMS.has(algorithm)) return 'headerAlgUnknown';
  const keyId = field(header, 'kid') ?? '';
  if (typeof keyId !== 'string') return 'headerKid';
  const payload = readJson(payloadText);
  if (payload === undefined) return 'payloadBase64';
  if (payload === null) return 'payloadJson';
  const claims = readClaims(payload);
  if (typeof claims === 'string') return claims;
  if (decode(signature) === undefined) return 'signatureBase64';
  return { algorithm, keyId, header, payload, payloadText, ...claims };
}

function readClaims(
  payload: JsonFields,
): Pick<ParsedToken, 'issuer' | 'audiences' | 'notBefore' | 'expiresAt'> | JwtRefusal {
  const issuer = field(payload, 'iss') ?? '';
  if (typeof issuer !== 'string') return 'payloadIss';
  if (!isTextOrAbsent(payload, 'sub')) return 'payloadSub';
  const issuedAt = readTime(payload, 'iat');
  if (issuedAt < 0) return issuedAt === NOT_A_NUMBER ? 'payloadIat' : 'payloadIatRange';
  const notBefore = readTime(payload, 'nbf');
  if (notBefore < 0) return notBefore === NOT_A_NUMBER ? 'payloadNbf' : 'payloadNbfRange';
  const expiresAt = readTime(payload, 'exp');
  if (expiresAt < 0) return expiresAt === NOT_A_NUMBER ? 'payloadExp' : 'payloadExpRange';
  if (!isTextOrAbsent(payload, 'jti')) return 'payloadJti';
  const audience = field(payload, 'aud') ?? [];
  const audiences = Array.isArray(audience) ? audience : [audience];
  if (!audiences.every((each): each is string => typeof each === 'string')) return 'payloadAud';
  return { issuer, audiences, notBefore, expiresAt };
}

/** A claim or header parameter of its own; names such as `__proto__` are names like any other. */
export function field(fields: JsonFields, name: string): JsonValue | undefined {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function isTextOrAbsent(payload: JsonFields, name: string): boolean {
  const value = field(payload, name);
  return value === undefined || typeof value === 'string';
}

const NOT_A_NUMBER = -1;
const OUT_OF_RANGE = -2;

function readTime(payload: JsonFields, name: string): number {
  const value = field(payload, name);
  if (value === undefined) return 0;
  if (typeof value !== 'number') return NOT_A_NUMBER;
  return value < 0 || value >= MAX_TIME ? OUT_OF_RANGE : Math.trunc(value);
}

/** Undefined: not base64url. */
function decode(text: string): Buffer | undefined {
  if (!BASE64URL.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  // One spelling for each value: bits that are left over are zero.
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/** Undefined: not base64url; null: not the JSON of an object. */
function readJson(text: string): JsonFields | null | undefined {
  const bytes = decode(text);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    return depthOf(value) <= MAX_DEPTH ? (value as JsonFields) : null;
  } catch {
    // Told to the caller as invalid JSON.
    return null;
  }
}

/** Level by level, so that nothing that a caller sends can exhaust the stack. */
function depthOf(value: object): number {
  let level: object[] = [value];
  for (let depth = 1; ; depth++) {
    level = level.flatMap((each) =>
      Object.values(each).filter((inner): inner is object => typeof inner === 'object' && inner !== null),
    );
    if (level.length === 0 || depth > MAX_DEPTH) return depth;
  }
}
