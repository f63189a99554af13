// Authority: an intermediate from files of somebody else's, read again when they change; what is wrong keeps the last good.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@lateen/identity';
import {
  type PluggedInAuthority as Material,
  PLUGGED_IN_FILE,
  type PluggedInFiles,
  readPluggedIn,
} from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';
import { type Authority, type IssuingAuthority, issuingAuthority } from './authority.js';
import { ROOT_FILE } from './directory-root-store.js';
import { readIfThere } from './read-if-there.js';

export interface PluggedInOptions {
  /** Where the four files are. */
  readonly directory: string;
  /** Gets the bundle. */
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly passphrase: string | undefined;
  readonly logger: Logger;
  readonly lookAgainMs?: number;
}

const LOOK_AGAIN_MS = 1_000;

export class PluggedInAuthority implements Authority {
  readonly #options: PluggedInOptions;
  readonly #listeners = new Set<(authority: IssuingAuthority) => void>();
  #current: IssuingAuthority | undefined;
  #stamp = '';
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** What is wrong with the files as they are now; undefined where they are in use. */
  problem: string | undefined;

  private constructor(options: PluggedInOptions) {
    this.#options = options;
  }

  /** Reads the files and begins to follow them. @throws Error naming the directory and what is wrong, file by file */
  static async open(options: PluggedInOptions): Promise<PluggedInAuthority> {
    const authority = new PluggedInAuthority(options);
    await authority.#load();
    const look = () => {
      authority.#looking = authority.#look();
    };
    authority.#timer = setInterval(look, options.lookAgainMs ?? LOOK_AGAIN_MS);
    return authority;
  }

  get current(): IssuingAuthority {
    return this.#current as IssuingAuthority;
  }

  subscribe(listener: (authority: IssuingAuthority) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      const problem = (error as Error).message;
      // Files that are replaced one after the other do not fit for a moment.
      if (problem !== this.problem) this.#options.logger.warn({ problem }, 'changed CA files are not used');
      this.problem = problem;
    }
  }

  async #load(): Promise<void> {
    const { directory, stateDir, trustDomain, passphrase, logger } = this.#options;
    const stamp = await this.#stampOf(directory);
    if (stamp === this.#stamp) return;
    const material = await this.#read(directory, trustDomain, passphrase);
    if ((await this.#stampOf(directory)) !== stamp) return; // changed while it was read; the next look takes it
    const bundleFile = join(stateDir, ROOT_FILE.bundle);
    if ((await readIfThere(bundleFile)) !== material.bundlePem)
      await writeFileAtomic(bundleFile, material.bundlePem, { mode: 0o644 });
    this.#current = await issuingAuthority(material);
    this.#stamp = stamp;
    this.problem = undefined;
    logger.info(
      { directory, roots: this.#current.rootIds, notAfter: material.notAfter },
      'signing with the CA of files',
    );
    for (const listener of [...this.#listeners]) listener(this.#current);
  }

  async #read(directory: string, trustDomain: string, passphrase: string | undefined): Promise<Material> {
    try {
      const entries = await Promise.all(
        Object.entries(PLUGGED_IN_FILE).map(async ([key, name]) => [key, await this.#text(directory, name)]),
      );
      return await readPluggedIn(Object.fromEntries(entries) as PluggedInFiles, { trustDomain, passphrase });
    } catch (error) {
      throw new Error(`the CA in ${directory} cannot be used: ${(error as Error).message}`, { cause: error });
    }
  }

  async #text(directory: string, name: string): Promise<string> {
    const text = await readIfThere(join(directory, name));
    if (text !== undefined) return text;
    if (name === PLUGGED_IN_FILE.certChain) return ''; // a root may have signed the intermediate itself
    throw new Error(`${name} is missing`);
  }

  /** Changes when one of the files does; links are followed, as mounted Secrets are swapped by one. */
  async #stampOf(directory: string): Promise<string> {
    const stamps = Object.values(PLUGGED_IN_FILE).map(async (name) => {
      try {
        const { mtimeMs, size, ino } = await stat(join(directory, name));
        return `${mtimeMs}/${size}/${ino}`;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '-';
        throw error;
      }
    });
    return (await Promise.all(stamps)).join(' ');
  }
}
