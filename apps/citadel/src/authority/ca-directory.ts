// Authority: the four files of somebody else's intermediate in a directory; the bundle goes to the state directory.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@lateen/identity';
import { PLUGGED_IN_FILE, type PluggedInFiles } from '@lateen/identity/authority';
import { ROOT_FILE } from './directory-root-store.js';
import type { PluggedInSource } from './plugged-in-authority.js';
import { readIfThere } from './read-if-there.js';

export class CaDirectory implements PluggedInSource {
  constructor(
    readonly name: string,
    private readonly stateDir: string,
  ) {}

  /** Links are followed, as mounted Secrets are swapped by one. */
  async stamp(): Promise<string> {
    const stamps = Object.values(PLUGGED_IN_FILE).map(async (file) => {
      try {
        const { mtimeMs, size, ino } = await stat(join(this.name, file));
        return `${mtimeMs}/${size}/${ino}`;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '-';
        throw error;
      }
    });
    return (await Promise.all(stamps)).join(' ');
  }

  async read(): Promise<PluggedInFiles> {
    const entries = await Promise.all(
      Object.entries(PLUGGED_IN_FILE).map(async ([key, file]) => [key, await this.#text(file)]),
    );
    return Object.fromEntries(entries) as PluggedInFiles;
  }

  async publish(bundlePem: string): Promise<void> {
    const file = join(this.stateDir, ROOT_FILE.bundle);
    if ((await readIfThere(file)) !== bundlePem) await writeFileAtomic(file, bundlePem, { mode: 0o644 });
  }

  async #text(file: string): Promise<string> {
    const text = await readIfThere(join(this.name, file));
    if (text !== undefined) return text;
    if (file === PLUGGED_IN_FILE.certChain) return ''; // a root may have signed the intermediate itself
    throw new Error(`${file} is missing`);
  }
}
