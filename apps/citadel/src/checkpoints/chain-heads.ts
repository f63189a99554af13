// Checkpoints: how far each chain of audit records had come when it was last signed, on disk before anybody gets an answer.

import { type FileHandle, open } from 'node:fs/promises';
import { writeFileAtomic } from '@lateen/identity';
import type { Checkpoint } from '@lateen/identity/checkpoints';
import { readIfThere } from '../authority/read-if-there.js';
import type { StateLease } from '../authority/state-lease.js';

export interface ChainHeadsOptions {
  /** A JSON line for each checkpoint; of each chain the last one counts. */
  readonly file: string;
  readonly lease: StateLease;
  readonly maxChains?: number;
  readonly maxChainsOfWorkload?: number;
}

/** Beyond these the chain that was signed longest ago is forgotten, if that is long enough ago. */
const MAX_CHAINS = 100_000;
const MAX_CHAINS_OF_WORKLOAD = 10_000;
const KEEP_MS = 30 * 24 * 3600 * 1000;
/** The file is written anew when it has so many lines for each chain, and so many in all. */
const LINES_FOR_EACH = 8;
const LEAST_LINES = 10_000;

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class ChainHeads {
  /** In the order of their last checkpoints. */
  readonly #heads = new Map<string, Checkpoint>();
  readonly #ofWorkload = new Map<string, number>();
  readonly #options: ChainHeadsOptions;
  #handle: FileHandle | undefined;
  #lines = 0;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(options: ChainHeadsOptions) {
    this.#options = options;
  }

  /** Reads what was signed before. @throws Error naming the file where it is damaged */
  static async open(options: ChainHeadsOptions): Promise<ChainHeads> {
    const heads = new ChainHeads(options);
    const lines = ((await readIfThere(options.file)) ?? '').split('\n');
    for (const [index, line] of lines.entries()) {
      if (line === '') continue;
      const head = parseHead(line);
      // Nobody got an answer for a line that a crash cut off.
      if (head === undefined && index === lines.length - 1) continue;
      if (head === undefined) throw new Error(`${options.file}:${index + 1} is damaged; restore it from a backup`);
      heads.#keep(head);
    }
    await heads.#rewrite();
    return heads;
  }

  get(chain: string): Checkpoint | undefined {
    return this.#heads.get(chain);
  }

  /** All of them, that of the longest ago first. */
  get all(): Checkpoint[] {
    return [...this.#heads.values()];
  }

  /** Whether a chain of this workload, that is not known yet, can be remembered; forgets an old one where that makes room. */
  makeRoom(workload: string, nowMs: number): boolean {
    const { maxChains = MAX_CHAINS, maxChainsOfWorkload = MAX_CHAINS_OF_WORKLOAD } = this.#options;
    const isFull = () => this.#heads.size >= maxChains || (this.#ofWorkload.get(workload) ?? 0) >= maxChainsOfWorkload;
    if (!isFull()) return true;
    for (const [chain, head] of this.#heads) {
      if (nowMs - Date.parse(head.time) < KEEP_MS) return false;
      if (this.#heads.size < maxChains && head.workload !== workload) continue;
      this.#heads.delete(chain);
      this.#count(head.workload, -1);
      if (!isFull()) return true;
    }
    return false;
  }

  /** Resolves when it is on the disk. */
  set(head: Checkpoint): Promise<void> {
    this.#keep(head);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line: `${JSON.stringify(head)}\n`, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #keep(head: Checkpoint): void {
    if (!this.#heads.delete(head.chain)) this.#count(head.workload, 1);
    this.#heads.set(head.chain, head);
  }

  #count(workload: string, change: number): void {
    const count = (this.#ofWorkload.get(workload) ?? 0) + change;
    if (count === 0) this.#ofWorkload.delete(workload);
    else this.#ofWorkload.set(workload, count);
  }

  /** Whoever comes while the disk is busy shares the next write. */
  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#append(batch.map(({ line }) => line));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error as Error);
      }
    }
    this.#writing = undefined;
  }

  async #append(lines: readonly string[]): Promise<void> {
    await this.#options.lease.check();
    if (this.#lines + lines.length > Math.max(LEAST_LINES, this.#heads.size * LINES_FOR_EACH)) return this.#rewrite();
    await this.#handle?.appendFile(lines.join(''));
    await this.#handle?.datasync();
    this.#lines += lines.length;
  }

  /** Writes the file anew, one line for each chain. */
  async #rewrite(): Promise<void> {
    const { file, lease } = this.#options;
    await lease.check();
    const heads = this.all;
    await writeFileAtomic(file, heads.map((head) => `${JSON.stringify(head)}\n`).join(''), { mode: 0o600 });
    const handle = await open(file, 'a');
    await this.#handle?.close();
    this.#handle = handle;
    this.#lines = heads.length;
  }
}

function parseHead(line: string): Checkpoint | undefined {
  try {
    const head = JSON.parse(line) as Checkpoint;
    return typeof head.chain === 'string' && Number.isSafeInteger(head.seq) ? head : undefined;
  } catch {
    return undefined;
  }
}
