// Audit: one JSON line for each certificate that was issued or refused, on the disk before the client gets its answer.

import { type FileHandle, open, rename, stat } from 'node:fs/promises';

/** What an audit line says. */
export type AuditEntry =
  | {
      readonly event: 'issued';
      readonly identity: string;
      readonly serial: string;
      readonly notBefore: string;
      readonly notAfter: string;
      readonly peer: string;
      readonly pod: string | undefined;
    }
  | {
      readonly event: 'refused';
      readonly identity: string | undefined;
      readonly reason: string;
      readonly code: string;
      readonly peer: string;
      readonly pod: string | undefined;
    };

export interface AuditLog {
  /** Resolves when the line is written. Lines keep the order of the calls. */
  write(entry: AuditEntry): Promise<void>;
  /** The last lines, oldest first, for the admin API. */
  readonly recent: readonly (AuditEntry & { readonly time: string })[];
  close(): Promise<void>;
}

const RECENT_ENTRIES = 256;
const ROTATE_ABOVE_BYTES = 64 * 1024 * 1024;

/** Opens the log for appending (0600). Above 64 MiB it is renamed to `FILE.1`, replacing the one before. */
export async function openAuditLog(file: string, rotateAboveBytes = ROTATE_ABOVE_BYTES): Promise<AuditLog> {
  let handle: FileHandle = await open(file, 'a', 0o600);
  let bytes = (await stat(file)).size;
  let last: Promise<void> = Promise.resolve();
  const recent: (AuditEntry & { time: string })[] = [];

  async function append(line: string): Promise<void> {
    if (bytes > rotateAboveBytes) {
      await handle.sync();
      await handle.close();
      await rename(file, `${file}.1`);
      handle = await open(file, 'a', 0o600);
      bytes = 0;
    }
    await handle.appendFile(line);
    bytes += Buffer.byteLength(line);
  }

  return {
    recent,
    write: (entry) => {
      const stamped = { time: new Date().toISOString(), ...entry };
      recent.push(stamped);
      if (recent.length > RECENT_ENTRIES) recent.shift();
      const written = last.then(() => append(`${JSON.stringify(stamped)}\n`));
      last = written.catch(() => undefined); // the caller of this write hears of it; the next one tries again
      return written;
    },
    close: async () => {
      await last;
      await handle.sync();
      await handle.close();
    },
  };
}
