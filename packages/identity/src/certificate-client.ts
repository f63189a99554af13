// Issuance, client side: keeps one identity fresh. Stored certificate first, then Citadel, then renewal at half life.

import { readFile } from 'node:fs/promises';
import { requestCertificate } from './certificate-call.js';
import { createKeyAndCsr } from './certificate-request.js';
import { readStoredIdentity, storeIdentity } from './identity-directory.js';
import { formatSpiffeId } from './spiffe-id.js';
import {
  type IdentitySource,
  identityFromPem,
  mergeRoots,
  readCertificates,
  type WorkloadIdentity,
} from './workload-identity.js';

/** The part of a pino logger that is used. */
export interface IdentityLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface CertificateClientOptions {
  /** HOST:PORT of the certificate service. */
  readonly citadelAddress: string;
  /** Bearer token, read again at each use. */
  readonly tokenFile: string;
  /** PEM of the trust roots to start with, read again at each use. */
  readonly rootCertFile: string;
  /** Where key and certificate are kept; made (0700) where missing. One process only. */
  readonly directory: string;
  readonly trustDomain: string;
  /** Life to ask for; the authority's default unless given. */
  readonly requestedTtlSeconds?: number;
  readonly logger?: IdentityLogger;
}

/** How the client stands, for `/certs` and readiness. */
export interface CertificateClientStatus {
  readonly renewsAt: Date | undefined;
  readonly lastError: string | undefined;
  readonly renewals: number;
}

const RENEW_AT_LIFE_FRACTION = 0.5;
const RENEW_JITTER_FRACTION = 0.01;
const FIRST_RETRY_MS = 100;
// Without a valid certificate nothing works, so the waits stay short; with one there is time.
const MAX_RETRY_WITHOUT_CERTIFICATE_MS = 2_000;
const MAX_RETRY_MS = 30_000;
// setTimeout takes 31 bits.
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Keeps the identity of this process: `start()`, then `current` and `subscribe()`; `ready()` waits for the first one.
 * A stored certificate that is still valid serves while Citadel is away.
 */
export class CertificateClient implements IdentitySource {
  readonly #options: CertificateClientOptions;
  readonly #listeners = new Set<(identity: WorkloadIdentity) => void>();
  readonly #stopping = new AbortController();
  #current: WorkloadIdentity | undefined;
  #started: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  #failures = 0;
  #renewals = 0;
  #renewsAt: Date | undefined;
  #lastError: string | undefined;

  constructor(options: CertificateClientOptions) {
    this.#options = options;
  }

  get current(): WorkloadIdentity | undefined {
    return this.#current;
  }

