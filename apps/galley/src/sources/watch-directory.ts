// Source: calls back, a little later and never twice at once, when something in a directory may have changed.

import { type FSWatcher, watch } from 'chokidar';

export interface WatchOptions {
  readonly directory: string;
  /** How many folders below the directory; all of them unless given. */
  readonly depth?: number;
  /** Reads what there is; called once at the start and again after changes. Must not reject. */
  readonly onChange: () => Promise<void>;
  readonly onError: (error: Error) => void;
}

export interface DirectoryWatch {
  /** Runs `onChange` now and resolves when it is done. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

// An editor writes a file in several steps; a checkout writes many files.
const QUIET_MS = 50;
// Events can be lost (a full queue, a network file system), so everything is looked at again from time to time.
const LOOK_AGAIN_MS = 10_000;

/** Starts watching and waits for the first `onChange`. */
export async function watchDirectory(options: WatchOptions): Promise<DirectoryWatch> {
  let running: Promise<void> | undefined;
  let again = false;
  let quiet: NodeJS.Timeout | undefined;
  const run = (): Promise<void> => {
    if (running !== undefined) {
      again = true;
      return running;
    }
    running = (async () => {
      do {
        again = false;
        await options.onChange();
      } while (again);
    })().finally(() => {
      running = undefined;
    });
    return running;
  };
  const soon = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => void run(), QUIET_MS);
  };
  const watcher: FSWatcher = watch(options.directory, { depth: options.depth, ignoreInitial: true });
  watcher.on('all', soon);
  watcher.on('error', (error) => options.onError(error as Error));
  await new Promise<void>((resolve) => watcher.once('ready', resolve));
  const timer = setInterval(soon, LOOK_AGAIN_MS);
  await run();
  return {
    refresh: run,
    close: async () => {
      clearInterval(timer);
      clearTimeout(quiet);
      await watcher.close();
      await running;
    },
  };
}
