// Processes: the log file that a child writes to directly; the supervisor only keeps it from growing without end.

import { closeSync, copyFileSync, openSync, statSync, truncateSync } from 'node:fs';
import { PRIVATE_FILE_MODE } from '../../state/private-directory.js';

export const MAX_LOG_BYTES = 32 * 1024 * 1024;

/** Opens a log for appending and gives its descriptor to `use` for as long as that runs (a spawn dups it). */
export function withLogFile<T>(path: string, use: (descriptor: number) => T): T {
  const descriptor = openSync(path, 'a', PRIVATE_FILE_MODE);
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Where the log is too long, keeps its content as `PATH.1` and empties it. The child appends (O_APPEND), so it goes on at
 * the new end; lines written between the copy and the cut are lost.
 */
export function rotateLog(path: string, maxBytes = MAX_LOG_BYTES): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= maxBytes) return false;
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
  return true;
}
