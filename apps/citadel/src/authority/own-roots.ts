// Authority: roots of our own: made on first start, afterwards only ever read, or replaced by a rotation.

import { X509Certificate } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { rootId, syncDirectory, writeFileAtomic } from '@lateen/identity';
import { createRootCertificate, type SigningKeyType } from '@lateen/identity/authority';
import type { Logger, Rotation } from '@lateen/telemetry';
import { type Authority, type IssuingAuthority, issuingAuthority } from './authority.js';
import { readIfThere } from './read-if-there.js';
import { hasExpired, RootFiles, type StoredRoot } from './root-files.js';
import { type RootState, readRootState } from './root-state.js';
import type { StateLease } from './state-lease.js';

export const ROOT_FILE = {
  state: 'authority.json',
  /** The trusted roots, for everybody; made anew from the others. */
  bundle: 'root-cert.pem',
  /** Where the root was kept before there was more than one. */
  formerKey: 'ca-key.pem',
  /** Exists only while the first start writes the others: what it finds then was never used and may be replaced. */
  firstStart: 'first-start-in-progress',
} as const;

export interface OwnRootsOptions {
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly ttlSeconds: number;
  readonly keyType: SigningKeyType;
  readonly passphrase: string | undefined;
  readonly lease: StateLease;
  readonly logger: Logger;
}

const EXPIRY_WARNING_DAYS = 30;

export class OwnRoots implements Authority {
  readonly files: RootFiles;
  readonly #options: OwnRootsOptions;
  readonly #listeners = new Set<(authority: IssuingAuthority) => void>();
  readonly #roots = new Map<string, StoredRoot>();
  /** The step that was entered on opening, without the one before having been waited for. */
  skipped: Rotation | undefined;
  #state: RootState | undefined;
  #current: IssuingAuthority | undefined;

  private constructor(options: OwnRootsOptions) {
    this.#options = options;
    this.files = new RootFiles(options.stateDir, options.passphrase, options.logger);
  }

  /** Reads the roots, or makes the first one where nothing is there. @throws Error naming the file and what to do */
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