  get status(): CertificateClientStatus {
    return { renewsAt: this.#renewsAt, lastError: this.#lastError, renewals: this.#renewals };
  }

  subscribe(listener: (identity: WorkloadIdentity) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Loads what is stored and begins to renew; resolves once the stored identity, if any, is in place. Idempotent. */
  start(): Promise<void> {
    this.#started ??= this.#load();
    return this.#started;
  }

  /** The present identity, or the first one when it comes. Rejects when the client is stopped before. */
  async ready(): Promise<WorkloadIdentity> {
    await this.start();
    if (this.#current !== undefined) return this.#current;
    return new Promise((resolve, reject) => {
      const stopped = () => reject(new Error('the certificate client was stopped before it had a certificate'));
      if (this.#stopping.signal.aborted) return stopped();
      this.#stopping.signal.addEventListener('abort', stopped, { once: true });
      const unsubscribe = this.subscribe((identity) => {
        unsubscribe();
        this.#stopping.signal.removeEventListener('abort', stopped);
        resolve(identity);
      });
    });
  }

  /** Renews at once, or joins the renewal under way. @throws what made it fail */
  renewNow(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** Ends renewals; the present identity stays. Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#started?.catch(() => undefined);
    await this.#renewing?.catch(() => undefined); // reported when it failed
    clearTimeout(this.#timer);
  }

  async #load(): Promise<void> {
    const stored = await this.#readStored();
    if (stored === undefined) {
      this.#schedule(0);
      return;
    }
    this.#current = stored;
    const lifeMs = stored.notAfter.getTime() - stored.notBefore.getTime();
    this.#schedule(stored.notBefore.getTime() + lifeMs * renewalFraction() - Date.now());
  }

  /** The stored identity where it can serve. What is wrong with it is logged; a new one is requested then. */
  async #readStored(): Promise<WorkloadIdentity | undefined> {
    const { directory, trustDomain } = this.#options;
    try {
      const stored = await readStoredIdentity(directory);
      if (stored === undefined) return undefined;
      if (!stored.spiffeId.startsWith(`spiffe://${trustDomain}/`)) {
        throw new Error(`it is for ${stored.spiffeId}, which is not in the trust domain ${trustDomain}`);
      }
      const now = Date.now();
      if (now < stored.notBefore.getTime() || now >= stored.notAfter.getTime()) {
        throw new Error(`it is valid from ${stored.notBefore.toISOString()} to ${stored.notAfter.toISOString()}`);
      }
      return stored;
    } catch (error) {
      this.#options.logger?.warn({ directory, reason: (error as Error).message }, 'stored certificate is not used');
      return undefined;
    }
  }

  async #renew(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const identity = await this.#request();
      await storeIdentity(this.#options.directory, identity);
      this.#accept(identity);
    } catch (error) {
      this.#failures++;
      this.#lastError = (error as Error).message;
      const delayMs = this.#retryDelayMs();
      if (!this.#stopping.signal.aborted) {
        this.#options.logger?.warn(
          { citadel: this.#options.citadelAddress, reason: this.#lastError, retryInMs: Math.round(delayMs) },
          'certificate request failed',
        );
      }
      this.#schedule(delayMs);
      throw error;
    }
  }

  async #request(): Promise<WorkloadIdentity> {
    const { citadelAddress, tokenFile, rootCertFile, trustDomain, requestedTtlSeconds } = this.#options;
    const [token, rootsPem] = await Promise.all([readFile(tokenFile, 'utf8'), readFile(rootCertFile, 'utf8')]);
    const { keyPem, csrPem } = await createKeyAndCsr();
    const chain = await requestCertificate({
      address: citadelAddress,
      token: token.trim(),
      rootsPem,
      serverSpiffeId: formatSpiffeId({ trustDomain, namespace: 'istio-system', serviceAccount: 'citadel' }),
      csrPem,
      validitySeconds: requestedTtlSeconds ?? 0,
      signal: this.#stopping.signal,
    });
    // The answer came from a verified authority, so a root at the chain's end is trusted beside those of the file.
    const newRoots = readCertificates(chain[chain.length - 1] as string).filter(
      (last) => last.ca && last.checkIssued(last),
    );
    const identity = identityFromPem({
      keyPem,
      certChainPem: chain.join(''),
      rootsPem: mergeRoots(rootsPem, ...newRoots.map((root) => root.toString())),
    });
    if (!identity.spiffeId.startsWith(`spiffe://${trustDomain}/`)) {
      throw new Error(`the certificate is for ${identity.spiffeId}, which is not in the trust domain ${trustDomain}`);
    }
    return identity;
  }

  #accept(identity: WorkloadIdentity): void {
    this.#current = identity;
    this.#failures = 0;
    this.#renewals++;
    this.#lastError = undefined;
    // The life left counts, since the certificate is back-dated for peers whose clock is behind.
    this.#schedule((identity.notAfter.getTime() - Date.now()) * renewalFraction());
    this.#options.logger?.info(
      { spiffeId: identity.spiffeId, serial: identity.serial, notAfter: identity.notAfter.toISOString() },
      'certificate received',
    );
    for (const listener of [...this.#listeners]) listener(identity);
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    const boundedMs = Math.min(Math.max(delayMs, 0), MAX_TIMER_MS);
    this.#renewsAt = new Date(Date.now() + boundedMs);
    this.#timer = setTimeout(() => {
      this.renewNow().catch(() => undefined); // logged and retried where it failed
    }, boundedMs);
  }

  /** Doubles with each failure, with jitter so that many clients do not come back at once. */
  #retryDelayMs(): number {
    const leftMs = (this.#current?.notAfter.getTime() ?? 0) - Date.now();
    const capMs =
      leftMs <= 0 ? MAX_RETRY_WITHOUT_CERTIFICATE_MS : Math.max(FIRST_RETRY_MS, Math.min(MAX_RETRY_MS, leftMs / 4));
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 16), capMs);
    return delayMs * (0.75 + Math.random() * 0.5);
  }
}

function renewalFraction(): number {
  return RENEW_AT_LIFE_FRACTION + (Math.random() * 2 - 1) * RENEW_JITTER_FRACTION;
}
