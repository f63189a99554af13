// Citadel's own serving certificate: signed by itself, renewed at half life with a fresh key, kept in memory only.

import {
  createKeyAndCsr,
  type IdentitySource,
  identityFromPem,
  type SpiffeId,
  type WorkloadIdentity,
} from '@lateen/identity';
import { type CertificateIssuer, publicKeyOf } from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';

export interface OwnIdentityOptions {
  readonly issuer: CertificateIssuer;
  readonly root: { readonly certPem: string };
  readonly spiffeId: SpiffeId;
  readonly ttlSeconds: number;
  readonly logger: Logger;
}

const RETRY_MS = 1_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export class OwnIdentity implements IdentitySource {
  readonly #options: OwnIdentityOptions;
  readonly #listeners = new Set<(identity: WorkloadIdentity) => void>();
  #current: WorkloadIdentity | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: OwnIdentityOptions) {
    this.#options = options;
  }

  get current(): WorkloadIdentity | undefined {
    return this.#current;
  }

  subscribe(listener: (identity: WorkloadIdentity) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes the first certificate; from then on it renews by itself. */
  async start(): Promise<void> {
    const { issuer, root, spiffeId, ttlSeconds } = this.#options;
    const { keyPem } = await createKeyAndCsr();
    const issued = await issuer.issue({ publicKey: publicKeyOf(keyPem), spiffeId, ttlSeconds });
    const identity = identityFromPem({
      keyPem,
      certChainPem: issued.certPem + root.certPem,
      rootsPem: root.certPem,
    });
    this.#current = identity;
    for (const listener of [...this.#listeners]) listener(identity);
    this.#schedule((identity.notAfter.getTime() - Date.now()) / 2);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(
      () => {
        this.start().catch((error: Error) => {
          this.#options.logger.error({ error }, 'renewing the own certificate failed');
          this.#schedule(RETRY_MS);
        });
      },
      Math.min(Math.max(delayMs, 0), MAX_TIMER_MS),
    );
  }
}
