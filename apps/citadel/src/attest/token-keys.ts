// Attestation: the public keys of the token signer, read again when the file changes; a damaged file keeps the last good.

import { readFile, stat } from 'node:fs/promises';
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from '@lateen/identity/tokens';
import type { Logger } from '@lateen/telemetry';
import { AttestorUnavailableError } from './attestor.js';

export interface TokenKeysOptions {
  /** JWKS as JSON. */
  readonly file: string;
  readonly logger: Logger;
}

// Half of the clients come at once when Citadel returns; one look at the file serves those of this time.
const LOOK_AGAIN_MS = 250;

export class TokenKeys {
  readonly #options: TokenKeysOptions;
  #keys: JWTVerifyGetKey | undefined;
  #stamp = '';
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #problem: string | undefined = 'the token keys were not read yet';
  #looking: Promise<void> | undefined;

  constructor(options: TokenKeysOptions) {
    this.#options = options;
    void this.#refresh();
  }

  /** What is wrong while there are no keys; undefined when tokens can be checked. Looks at the file again by itself. */
  problem(): string | undefined {
    if (this.#keys !== undefined) return undefined;
    void this.#refresh();
    return this.#problem;
  }

  /** The keys as of now. @throws AttestorUnavailableError where none were ever read */
  async current(): Promise<JWTVerifyGetKey> {
    await this.#refresh();
    if (this.#keys === undefined) throw new AttestorUnavailableError(this.#problem ?? 'there are no token keys');
    return this.#keys;
  }

  #refresh(): Promise<void> {
    const now = performance.now();
    if (this.#looking === undefined && now - this.#lookedAtMs >= LOOK_AGAIN_MS) {
      this.#lookedAtMs = now;
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined;
      });
    }
    return this.#looking ?? Promise.resolve();
  }

  async #look(): Promise<void> {
    const { file, logger } = this.#options;
    try {
      const { mtimeMs, size, ino } = await stat(file);
      const stamp = `${mtimeMs}/${size}/${ino}`;
      if (stamp === this.#stamp) return;
      const keys = parseJwks(await readFile(file, 'utf8'));
      this.#keys = createLocalJWKSet(keys);
      this.#stamp = stamp;
      this.#problem = undefined;
      logger.info({ file, keyIds: keys.keys.map((key) => key.kid) }, 'token keys read');
    } catch (error) {
      const problem = `token keys in ${file} cannot be used: ${(error as Error).message}`;
      if (problem !== this.#problem) logger.warn({ keptLastGood: this.#keys !== undefined }, problem);
      this.#problem = problem;
    }
  }
}

function parseJwks(text: string): JSONWebKeySet {
  const value: unknown = JSON.parse(text);
  const keys = (value as { keys?: unknown }).keys;
  if (!Array.isArray(keys) || keys.length === 0) throw new Error('expected {"keys": [...]} with at least one key');
  for (const key of keys as Record<string, unknown>[]) {
    if (key === null || typeof key !== 'object' || typeof key.kty !== 'string') throw new Error('a key has no "kty"');
    // The file is published; private halves in it are a mistake, and shared secrets would let readers make tokens.
    if (key.kty === 'oct' || 'd' in key)
      throw new Error('it holds a private or shared key; only public keys belong here');
  }
  return { keys } as JSONWebKeySet;
}
