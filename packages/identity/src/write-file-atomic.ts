// Durability: a file is either the old one or the new one, also after a power cut.

import { randomBytes } from 'node:crypto';
import { open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface WriteFileOptions {
  /** Permission bits of the new file; 0o600 unless given. The process's umask does not apply. */
  readonly mode?: number;
}

/**
 * Writes a file so that readers and a crash see either the old content or the new: temporary file in the same directory,
 * fsync, rename, fsync of the directory. Resolves when the change is durable.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: WriteFileOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeFileDurable(temporary, content, options);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch((reason: NodeJS.ErrnoException) => {
      if (reason.code !== 'ENOENT') throw reason;
    });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Writes a new file and fsyncs it; the file must not exist. The directory entry is not yet durable. */
export async function writeFileDurable(
  path: string,
  content: string | Uint8Array,
  options: WriteFileOptions = {},
): Promise<void> {
  const mode = options.mode ?? 0o600;
  const file = await open(path, 'wx', mode);
  try {
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes renames and removals in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
