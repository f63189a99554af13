// Audit: one JSON line for each certificate that was issued or refused and each step of a rotation, durable before anybody
// gets an answer. It is also the journal from which a restarted Citadel knows who holds which certificate.

import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { syncDirectory } from '@lateen/identity';
import { createRateLimits } from './rate-limits.js';

export interface IssuedEntry {
  readonly event: 'issued';
  readonly requestId: string;
  readonly identity: string;
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly peer: string;
  readonly pod: string | undefined;
  /** Uid of the pod, where its token is bound to it and the attestor tells. */
  readonly podUid?: string | undefined;
  /** Serial number of the certificate by which the identity was proved, where it was by one. */
  readonly renews: string | undefined;
  /** How the identity was proved: the attestor's name. */
  readonly attestor: string;
  /** Id of the root that the chain leads to. */
  readonly root: string;
  /** Ids of the roots that the holder said to trust; undefined where it did not say. */
  readonly knownRoots: readonly string[] | undefined;
  /** DNS names beside the identity, where there are any. */
  readonly dnsNames?: readonly string[] | undefined;
}

export interface RefusedEntry {
  readonly event: 'refused';
  readonly requestId: string;
  readonly identity: string | undefined;
  readonly reason: string;
  readonly code: string;
  readonly peer: string;
  readonly pod: string | undefined;
  /** Uid of the pod, where its token is bound to it and the attestor tells. */
  readonly podUid?: string | undefined;
  /** How many refusals of strangers before this one were not written, so that nobody can flood the journal. */
  readonly unwritten?: number;
}

export interface RotationEntry {
  readonly event: 'rotation';
  readonly step: string;
  readonly from: string;
  readonly to: string;
  readonly requestedBy: string;
  readonly graceSeconds: number;
}

/** What an audit line says. */
export type AuditEntry = IssuedEntry | RefusedEntry | RotationEntry;

export interface AuditLog {
  /** Resolves when the line is on the disk. Lines keep the order of the calls. */
  write(entry: AuditEntry): Promise<void>;
  /** The last lines, oldest first, for the admin API. */
  readonly recent: readonly (AuditEntry & { readonly time: string })[];
  close(): Promise<void>;
}

const RECENT_ENTRIES = 256;
const ROTATE_ABOVE_BYTES = 64 * 1024 * 1024;
const STRANGERS = { perSecond: 20, burst: 200 };

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A journal without a file: only the last lines are kept, for the admin API; the log has them all. */
export function openMemoryJournal(): AuditLog {
  const recent: (AuditEntry & { time: string })[] = [];
  return {
    recent,
    write: async (entry) => {
      remember(recent, { time: new Date().toISOString(), ...entry });
    },
    close: async () => undefined,
  };
}

function remember(recent: (AuditEntry & { time: string })[], entry: AuditEntry & { time: string }): void {
  recent.push(entry);
  if (recent.length > RECENT_ENTRIES) recent.shift();
}

/** Opens the log for appending (0600). Above 64 MiB it is renamed to `FILE.1`, replacing the one before. */
export async function openAuditLog(file: string, rotateAboveBytes = ROTATE_ABOVE_BYTES): Promise<AuditLog> {
  let { handle, bytes } = await openForAppending(file);
  const waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;
  const recent: (AuditEntry & { time: string })[] = [];
  const strangers = createRateLimits({ identity: STRANGERS, total: STRANGERS });
  let unwritten = 0;

  async function append(lines: string): Promise<void> {
    if (bytes > rotateAboveBytes) {
      await handle.close();
      await rename(file, `${file}.1`);
      ({ handle, bytes } = await openForAppending(file));
      await syncDirectory(dirname(file));
    }
    await handle.appendFile(lines);
    await handle.datasync();
    bytes += Buffer.byteLength(lines);
  }

  /** Whoever comes while the disk is busy shares the next write. */
  async function writeWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0);
      try {
        await append(batch.map(({ line }) => line).join(''));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error as Error);
      }
    }
    writing = undefined;
  }

  return {
    recent,
    write: (entry) => {
      let stamped: AuditEntry & { time: string } = { time: new Date().toISOString(), ...entry };
      if (entry.event === 'refused' && entry.identity === undefined) {
        if (strangers.take('') !== 'ok') {
          unwritten++;
          return Promise.resolve();
        }
        if (unwritten > 0) stamped = { ...stamped, unwritten } as typeof stamped;
        unwritten = 0;
      }
      remember(recent, stamped);
      return new Promise((resolve, reject) => {
        waiting.push({ line: `${JSON.stringify(stamped)}\n`, resolve, reject });
        writing ??= writeWaiting();
      });
    },
    close: async () => {
      await writing;
      await handle.close();
    },
  };
}

/** Every certificate in the log, and in the one before, that has not ended. Damaged lines are passed over. */
export async function* issuedCertificates(file: string, nowMs = Date.now()): AsyncGenerator<IssuedEntry> {
  for (const name of [`${file}.1`, file]) {
    for await (const line of linesOf(name)) {
      const entry = parseLine(line);
      if (entry?.event === 'issued' && Date.parse(entry.notAfter) > nowMs) yield entry;
    }
  }
}

async function* linesOf(file: string): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function parseLine(line: string): AuditEntry | undefined {
  try {
    return JSON.parse(line) as AuditEntry;
  } catch {
    return undefined; // cut off by a crash: nobody got an answer for it
  }
}

/** A last line that was cut off by a crash is ended, so that it does not spoil the next one. */
async function openForAppending(file: string): Promise<{ handle: FileHandle; bytes: number }> {
  const handle = await open(file, 'a+', 0o600);
  const { size } = await handle.stat();
  if (size === 0) return { handle, bytes: 0 };
  const last = Buffer.alloc(1);
  await handle.read(last, 0, 1, size - 1);
  if (last.toString() === '\n') return { handle, bytes: size };
  await handle.appendFile('\n');
  return { handle, bytes: size + 1 };
}
