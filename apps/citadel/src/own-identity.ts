// Citadel's own serving certificate: signed by itself, renewed at half life with a fresh key, kept in memory only.

import {
  createKeyAndCsr,
  type IdentitySource,
  identityFromPem,
  type SpiffeId,
  type WorkloadIdentity,
} from '@lateen/identity';
import { publicKeyOf } from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';
import type { Authority } from './authority/authority.js';

export interface OwnIdentityOptions {
  readonly authority: Authority;
  readonly spiffeId: SpiffeId;
  /** Names beside it, by which callers that know no SPIFFE ids may check. */
  readonly dnsNames?: readonly string[];
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
  #unsubscribe: (() => void) | undefined;

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

  /** Makes the first certificate; from then on it renews by itself, and at once when the authority changes. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#options.authority.subscribe(() => this.#renew());
    await this.#make();
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe?.();
    clearTimeout(this.#timer);
  }

  async #make(): Promise<void> {
    const { authority, spiffeId, dnsNames, ttlSeconds } = this.#options;
    const { issuer, chainPem, bundlePem } = authority.current;
    const { keyPem } = await createKeyAndCsr();
    const issued = await issuer.issue({ publicKey: publicKeyOf(keyPem), spiffeId, dnsNames, ttlSeconds });
    const identity = identityFromPem({
      keyPem,
      certChainPem: issued.certPem + chainPem.join(''),
      rootsPem: bundlePem,
    });
    // What was signed by an authority that has changed meanwhile is not worth showing.
    if (authority.current.issuer !== issuer || authority.current.bundlePem !== bundlePem) return;
    this.#current = identity;
    for (const listener of [...this.#listeners]) listener(identity);
    this.#schedule((identity.notAfter.getTime() - Date.now()) / 2);
  }

  #renew(): void {
    this.#make().catch((error: Error) => {
      this.#options.logger.error({ error }, 'renewing the own certificate failed');
      this.#schedule(RETRY_MS);
    });
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.#renew(), Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
  }
}
