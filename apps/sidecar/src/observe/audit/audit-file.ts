// Audit: the file of an audit log: appended to, put aside when it is large; who opens it learns how it ended.

import { type FileHandle, open, rename } from 'node:fs/promises';
import { type ChainEnd, readAuditLine } from '@lateen/telemetry/audit/chain.js';
import type { AuditSink, FoundEnd } from './audit-sink.js';

/** The last line is within this: a record has bounded values. */
const TAIL_BYTES = 256 * 1024;
const STANDARD: Readonly<Record<string, NodeJS.WriteStream>> = {
  '/dev/stdout': process.stdout,
  '/dev/stderr': process.stderr,
};

/** Few large writes cost less than many small ones. */
const WRITE_DELAY_MS = 20;

export class AuditFile implements AuditSink {
  readonly writeDelayMs = WRITE_DELAY_MS;
  #handle: FileHandle | undefined;
  #bytes = 0;
  /** How much is written of a batch that a failure cut off. */
  #written = 0;

  constructor(
    private readonly path: string,
    private readonly maxBytes: number,
  ) {}

  /** Opens for appending (0600). */
  async open(): Promise<FoundEnd> {
    if (this.path in STANDARD) return { previous: undefined, torn: false };
    const handle = await open(this.path, 'a+', 0o600);
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, TAIL_BYTES);
      const tail = Buffer.alloc(length);
      await handle.read(tail, 0, length, size - length);
      // A line that a crash cut off is ended, so that the next one stands alone.
      const torn = length > 0 && tail[length - 1] !== 0x0a;
      if (torn) await handle.appendFile('\n');
      this.#bytes = size + (torn ? 1 : 0);
      this.#handle = handle;
      return { previous: lastRecord(tail.toString('utf8')), torn };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async append(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(lines.join(''), 'utf8');
    const standard = STANDARD[this.path];
    if (standard !== undefined) {
      await new Promise<void>((resolve, reject) => {
        standard.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
      return;
    }
    if (this.#bytes > this.maxBytes && this.#written === 0) await this.#putAside();
    while (this.#written < bytes.length) {
      const { bytesWritten } = await this.#opened().write(bytes, this.#written);
      this.#written += bytesWritten;
      this.#bytes += bytesWritten;
    }
    this.#written = 0;
  }

  /** A pipe has nothing to be made durable. */
  async sync(): Promise<void> {
    await this.#handle?.datasync().catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EINVAL') throw error;
    });
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #opened(): FileHandle {
    if (this.#handle === undefined) throw new Error(`${this.path} is not open`);
    return this.#handle;
  }

  /** The chain goes on in the next file. The names sort by time. */
  async #putAside(): Promise<void> {
    const stamp = new Date().toISOString().replaceAll(/[-:.]/g, '');
    const next = `${this.path}.${stamp}`;
    await rename(this.path, next).catch((error: NodeJS.ErrnoException) => {
      // Put aside already, and then the next file could not be opened.
      if (error.code !== 'ENOENT') throw error;
    });
    const handle = await open(this.path, 'a', 0o600);
    const full = this.#handle;
    this.#handle = handle;
    await full?.datasync();
    await full?.close();
    this.#bytes = 0;
  }
}

/** How the last chain of a text ended, by its last whole record. */
function lastRecord(text: string): ChainEnd | undefined {
  for (const line of text.split('\n').reverse()) {
    const record = readAuditLine(line);
    if (!('problem' in record)) return { chain: record.chain, seq: record.seq, hash: record.hash };
  }
  return undefined;
}