  /** A root that is trusted, or that a rotation has made. */
  root(id: string): StoredRoot | undefined {
    return this.#roots.get(id);
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

  /** Writes a root that was made; nobody trusts it yet. */
  async add(root: StoredRoot): Promise<void> {
    await this.#options.lease.check();
    await this.files.store(root);
    this.#roots.set(root.id, root);
  }

  /** Decides: from here on a restart goes on with this state. Who issues and which bundle is served follow by `publish`. */
  async commit(state: RootState): Promise<void> {
    const { lease, stateDir } = this.#options;
    await lease.check();
    await writeFileAtomic(join(stateDir, ROOT_FILE.state), `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
    this.#state = state;
  }

  /** Puts what was decided in force: the bundle's file, then the signatures. */
  async publish(): Promise<void> {
    const { lease, stateDir } = this.#options;
    const trusted = this.state.trusted.map((id) => this.#trustedRoot(id));
    const issuing = trusted[0] as StoredRoot;
    const bundlePem = trusted.map(({ certPem }) => certPem).join('');
    const file = join(stateDir, ROOT_FILE.bundle);
    if ((await readIfThere(file)) !== bundlePem) {
      await lease.check();
      await writeFileAtomic(file, bundlePem, { mode: 0o644 });
    }
    const { keyPem, certPem } = issuing;
    this.#current = await issuingAuthority({ keyPem, certPem, chainPem: [certPem], bundlePem });
    for (const listener of [...this.#listeners]) listener(this.#current);
  }

  /** Removes what is left of a root that is trusted no more, or never was. */
  async erase(id: string): Promise<void> {
    if (this.state.trusted.includes(id)) throw new Error(`root ${id} is trusted and cannot be erased`);
    await this.#options.lease.check();
    await this.files.erase(id);
    this.#roots.delete(id);
  }

  #trustedRoot(id: string): StoredRoot {
    const root = this.#roots.get(id);
    if (root === undefined) throw new Error(`root ${id} is trusted and was not read`);
    return root;
  }

  async #open(): Promise<void> {
    const { stateDir, logger } = this.#options;
    await this.#clearFirstStart();
    const file = join(stateDir, ROOT_FILE.state);
    if (!(await exists(file))) {
      if (!(await exists(join(stateDir, ROOT_FILE.formerKey)))) await this.#refuseOrphans(file);
      if (!(await this.#takeFormerRoot())) await this.#makeFirst();
    }
    this.#state = await readRootState(file);
    for (const id of this.#state.trusted) this.#roots.set(id, await this.files.read(id));
    await this.#succeedExpired();
    await this.#removeFormerKey();
    await this.publish();
    const daysLeft = (this.current.rootNotAfter.getTime() - Date.now()) / 86_400_000;
    if (daysLeft < EXPIRY_WARNING_DAYS)
      logger.warn(
        { root: this.#state.issuing, notAfter: this.current.rootNotAfter.toISOString() },
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
    if (rotation === undefined || next === undefined || hasExpired(next)) throw this.files.expired(root);
    const { id: to } = next;
    this.#options.logger.warn(
      { from: issuing, to, notAfter: new Date(root.certificate.validTo).toISOString() },
      'the root has ended while it was being replaced; the new one signs from now on',
    );
    this.skipped = { ...rotation, step: 'issue', stepSince: new Date().toISOString() };
    await this.commit({ ...state, issuing: to, trusted: [to, issuing], rotation: this.skipped });
  }

  async #clearFirstStart(): Promise<void> {
    const { stateDir, lease, logger } = this.#options;
    if (!(await exists(join(stateDir, ROOT_FILE.firstStart)))) return;
    logger.warn({ stateDir }, 'the first start was interrupted; making the root again');
    await lease.check();
    for (const name of [ROOT_FILE.state, ROOT_FILE.bundle, ROOT_FILE.formerKey, 'roots'])
      await rm(join(stateDir, name), { recursive: true, force: true });
    await syncDirectory(stateDir);
  }

  /** Without the file that names them, nobody knows which of the roots are trusted; a new one would hide the loss. */
  async #refuseOrphans(file: string): Promise<void> {
    const left = await readdir(join(this.#options.stateDir, 'roots')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    if (left.length === 0) return;
    throw new Error(`${file} is missing while there are roots (${left.join(', ')}); restore it from a backup`);
  }

  async #makeFirst(): Promise<void> {
    const { stateDir, logger } = this.#options;
    const marker = join(stateDir, ROOT_FILE.firstStart);
    await writeFileAtomic(marker, '', { mode: 0o600 });
    const root = await this.make();
    await this.add(root);
    await this.commit({ format: 1, issuing: root.id, trusted: [root.id] });
    await rm(marker);
    await syncDirectory(stateDir);
    logger.info({ root: root.id, certFile: join(stateDir, ROOT_FILE.bundle) }, 'made a new root');
  }

  /** Takes over the root of a state directory as it was before rotations. */
  async #takeFormerRoot(): Promise<boolean> {
    const { stateDir, logger } = this.#options;
    const [keyFile, certFile] = [join(stateDir, ROOT_FILE.formerKey), join(stateDir, ROOT_FILE.bundle)];
    if (!(await exists(keyFile)) && !(await exists(certFile))) return false;
    const root = await this.files.readPair(keyFile, certFile);
    await this.add(root);
    await this.commit({ format: 1, issuing: root.id, trusted: [root.id] });
    logger.info({ root: root.id }, 'took over the root of an earlier version');
    return true;
  }

  async #removeFormerKey(): Promise<void> {
    const file = join(this.#options.stateDir, ROOT_FILE.formerKey);
    if (!(await exists(file))) return;
    await rm(file);
    await syncDirectory(this.#options.stateDir);
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
