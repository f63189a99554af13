// Authority: roots in a state directory: `authority.json` decides, `roots/` has keys and certificates, `root-cert.pem` is for everybody.

import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import { readIfThere } from './read-if-there.js';
import { RootFiles } from './root-files.js';
import { type RootState, readRootState } from './root-state.js';
import type { RootStore, StoredRoots } from './root-store.js';
import type { StateLease } from './state-lease.js';
import type { StoredRoot } from './stored-root.js';

export const ROOT_FILE = {
  state: 'authority.json',
  /** The trusted roots, for everybody; made anew from the others. */
  bundle: 'root-cert.pem',
  /** Where the root was kept before there was more than one. */
  formerKey: 'ca-key.pem',
  /** Exists only while the first start writes the others: what it finds then was never used and may be replaced. */
  firstStart: 'first-start-in-progress',
} as const;

export interface DirectoryRootStoreOptions {
  readonly stateDir: string;
  readonly passphrase: string | undefined;
  readonly lease: StateLease;
  readonly logger: Logger;
}

export class DirectoryRootStore implements RootStore {
  readonly #options: DirectoryRootStoreOptions;
  readonly #files: RootFiles;

  constructor(options: DirectoryRootStoreOptions) {
    this.#options = options;
    this.#files = new RootFiles(options.stateDir, options.passphrase, options.logger);
  }

  async open(): Promise<StoredRoots | undefined> {
    await this.#clearFirstStart();
    const file = this.#path('state');
    if (!(await exists(file))) {
      if (!(await exists(this.#path('formerKey')))) await this.#refuseOrphans(file);
      if (!(await this.#takeFormerRoot())) return undefined;
    }
    const stored = await this.#read();
    await this.#removeFormerKey();
    return stored;
  }

  async create(root: StoredRoot): Promise<StoredRoots> {
    const { stateDir, logger } = this.#options;
    const marker = this.#path('firstStart');
    await writeFileAtomic(marker, '', { mode: 0o600 });
    await this.add(root);
    await this.commit({ format: 1, issuing: root.id, trusted: [root.id] });
    await rm(marker);
    await syncDirectory(stateDir);
    logger.info({ root: root.id, certFile: this.#path('bundle') }, 'made a new root');
    return this.#read();
  }

  async add(root: StoredRoot): Promise<void> {
    await this.#options.lease.check();
    await this.#files.store(root);
  }

  async commit(state: RootState): Promise<void> {
    await this.#options.lease.check();
    await writeFileAtomic(this.#path('state'), `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  }

  async publish(bundlePem: string): Promise<void> {
    const file = this.#path('bundle');
    if ((await readIfThere(file)) === bundlePem) return;
    await this.#options.lease.check();
    await writeFileAtomic(file, bundlePem, { mode: 0o644 });
  }

  async erase(id: string): Promise<void> {
    await this.#options.lease.check();
    await this.#files.erase(id);
  }

  expired(root: StoredRoot): Error {
    return new Error(
      `${this.#files.certFile(root.id)} has expired on ${new Date(root.certificate.validTo).toISOString()}, and so has every certificate of it; ` +
        'remove the whole state directory to start with a new root (every workload must then get the new root and a new certificate)',
    );
  }

  #path(name: keyof typeof ROOT_FILE): string {
    return join(this.#options.stateDir, ROOT_FILE[name]);
  }

  async #read(): Promise<StoredRoots> {
    const state = await readRootState(this.#path('state'));
    const roots = new Map<string, StoredRoot>();
    for (const id of state.trusted) roots.set(id, await this.#files.read(id));
    return { state, roots };
  }

  async #clearFirstStart(): Promise<void> {
    const { stateDir, lease, logger } = this.#options;
    if (!(await exists(this.#path('firstStart')))) return;
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

  /** Takes over the root of a state directory as it was before rotations. */
  async #takeFormerRoot(): Promise<boolean> {
    const [keyFile, certFile] = [this.#path('formerKey'), this.#path('bundle')];
    if (!(await exists(keyFile)) && !(await exists(certFile))) return false;
    const root = await this.#files.readPair(keyFile, certFile);
    await this.add(root);
    await this.commit({ format: 1, issuing: root.id, trusted: [root.id] });
    this.#options.logger.info({ root: root.id }, 'took over the root of an earlier version');
    return true;
  }

  async #removeFormerKey(): Promise<void> {
    const file = this.#path('formerKey');
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
