// Bug report: the archive, a .tar.gz that only its owner may read.

import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { ReportEntry } from './report.js';

const FOLDER = 'bug-report';

/** @throws Error where the file is there already, or cannot be written */
export async function writeArchive(file: string, entries: readonly ReportEntry[], made: Date): Promise<void> {
  // Loaded when it is needed: no other command has archives.
  const { pack } = await import('tar-stream');
  const archive = pack();
  const written = pipeline(archive, createGzip(), createWriteStream(file, { mode: 0o600, flags: 'wx' }));
  for (const { path, text } of entries) {
    archive.entry({ name: `${FOLDER}/${path}`, mode: 0o600, mtime: made }, text);
  }
  archive.finalize();
  await written;
}
