// Supervisor: service account tokens on disk, one file for each process that needs a certificate, rotated at half life.

import { writeFileAtomic } from '@lateen/identity';
import { type ServiceAccountTokenClaims, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import type { Logger } from '@lateen/telemetry';

const TOKEN_LIFE_SECONDS = 3600;
const ROTATE_AFTER_MS = (TOKEN_LIFE_SECONDS / 2) * 1000;
const CHECK_EVERY_MS = 30_000;

interface TokenFile {
  readonly claims: ServiceAccountTokenClaims;
  writtenAtMs: number;
}

export class TokenFiles {
  readonly #files = new Map<string, TokenFile>();
  readonly #signer: TokenSigner;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;

  constructor(signer: TokenSigner, logger: Logger) {
    this.#signer = signer;
    this.#logger = logger;
    this.#timer = setInterval(() => void this.#rotate(), CHECK_EVERY_MS);
  }

  /** Writes a token (0600) and keeps it fresh until `remove`. */
  async add(path: string, claims: ServiceAccountTokenClaims): Promise<void> {
    await this.#write(path, claims);
    this.#files.set(path, { claims, writtenAtMs: Date.now() });
  }

  /** Rotates this file no more; the file itself stays. */
  remove(path: string): void {
    this.#files.delete(path);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #write(path: string, claims: ServiceAccountTokenClaims): Promise<void> {
    const token = await signServiceAccountToken(this.#signer, { ...claims, ttlSeconds: TOKEN_LIFE_SECONDS });
    await writeFileAtomic(path, token);
  }

  async #rotate(): Promise<void> {
    for (const [path, file] of this.#files) {
      if (Date.now() - file.writtenAtMs < ROTATE_AFTER_MS) continue;
      try {
        await this.#write(path, file.claims);
        file.writtenAtMs = Date.now();
      } catch (error) {
        this.#logger.error({ path, error }, 'a token could not be rewritten; trying again');
      }
    }
  }
}
