// Issuance, client side: keeps one identity fresh. Stored certificate first, then Citadel, then renewal, at half life unless told.

import { type StatsListener, unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { formatSpiffeId } from '../spiffe-id.js';
import {
  type IdentitySource,
  identityFromPem,
  mergeRoots,
  readCertificates,
  rootId,
  rootIdsOf,
  type WorkloadIdentity,
} from '../workload-identity.js';
import { NotAuthenticatedError, requestCertificate } from './certificate-call.js';
import { createKeyAndCsr } from './certificate-request.js';
import { storeIdentity } from './identity-directory.js';
import { DEFAULT_GRACE_PERIOD_RATIO, renewAfterMs, renewSoonMs, retryAfterMs } from './renewal-times.js';
import { loadUsableIdentity, requireDnsNames, rootsWith, withRoots } from './stored-identity.js';

/** The part of a pino logger that is used. */
export interface IdentityLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface CertificateClientOptions {
  /** HOST:PORT of the certificate service. */
  readonly citadelAddress: string;
  /** Bearer token, read again at each use. Without a good one a valid certificate is renewed by showing it. */
  readonly tokenFile: string;
  /** PEM of the trust roots to start with; followed when it changes. */
  readonly rootCertFile: string;
  /** Where key and certificate are kept; made (0700) where missing. One process only. */
  readonly directory: string;
  readonly trustDomain: string;
  /** DNS names that the certificate shall have beside its SPIFFE id; Citadel gives its own services' names to them alone. */
  readonly dnsNames?: readonly string[] | undefined;
  /** Life to ask for; the authority's default unless given. */
  readonly requestedTtlSeconds?: number;
  /** Share of a life that is left when it is renewed, between 0 and 1 (Istio's SECRET_GRACE_PERIOD_RATIO); 0.5 unless given. */
  readonly gracePeriodRatio?: number;
  readonly logger?: IdentityLogger;
}

/** How the client stands, for `/certs` and readiness. */
export interface CertificateClientStatus {
  readonly renewsAt: Date | undefined;
  readonly lastError: string | undefined;
  readonly renewals: number;
}

// setTimeout takes 31 bits.
const MAX_TIMER_MS = 2 ** 31 - 1;
const LOOK_AT_ROOTS_MS = 1_000;

/**
 * Keeps the identity of this process: `start()`, then `current` and `subscribe()`; `ready()` waits for the first one.
 * A stored certificate that is still valid serves while Citadel is away.
 */
export class CertificateClient implements IdentitySource {
  readonly #options: CertificateClientOptions;
  readonly #listeners = new Set<(identity: WorkloadIdentity) => void>();
  readonly #stopping = new AbortController();
  #current: WorkloadIdentity | undefined;
  /** Ids of the roots that the authority was told when it issued the present certificate. */
  #toldRoots: ReadonlySet<string> = new Set();
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
    unwatchFile(this.#options.rootCertFile, this.#rootsChanged);
    clearTimeout(this.#timer);
    await this.#started?.catch(() => undefined);
    await this.#renewing?.catch(() => undefined); // reported when it failed
    clearTimeout(this.#timer);
  }

  async #load(): Promise<void> {
    const { directory } = this.#options;
    try {
      const stored = await loadUsableIdentity(this.#options);
      if (stored !== undefined) {
        this.#toldRoots = new Set(rootIdsOf(stored.issuedWithRootsPem));
        // Whoever subscribed while the files were read waits for this one.
        this.#publish(stored.identity);
      }
    } catch (error) {
      this.#options.logger?.warn({ directory, reason: (error as Error).message }, 'stored certificate is not used');
    }
    if (this.#stopping.signal.aborted) return;
    watchFile(this.#options.rootCertFile, { interval: LOOK_AT_ROOTS_MS, persistent: false }, this.#rootsChanged);
    if (this.#current === undefined) return this.#schedule(0);
    const { notBefore, notAfter } = this.#current;
    this.#schedule(notBefore.getTime() + this.#renewAfterMs(notAfter.getTime() - notBefore.getTime()) - Date.now());
    this.#followRoots(this.#current);
  }

  /** Takes over a changed bundle at once; where the own certificate is of none of its roots, a new one is requested. */
  readonly #rootsChanged: StatsListener = () => {
    this.#takeRoots().catch((error: Error) => {
      const fields = { rootCertFile: this.#options.rootCertFile, reason: error.message };
      this.#options.logger?.warn(fields, 'changed trust roots do not fit the certificate; requesting another');
      this.renewNow().catch(() => undefined); // logged and retried where it failed
    });
  };

  async #takeRoots(): Promise<void> {
    await this.#renewing?.catch(() => undefined); // logged and retried where it failed
    const rootsPem = await readFile(this.#options.rootCertFile, 'utf8');
    if (this.#current === undefined || this.#stopping.signal.aborted) return;
    const identity = withRoots(this.#current, rootsPem);
    if (identity.rootsPem === this.#current.rootsPem) return;
    this.#publish(identity);
    this.#followRoots(identity);
  }

  /**
   * Renews soon where the bundle asks for it. Its first root is the one that signs now, so a certificate of another one is
   * on its way out; and a root that the authority was not told of is one that it waits to hear is known here.
   */
  #followRoots(identity: WorkloadIdentity): void {
    const ids = rootIdsOf(identity.rootsPem);
    const last = readCertificates(identity.certChainPem).at(-1);
    const ownRoot = last?.ca && last.checkIssued(last) ? rootId(last) : ids[0];
    if (ids[0] === ownRoot && ids.every((id) => this.#toldRoots.has(id))) return;
    const delayMs = renewSoonMs(identity.notAfter.getTime() - Date.now());
    if (Date.now() + delayMs < (this.#renewsAt?.getTime() ?? Number.POSITIVE_INFINITY)) this.#schedule(delayMs);
  }

  async #renew(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const identity = await this.#request();
      // Citadel takes it for in use from here on; a slow disk must not make that untrue. The first one is there when it is told of.
      if (this.#current !== undefined) this.#publish(identity);
      await storeIdentity(this.#options.directory, identity);
      // Last, since a timer that ends while this is under way would only join it.
      this.#accept(identity);
    } catch (error) {
      this.#failures++;
      this.#lastError = (error as Error).message;
      const delayMs = retryAfterMs(this.#failures, (this.#current?.notAfter.getTime() ?? 0) - Date.now());
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
    const { tokenFile, rootCertFile, logger } = this.#options;
    const rootsPem = await readFile(rootCertFile, 'utf8');
    this.#putInForce(rootsPem);
    try {
      const token = (await readFile(tokenFile, 'utf8')).trim();
      return await this.#requestBy(rootsPem, { token });
    } catch (error) {
      const noToken =
        error instanceof NotAuthenticatedError ||
        ((error as NodeJS.ErrnoException).code === 'ENOENT' && (error as NodeJS.ErrnoException).path === tokenFile);
      const client = this.#current;
      if (!noToken || client === undefined || client.notAfter.getTime() <= Date.now()) throw error;
      logger?.info(
        { tokenFile, reason: (error as Error).message },
        'renewing by the present certificate, not by token',
      );
      return await this.#requestBy(rootsPem, { client });
    }
  }

  /** What Citadel is told to be known here must be in use when it hears of it. */
  #putInForce(rootsPem: string): void {
    const current = this.#current;
    if (current === undefined) return;
    const ids = new Set(rootIdsOf(current.rootsPem));
    if (rootIdsOf(rootsPem).every((id) => ids.has(id))) return;
    this.#publish({ ...current, rootsPem: mergeRoots(current.rootsPem, rootsPem) });
  }

  async #requestBy(
    rootsPem: string,
    proof: { readonly token?: string; readonly client?: WorkloadIdentity },
  ): Promise<WorkloadIdentity> {
    const { citadelAddress, trustDomain, dnsNames, requestedTtlSeconds } = this.#options;
    const { keyPem, csrPem } = await createKeyAndCsr({ dnsNames });
    const knownRoots = rootIdsOf(rootsPem);
    const chain = await requestCertificate({
      ...proof,
      address: citadelAddress,
      rootsPem,
      knownRoots,
      serverSpiffeId: formatSpiffeId({ trustDomain, namespace: 'istio-system', serviceAccount: 'citadel' }),
      csrPem,
      validitySeconds: requestedTtlSeconds ?? 0,
      signal: this.#stopping.signal,
    });
    const certChainPem = chain.join('');
    const identity = identityFromPem({ keyPem, certChainPem, rootsPem: rootsWith(rootsPem, certChainPem) });
    if (!identity.spiffeId.startsWith(`spiffe://${trustDomain}/`)) {
      throw new Error(`the certificate is for ${identity.spiffeId}, which is not in the trust domain ${trustDomain}`);
    }
    requireDnsNames(certChainPem, dnsNames);
    this.#toldRoots = new Set(knownRoots);
    return identity;
  }

  #accept(identity: WorkloadIdentity): void {
    this.#failures = 0;
    this.#renewals++;
    this.#lastError = undefined;
    // The life left counts, since the certificate is back-dated for peers whose clock is behind.
    this.#schedule(this.#renewAfterMs(identity.notAfter.getTime() - Date.now()));
    this.#options.logger?.info(
      { spiffeId: identity.spiffeId, serial: identity.serial, notAfter: identity.notAfter.toISOString() },
      'certificate received',
    );
    if (this.#current !== identity) this.#publish(identity);
  }

  #renewAfterMs(lifeMs: number): number {
    return renewAfterMs(lifeMs, this.#options.gracePeriodRatio ?? DEFAULT_GRACE_PERIOD_RATIO);
  }

  #publish(identity: WorkloadIdentity): void {
    this.#current = identity;
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
}
