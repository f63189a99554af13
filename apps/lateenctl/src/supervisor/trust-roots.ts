// Supervisor: puts Citadel's public root into the directory of every process, and again when it changes.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IDENTITY_FILE, writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';

const WAIT_POLL_MS = 20;
const WATCH_EVERY_MS = 1000;
const PUBLIC_FILE_MODE = 0o644;

/** Name of the copy, in the directory of a pod or component. */
export const ROOT_CERT_FILE = IDENTITY_FILE.roots;

export class TrustRoots {
  readonly #sourceFile: string;
  readonly #logger: Logger;
  readonly #targets = new Set<string>();
  #pem: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param citadelStateDir where Citadel writes `root-cert.pem` */
  constructor(citadelStateDir: string, logger: Logger) {
    this.#sourceFile = join(citadelStateDir, ROOT_CERT_FILE);
    this.#logger = logger;
  }

  /** Resolves when Citadel has made its root. */
  async ready(): Promise<void> {
    while (!(await this.#load())) await new Promise((wake) => setTimeout(wake, WAIT_POLL_MS));
    this.#timer ??= setInterval(() => void this.#refresh(), WATCH_EVERY_MS);
  }

  /** Copies the root to a directory and keeps the copy current. Call after `ready`. */
  async copyTo(directory: string): Promise<string> {
    if (this.#pem === undefined) throw new Error('the root certificate is not there yet');
    const target = join(directory, ROOT_CERT_FILE);
    await writeFileAtomic(target, this.#pem, { mode: PUBLIC_FILE_MODE });
    this.#targets.add(target);
    return target;
  }

  forget(directory: string): void {
    this.#targets.delete(join(directory, ROOT_CERT_FILE));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** True once there is a root; a changed one is remembered. */
  async #load(): Promise<boolean> {
    try {
      this.#pem = await readFile(this.#sourceFile, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    return this.#pem !== undefined;
  }

  async #refresh(): Promise<void> {
    const before = this.#pem;
    try {
      await this.#load();
      if (this.#pem === before || this.#pem === undefined) return;
      for (const target of this.#targets) await writeFileAtomic(target, this.#pem, { mode: PUBLIC_FILE_MODE });
    } catch (error) {
      this.#logger.error({ error }, 'the changed root certificate could not be copied to every process');
    }
  }
}
