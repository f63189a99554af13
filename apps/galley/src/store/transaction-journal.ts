// Store: several files change together or not at all, also when the process is killed at any moment.
//
// 1. The intent, with every new content in it, is written to journal.json by fsync and rename. From here on the change is
//    done: a restart completes it.
// 2. Each file is written (temporary, fsync, rename, fsync of its directory) or removed.
// 3. The journal is removed.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '@lateen/identity';

/** Paths are relative to the state directory. */
export interface FileChanges {
  readonly writes: readonly { readonly path: string; readonly content: string }[];
  readonly removes: readonly string[];
}

const JOURNAL = 'journal.json';

/**
 * The change is decided but not every file is written, so what is on the disk is neither old nor new. The process must
 * end; its next start completes the change.
 */
export class HalfAppliedError extends Error {
  constructor(cause: Error) {
    super(`a decided change could not be written completely: ${cause.message}`, { cause });
    this.name = 'HalfAppliedError';
  }
}

/**
 * Makes the changes durable, all together.
 * @throws HalfAppliedError when it failed after the decision; any other error means that nothing was changed
 */
export async function commitChanges(stateDir: string, changes: FileChanges): Promise<void> {
  await decide(stateDir, changes);
  try {
    await applyJournal(stateDir, changes);
  } catch (error) {
    throw new HalfAppliedError(error as Error);
  }
}

/** Writes the journal. Where that fails halfway, it must not be there at the next start, since nothing was changed. */
async function decide(stateDir: string, changes: FileChanges): Promise<void> {
  const file = join(stateDir, JOURNAL);
  try {
    await writeFileAtomic(file, encodeJournal(changes));
  } catch (error) {
    try {
      await rm(file, { force: true });
      await syncDirectory(stateDir);
    } catch {
      throw new HalfAppliedError(error as Error);
    }
    throw error;
  }
}

/**
 * Completes a change that a crash interrupted, and removes temporary files. Call before anything is read.
 * @returns whether there was one
 */
export async function recoverChanges(stateDir: string): Promise<boolean> {
  await removeTemporaryFiles(stateDir);
  const file = join(stateDir, JOURNAL);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await applyJournal(stateDir, decodeJournal(text, file));
  return true;
}

async function applyJournal(stateDir: string, { writes, removes }: FileChanges): Promise<void> {
  for (const { path, content } of writes) {
    const file = join(stateDir, path);
    await makeDirectory(dirname(file));
    await writeFileAtomic(file, content);
  }
  for (const path of removes) {
    const file = join(stateDir, path);
    await rm(file, { force: true });
    await syncDirectoryIfThere(dirname(file));
  }
  await unlink(join(stateDir, JOURNAL));
  await syncDirectory(stateDir);
}

/** Makes a directory and those above it, each one durable in its parent. */
async function makeDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = directory; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

async function syncDirectoryIfThere(directory: string): Promise<void> {
  try {
    await syncDirectory(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function encodeJournal(changes: FileChanges): string {
  const body = JSON.stringify(changes);
  return JSON.stringify({ sha256: createHash('sha256').update(body).digest('hex'), body });
}

function decodeJournal(text: string, file: string): FileChanges {
  try {
    const { sha256, body } = JSON.parse(text) as { sha256: string; body: string };
    if (createHash('sha256').update(body).digest('hex') !== sha256) throw new Error('its checksum does not fit');
    return JSON.parse(body) as FileChanges;
  } catch (error) {
    // It was complete before it got its name, so this is damage by something else.
    throw new Error(`${file} is damaged: ${(error as Error).message}; restore the state directory from a backup`, {
      cause: error,
    });
  }
}

const TEMPORARY = /^\..*\.tmp$/;

async function removeTemporaryFiles(stateDir: string): Promise<void> {
  for (const entry of await readdir(stateDir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && TEMPORARY.test(entry.name)) await unlink(join(entry.parentPath, entry.name));
  }
}
