// Host files: calls back when files may have another content: replaced by a rename, by a swapped symbolic link, or rewritten.

import { type FSWatcher, realpathSync, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';

export interface FileWatchOptions {
  readonly files: readonly string[];
  /** Watched besides the directories of the files, as `watched_directory`. */
  readonly directory?: string | undefined;
  /** Called after a change, when nothing has changed for a moment. */
  readonly onChange: () => void;
}

/** A plain rewrite takes several steps, and a swapped link several events. */
const QUIET_MS = 50;
/** Events can be lost (a full queue, a network file system), so files are looked at again from time to time. */
const LOOK_AGAIN_MS = 5_000;

/** Follows files by watching the directories that they are in, which also notices files that are replaced. */
export class FileWatch {
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #lookAgain: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;
  #seen: string;

  constructor(private readonly options: FileWatchOptions) {
    this.#watchDirectories();
    this.#seen = this.#fingerprint();
    this.#lookAgain = setInterval(() => this.#look(), LOOK_AGAIN_MS);
    this.#lookAgain.unref();
  }

  close(): void {
    clearInterval(this.#lookAgain);
    clearTimeout(this.#quiet);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #soon(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#look(), QUIET_MS);
  }

  #look(): void {
    this.#watchDirectories();
    const now = this.#fingerprint();
    if (now === this.#seen) return;
    this.#seen = now;
    this.options.onChange();
  }

  /** Also the directories that symbolic links lead to now: their content may be rewritten in place. */
  #watchDirectories(): void {
    const wanted = new Set<string>(this.options.directory === undefined ? [] : [this.options.directory]);
    for (const file of this.options.files) {
      wanted.add(dirname(file));
      try {
        wanted.add(dirname(realpathSync(file)));
      } catch {
        // Not there at this moment; its directory tells when it is.
      }
    }
    for (const [directory, watcher] of this.#watchers) {
      if (wanted.has(directory)) continue;
      watcher.close();
      this.#watchers.delete(directory);
    }
    for (const directory of wanted) if (!this.#watchers.has(directory)) this.#watchDirectory(directory);
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#soon());
      // A directory that is removed ends its watch; it is looked for again from time to time.
      const forget = () => {
        watcher.close();
        if (this.#watchers.get(directory) === watcher) this.#watchers.delete(directory);
      };
      watcher.on('error', forget);
      this.#watchers.set(directory, watcher);
    } catch {
      // No such directory now, or no more watches on this system: looking again from time to time remains.
    }
  }

  #fingerprint(): string {
    return this.options.files.map(fingerprintOf).join('\n');
  }
}

/** Whatever is wrong with the path is a state of the file like any other: reading it says what. */
function fingerprintOf(file: string): string {
  try {
    const stat = statSync(file, { bigint: true });
    return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}
