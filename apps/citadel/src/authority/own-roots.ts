// Authority: roots of our own: made on first start, afterwards only ever read, or replaced by a rotation.

import { X509Certificate } from 'node:crypto';
import { rootId } from '@lateen/identity';
import { createRootCertificate, type SigningKeyType } from '@lateen/identity/authority';
import type { Logger, Rotation } from '@lateen/telemetry';
import { type Authority, type IssuingAuthority, issuingAuthority } from './authority.js';
import type { RootState } from './root-state.js';
import type { RootStore, StoredRoots } from './root-store.js';
import { hasExpired, type StoredRoot } from './stored-root.js';

export interface OwnRootsOptions {
  readonly store: RootStore;
  readonly trustDomain: string;
  readonly ttlSeconds: number;
  readonly keyType: SigningKeyType;
  readonly logger: Logger;
}

const EXPIRY_WARNING_DAYS = 30;

export class OwnRoots implements Authority {
  readonly #options: OwnRootsOptions;
  readonly #listeners = new Set<(authority: IssuingAuthority) => void>();
  readonly #roots = new Map<string, StoredRoot>();
  /** The step that was entered on opening, without the one before having been waited for. */
  skipped: Rotation | undefined;
  #state: RootState | undefined;
  #current: IssuingAuthority | undefined;

  private constructor(options: OwnRootsOptions) {
    this.#options = options;
  }

  /** Reads the roots, or makes the first one where nothing is there. @throws Error naming what cannot be used and what to do */
  static async open(options: OwnRootsOptions): Promise<OwnRoots> {
    const roots = new OwnRoots(options);
    await roots.#open();
    return roots;
  }

  get current(): IssuingAuthority {
    return this.#current as IssuingAuthority;
  }

  get state(): RootState {
    return this.#state as RootState;
  }

  subscribe(listener: (authority: IssuingAuthority) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes a root in memory. */
  async make(): Promise<StoredRoot> {
    const { trustDomain, ttlSeconds, keyType } = this.#options;
    const made = await createRootCertificate({ trustDomain, ttlSeconds, keyType });
    const certificate = new X509Certificate(made.certPem);
    return { id: rootId(certificate), certificate, certPem: certificate.toString(), keyPem: made.keyPem };
  }

  /** Stores a root that was made; nobody trusts it yet. */
  async add(root: StoredRoot): Promise<void> {
    await this.#options.store.add(root);
    this.#roots.set(root.id, root);
  }

  /** Decides: from here on a restart goes on with this state. Who issues and which bundle is served follow by `publish`. */
  async commit(state: RootState): Promise<void> {
    await this.#options.store.commit(state);
    this.#state = state;
  }

  /** Puts what was decided in force: the bundle, then the signatures. */
  async publish(): Promise<void> {
    const trusted = this.state.trusted.map((id) => this.#trustedRoot(id));
    const issuing = trusted[0] as StoredRoot;
    const bundlePem = trusted.map(({ certPem }) => certPem).join('');
    await this.#options.store.publish(bundlePem);
    const { keyPem, certPem } = issuing;
    this.#current = await issuingAuthority({ keyPem, certPem, chainPem: [certPem], bundlePem });
    for (const listener of [...this.#listeners]) listener(this.#current);
  }

  /** Removes what is left of a root that is trusted no more, or never was. */
  async erase(id: string): Promise<void> {
    if (this.state.trusted.includes(id)) throw new Error(`root ${id} is trusted and cannot be erased`);
    await this.#options.store.erase(id);
    this.#roots.delete(id);
  }

  /** Puts in force what another process has decided. */
  async follow(stored: StoredRoots): Promise<void> {
    const before = this.state;
    this.#take(stored);
    if (before.trusted.join() !== stored.state.trusted.join()) await this.publish();
  }

  #take({ state, roots }: StoredRoots): void {
    this.#state = state;
    this.#roots.clear();
    for (const [id, root] of roots) this.#roots.set(id, root);
  }

  #trustedRoot(id: string): StoredRoot {
    const root = this.#roots.get(id);
    if (root === undefined) throw new Error(`root ${id} is trusted and was not read`);
    return root;
  }

  async #open(): Promise<void> {
    const { store, logger } = this.#options;
    this.#take((await store.open()) ?? (await store.create(await this.make())));
    await this.#succeedExpired();
    await this.publish();
    const daysLeft = (this.current.rootNotAfter.getTime() - Date.now()) / 86_400_000;
    if (daysLeft < EXPIRY_WARNING_DAYS)
      logger.warn(
        { root: this.state.issuing, notAfter: this.current.rootNotAfter.toISOString() },
        'the root ends soon; replace it with `lateenctl ca rotate-root`',
      );
  }

  /**
   * Where the root that signs has ended in the middle of a rotation while no Citadel was there, the one that is being distributed signs from now on:
   * who does not know it by now has no certificate that is worth anything. @throws Error where there is no other
   */
  async #succeedExpired(): Promise<void> {
    const { state } = this;
    const { rotation, issuing } = state;
    const root = this.#trustedRoot(issuing);
    if (!hasExpired(root)) return;
    const next = rotation?.step === 'distribute' ? this.#roots.get(rotation.to) : undefined;
    if (rotation === undefined || next === undefined || hasExpired(next)) throw this.#options.store.expired(root);
    const { id: to } = next;
    this.#options.logger.warn(
      { from: issuing, to, notAfter: new Date(root.certificate.validTo).toISOString() },
      'the root has ended while it was being replaced; the new one signs from now on',
    );
    this.skipped = { ...rotation, step: 'issue', stepSince: new Date().toISOString() };
    await this.commit({ ...state, issuing: to, trusted: [to, issuing], rotation: this.skipped });
  }
}
