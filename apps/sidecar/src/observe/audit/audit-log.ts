// Audit: takes finished requests, chains them in batches and writes them. What does not fit its bounds is counted, and the
// count is a record of the chain, so that records and drops together are all requests. Citadel signs how far it has come.

import { AuditChain, auditJson } from '@lateen/telemetry/audit/chain.js';
import type { AccessLogRecord } from '../../data-plane.js';
import { AuditFile } from './audit-file.js';
import type { AuditFormat, AuditValues } from './audit-format.js';
import type { AuditSink, FoundEnd } from './audit-sink.js';
import type { LogHead, SignCheckpoint } from './checkpoint-client.js';
import { Checkpointing } from './checkpointing.js';

export interface AuditLogOptions {
  /** File; `/dev/stdout` and `/dev/stderr` are the process's own. With a sink, its name. */
  readonly path: string;
  /** Left out: the file. */
  readonly sink?: AuditSink | undefined;
  /** Members of the first record: who writes. */
  readonly writer: () => Readonly<Record<string, string | undefined>>;
  readonly onError: (reason: string) => void;
  /** Left out: nobody signs. */
  readonly signCheckpoint?: SignCheckpoint | undefined;
  /** Told once for each outage of who signs. */
  readonly onUnsigned?: (reason: string) => void;
  readonly checkpointIntervalMs?: number;
  /** A file above this is put aside. */
  readonly maxFileBytes?: number;
  /** Requests that may wait for their turn. */
  readonly maxWaiting?: number;
  /** Bytes that may wait for the disk. */
  readonly maxUnwrittenBytes?: number;
}

const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** Half a second of a sidecar's work at its limit. */
const MAX_WAITING = 16_384;
/** Chained but not on the disk yet: beyond this, requests wait, and then are dropped. */
const MAX_UNWRITTEN_BYTES = 4 * 1024 * 1024;
/** How many requests are chained in one go: a few hundred microseconds, so that requests hardly wait for it. */
const BATCH = 64;
const BATCH_INTERVAL_MS = 50;
const RETRY_MS = 1_000;
/** So much is worth a write of its own. */
const WRITE_BYTES = 64 * 1024;

interface Waiting {
  readonly format: AuditFormat;
  readonly values: AuditValues;
}

export class AuditLog {
  readonly #chain = new AuditChain();
  readonly #sink: AuditSink;
  readonly #maxWaiting: number;
  readonly #maxUnwrittenBytes: number;
  readonly #checkpoints: Checkpointing | undefined;
  #waiting: Waiting[] = [];
  /** Index of the first of `#waiting` that was not chained. */
  #next = 0;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  /** The file could not be written: it is tried again then, and not before. */
  #retry: NodeJS.Timeout | undefined;
  #writeTimer: NodeJS.Timeout | undefined;
  #lines: string[] = [];
  #unwrittenBytes = 0;
  #writing: Promise<void> | undefined;
  #opening: Promise<void> | undefined;
  #opened = false;
  #failed = false;
  #closed = false;
  #records = 0;
  /** What is on the disk. */
  #written: LogHead | undefined;
  /** Of `dropped`, what is not in the chain yet. */
  #untold = 0;
  #firstDropMs = 0;
  #lastDropMs = 0;
  /** Requests that had no room. */
  dropped = 0;

  constructor(private readonly options: AuditLogOptions) {
    this.#sink = options.sink ?? new AuditFile(options.path, options.maxFileBytes ?? MAX_FILE_BYTES);
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING;
    this.#maxUnwrittenBytes = options.maxUnwrittenBytes ?? MAX_UNWRITTEN_BYTES;
    if (options.signCheckpoint !== undefined) this.#checkpoints = this.#createCheckpoints(options.signCheckpoint);
  }

  get path(): string {
    return this.options.path;
  }

