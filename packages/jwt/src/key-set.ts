// Tokens: the keys of an issuer (JWKS, RFC 7517), and which of them may check a token.

import { createHash } from 'node:crypto';
import { type CryptoKey, importJWK, type JWK } from 'jose';
import type { JwtRefusal } from './jwt-status.js';
import type { ParsedToken } from './parse-token.js';

/** More is no key set of an issuer. */
export const MAX_KEY_SET_BYTES = 1024 * 1024;
const MAX_KEYS = 1_000;

const EC_ALGORITHM: Readonly<Record<string, string>> = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' };
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const HMAC_ALGORITHMS = ['HS256', 'HS384', 'HS512'];

/** A key with everything that says what it is for. */
export interface JwtKey {
  readonly keyId: string;
  /** What the set says that it is for; empty where it says nothing. */
  readonly algorithm: string;
  /** What its type can do: an RSA key never checks a HMAC. */
  readonly possible: readonly string[];
  imported(algorithm: string): Promise<CryptoKey | Uint8Array>;
}

export interface KeySet {
  /** Hash of the text: what was checked with one set is not believed by another. */
  readonly id: string;
  readonly keys: readonly JwtKey[];
}

/** Reads a set; keys that are of no use are left out, as in Envoy. A text that is no set has no keys. */
export function readKeySet(text: string): KeySet {
  const id = createHash('sha256').update(text).digest('base64url');
  return { id, keys: jsonKeys(text).flatMap((key) => readKey(key) ?? []) };
}

function jsonKeys(text: string): readonly unknown[] {
  if (Buffer.byteLength(text) > MAX_KEY_SET_BYTES) return [];
  try {
    const parsed: unknown = JSON.parse(text);
    const keys = typeof parsed === 'object' && parsed !== null && 'keys' in parsed ? parsed.keys : undefined;
    return Array.isArray(keys) ? keys.slice(0, MAX_KEYS) : [];
  } catch {
    // The caller tells that there are no valid keys.
    return [];
  }
}

function readKey(value: unknown): JwtKey | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const text = (name: string): string => {
    const member = Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
    return typeof member === 'string' ? member : '';
  };
  const bare = publicPart(text);
  const algorithm = text('alg');
  if (bare === undefined || text('use') === 'enc') return undefined;
  if (algorithm !== '' && !bare.possible.includes(algorithm)) return undefined;
  const imported = new Map<string, Promise<CryptoKey | Uint8Array>>();
  return {
    keyId: text('kid'),
    algorithm,
    possible: bare.possible,
    imported: (name) => {
      const known = imported.get(name) ?? importJWK(bare.jwk, name);
      imported.set(name, known);
      return known;
    },
  };
}

/** Only what checking needs, also where somebody has published a private key. */
function publicPart(
  text: (name: string) => string,
): { readonly jwk: JWK; readonly possible: readonly string[] } | undefined {
  const members = (...names: readonly string[]): JWK | undefined => {
    if (names.some((name) => text(name) === '')) return undefined;
    return Object.fromEntries(['kty', ...names].map((name) => [name, text(name)])) as unknown as JWK;
  };
  const kinds: Readonly<Record<string, readonly [JWK | undefined, readonly string[]]>> = {
    RSA: [members('n', 'e'), RSA_ALGORITHMS],
    EC: [members('crv', 'x', 'y'), [EC_ALGORITHM[text('crv')] ?? '']],
    OKP: [members('crv', 'x'), [text('crv') === 'Ed25519' ? 'EdDSA' : '']],
    oct: [members('k'), HMAC_ALGORITHMS],
  };
  const [jwk, possible] = (Object.hasOwn(kinds, text('kty')) ? kinds[text('kty')] : undefined) ?? [undefined, []];
  return jwk === undefined || possible.includes('') ? undefined : { jwk, possible };
}

/**
 * The keys to try, or why there are none. The token's `kid` is compared and nothing else; without one all keys are tried.
 * Only keys whose type the token's algorithm is for are handed out.
 */
export function candidateKeys({ keys }: KeySet, token: ParsedToken): readonly JwtKey[] | JwtRefusal {
  if (keys.length === 0) return 'noValidKeys';
  const named = keys.filter(
    ({ keyId, algorithm }) =>
      (token.keyId === '' || keyId === '' || keyId === token.keyId) &&
      (algorithm === '' || algorithm === token.algorithm),
  );
  if (named.length === 0) return 'noMatchingKey';
  const fitting = named.filter(({ possible }) => possible.includes(token.algorithm));
  return fitting.length === 0 ? 'signature' : fitting;
}
