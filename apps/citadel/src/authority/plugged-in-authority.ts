// Authority: an intermediate from files of somebody else's, read again when they change; what is wrong keeps the last good.

import { type PluggedInAuthority as Material, type PluggedInFiles, readPluggedIn } from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';
import { type Authority, type IssuingAuthority, issuingAuthority } from './authority.js';

/** Where an intermediate is read from: a directory (ca-directory.ts), or a Secret of a cluster (../cluster/ca-secret.ts). */
export interface PluggedInSource {
  /** What people call it. */
  readonly name: string;
  /** Another one each time that something has changed. */
  stamp(): Promise<string>;
  /** @throws Error naming what is missing */
  read(): Promise<PluggedInFiles>;
  /** Puts the bundle where local readers find it. */
  publish(bundlePem: string): Promise<void>;
}

export interface PluggedInOptions {
  readonly source: PluggedInSource;
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

  /** Reads the files and begins to follow them. @throws Error naming their place and what is wrong, file by file */
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
    const { source, logger } = this.#options;
    const stamp = await source.stamp();
    if (stamp === this.#stamp) return;
    const material = await this.#read();
    if ((await source.stamp()) !== stamp) return; // changed while it was read; the next look takes it
    await source.publish(material.bundlePem);
    this.#current = await issuingAuthority(material);
    this.#stamp = stamp;
    this.problem = undefined;
    logger.info(
      { from: source.name, roots: this.#current.rootIds, notAfter: material.notAfter },
      'signing with a plugged-in CA',
    );
    for (const listener of [...this.#listeners]) listener(this.#current);
  }

  async #read(): Promise<Material> {
    const { source, trustDomain, passphrase } = this.#options;
    try {
      return await readPluggedIn(await source.read(), { trustDomain, passphrase });
    } catch (error) {
      throw new Error(`the CA in ${source.name} cannot be used: ${(error as Error).message}`, { cause: error });
    }
  }
}