  /** A request has ended. */
  take(format: AuditFormat, record: AccessLogRecord): void {
    if (this.#waiting.length - this.#next >= this.#maxWaiting) {
      this.#lastDropMs = Date.now();
      if (this.#untold === 0) this.#firstDropMs = this.#lastDropMs;
      this.#untold++;
      this.dropped++;
      return;
    }
    const waiting = this.#waiting.push({ format, values: format.read(record) }) - this.#next;
    if (waiting >= BATCH) this.#soon();
    else this.#later(BATCH_INTERVAL_MS);
  }

  /** Ends the chain and closes the file. Resolves also where it cannot be written: how many are lost is told. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const used = this.#opened || this.#waiting.length > 0 || this.#untold > 0;
    if (used) {
      this.#opening ??= this.#open();
      await this.#opening;
      await this.#writing;
    }
    this.#checkpoints?.stop();
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    clearTimeout(this.#writeTimer);
    clearImmediate(this.#immediate);
    if (this.#opened) {
      // What has failed may be back: it is tried once more.
      this.#failed = false;
      this.#chainBatch(Number.POSITIVE_INFINITY);
      this.#tellDrops();
      this.#seal({ type: 'end', time: now(), records: this.#records, dropped: this.dropped });
      await this.#drain();
      if (!this.#failed) await this.#checkpoints?.last();
      await this.#drain();
    }
    const lost = this.#waiting.length - this.#next + this.#lines.length;
    if (lost > 0) this.options.onError(`${lost} records are lost at the end`);
    await this.#sink.close();
  }

  #soon(): void {
    if (this.#closed || this.#immediate !== undefined || this.#retry !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#opened) {
      this.#opening ??= this.#open();
      return;
    }
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      // What waits for the disk is bounded; when it is written, this is called again.
      if (this.#unwrittenBytes < this.#maxUnwrittenBytes) this.#chainBatch(BATCH);
      this.#writeSoon();
      if (this.#unwrittenBytes < this.#maxUnwrittenBytes && this.#waiting.length > this.#next) this.#soon();
    });
  }

  #createCheckpoints(sign: SignCheckpoint): Checkpointing {
    const { onUnsigned = () => undefined, checkpointIntervalMs } = this.options;
    return new Checkpointing({
      sign,
      head: () => this.#written,
      sync: () => this.#sink.sync(),
      seal: (members) => {
        this.#seal(members);
        this.#startWriting();
        return this.#chain.seq;
      },
      lastSeq: () => this.#chain.seq,
      onUnsigned,
      ...(checkpointIntervalMs === undefined ? {} : { intervalMs: checkpointIntervalMs }),
    });
  }

  /** Opens the file, and begins the chain with how the last one in it ended. */
  async #open(): Promise<void> {
    let found: FoundEnd;
    try {
      found = await this.#sink.open();
    } catch (error) {
      this.#opening = undefined;
      this.#fail(error as Error);
      return;
    }
    this.#opened = true;
    this.#failed = false;
    this.#seal({ type: 'start', time: now(), ...this.options.writer(), file: this.path, ...found });
    this.#checkpoints?.begin();
    this.#soon();
  }

  #later(delayMs: number): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#soon();
    }, delayMs);
    this.#timer.unref();
  }

  #chainBatch(most: number): void {
    this.#tellDrops();
    const end = Math.min(this.#waiting.length, this.#next + most);
    for (let index = this.#next; index < end; index++) {
      const { format, values } = this.#waiting[index]!;
      this.#records++;
      this.#add(format.write(values));
    }
    this.#next = end;
    if (end === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    } else if (end > this.#maxWaiting) {
      this.#waiting = this.#waiting.slice(end);
      this.#next = 0;
    }
  }

  #startWriting(): void {
    this.#writing ??= this.#flush().finally(() => {
      this.#writing = undefined;
      if (this.#lines.length > 0 && !this.#failed) this.#writeSoon();
    });
  }

  #writeSoon(): void {
    if (this.#closed || this.#unwrittenBytes >= WRITE_BYTES) {
      this.#startWriting();
      return;
    }
    this.#writeTimer ??= setTimeout(() => {
      this.#writeTimer = undefined;
      this.#startWriting();
    }, this.#sink.writeDelayMs);
    this.#writeTimer.unref();
  }

  /** Resolves when everything is written, or cannot be. */
  async #drain(): Promise<void> {
    this.#startWriting();
    while (this.#writing !== undefined) await this.#writing;
  }

  #tellDrops(): void {
    if (this.#untold === 0) return;
    const from = new Date(this.#firstDropMs).toISOString();
    const to = new Date(this.#lastDropMs).toISOString();
    this.#seal({ type: 'dropped', time: now(), from, to, count: this.#untold });
    this.#untold = 0;
  }

  #seal(members: Readonly<Record<string, unknown>>): void {
    this.#add(auditJson(members).slice(1, -1));
  }

  #add(members: string): void {
    const line = this.#chain.seal(members);
    this.#lines.push(line);
    this.#unwrittenBytes += line.length;
  }

  /** Writes what there is. Where that fails it waits, for the chain must not have a gap. */
  async #flush(): Promise<void> {
    if (this.#lines.length > 0) {
      const lines = this.#lines;
      this.#lines = [];
      const { id: chain, seq, hash } = this.#chain;
      const records = this.#records;
      const dropped = this.dropped - this.#untold;
      try {
        await this.#sink.append(lines);
        this.#written = { chain, seq, hash, records, dropped, file: this.path };
        this.#failed = false;
        this.#unwrittenBytes = this.#lines.reduce((sum, line) => sum + line.length, 0);
      } catch (error) {
        this.#lines = [...lines, ...this.#lines];
        this.#fail(error as Error);
        return;
      }
    }
    if (this.#waiting.length > this.#next) this.#soon();
  }

  #fail(error: Error): void {
    // Once for each outage.
    if (!this.#failed) this.options.onError(error.message);
    this.#failed = true;
    if (this.#closed) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#soon();
    }, RETRY_MS);
    this.#retry.unref();
  }
}

function now(): string {
  return new Date().toISOString();
}
