// Tokens: checks signatures, off the hot path, and remembers tokens that were good.

import { compactVerify } from 'jose';
import type { JwtRefusal } from './jwt-status.js';
import { candidateKeys, type JwtKey, type KeySet } from './key-set.js';
import type { ParsedToken } from './parse-token.js';

/** What is remembered at most: tokens, and characters of all of them. */
const LIMITS = { tokens: 4_096, characters: 8 * 1024 * 1024 };
/** So many keys are tried for one token that does not name its key. */
const MAX_TRIES = 16;

/** One for each process. A token is known by all of its text and by the keys that it was checked with. */
export class TokenVerifier {
  readonly #good = new Map<string, ParsedToken>();
  readonly #underWay = new Map<string, Promise<JwtRefusal | 'ok'>>();
  #characters = 0;

  constructor(private readonly limits = LIMITS) {}

  /** A token whose signature was found good before, with these keys; whether its time has come or gone is not looked at. */
  remembered(keys: KeySet, token: string): ParsedToken | undefined {
    const key = keyOf(keys, token);
    const found = this.#good.get(key);
    if (found === undefined) return undefined;
    // The one that is used last is forgotten last.
    this.#good.delete(key);
    this.#good.set(key, found);
    return found;
  }

  get size(): number {
    return this.#good.size;
  }

  /** Checks the signature. Never rejects. Who asks for the same meanwhile gets the same answer. */
  verify(keys: KeySet, token: string, parsed: ParsedToken): Promise<JwtRefusal | 'ok'> {
    const key = keyOf(keys, token);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const result = checkSignature(keys, token, parsed).then((status) => {
      this.#underWay.delete(key);
      if (status === 'ok') this.#remember(key, parsed);
      return status;
    });
    this.#underWay.set(key, result);
    return result;
  }

  #remember(key: string, parsed: ParsedToken): void {
    if (this.#good.has(key)) return;
    this.#good.set(key, parsed);
    this.#characters += key.length;
    for (const oldest of this.#good.keys()) {
      if (this.#good.size <= this.limits.tokens && this.#characters <= this.limits.characters) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#good.delete(key);
    this.#characters -= key.length;
  }
}

function keyOf({ id }: KeySet, token: string): string {
  return `${id}.${token}`;
}

async function checkSignature(keys: KeySet, token: string, parsed: ParsedToken): Promise<JwtRefusal | 'ok'> {
  // Extensions that must be understood, of which none is; RFC 7797 has no place in tokens.
  if (Object.hasOwn(parsed.header, 'crit')) return 'signature';
  const candidates = candidateKeys(keys, parsed);
  if (typeof candidates === 'string') return candidates;
  for (const key of candidates.slice(0, MAX_TRIES)) if (await isSignedBy(key, token, parsed.algorithm)) return 'ok';
  return 'signature';
}

async function isSignedBy(key: JwtKey, token: string, algorithm: string): Promise<boolean> {
  try {
    await compactVerify(token, await key.imported(algorithm), { algorithms: [algorithm] });
    return true;
  } catch {
    // Whatever it was: the token is not good by this key.
    return false;
  }
}
