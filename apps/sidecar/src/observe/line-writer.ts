// Access log: writes lines to a file in the background. What does not fit the bounded buffer is dropped and counted.

import { close, constants, open, write } from 'node:fs';
import { promisify } from 'node:util';

/** Waiting bytes beyond this mean that the disk or the reader is too slow; lines are dropped then. */
const MAX_BUFFER_BYTES = 1024 * 1024;
/** So much is written at once without waiting for the timer. */
const EAGER_BYTES = 64 * 1024;
const FLUSH_INTERVAL_MS = 100;
/** A pipe whose reader is slow. */
const RETRY_MS = 10;

const openFile = promisify(open);
const closeFile = promisify(close);
const STANDARD: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 };

/** Whether a path stands for a stream that the process has been given. */
export function isStandard(path: string): boolean {
  return path in STANDARD;
}

export class LineWriter {
  #lines: string[] = [];
  #bytes = 0;
  #fd: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #failed = false;
  /** Lines lost for lack of room or because the file cannot be written. */
  dropped = 0;

  constructor(
    readonly path: string,
    private readonly onError: (reason: string) => void,
  ) {}

  write(line: string): void {
    if (this.#bytes + line.length > MAX_BUFFER_BYTES) {
      this.dropped++;
      return;
    }
    this.#lines.push(line);
    this.#bytes += line.length;
    if (this.#bytes >= EAGER_BYTES) this.#flushSoon(0);
    else this.#flushSoon(FLUSH_INTERVAL_MS);
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writing;
    await this.#flush();
    if (this.#fd !== undefined && STANDARD[this.path] === undefined) await closeFile(this.#fd);
    this.#fd = undefined;
  }

  #flushSoon(delayMs: number): void {
    if (this.#writing !== undefined) return;
    if (delayMs > 0) {
      this.#timer ??= setTimeout(() => this.#start(), delayMs);
      // Logging does not keep the process alive.
      this.#timer.unref();
      return;
    }
    this.#start();
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#flush().finally(() => {
      this.#writing = undefined;
      if (this.#lines.length > 0) this.#flushSoon(FLUSH_INTERVAL_MS);
    });
  }

  async #flush(): Promise<void> {
    const lines = this.#lines;
    if (lines.length === 0) return;
    this.#lines = [];
    this.#bytes = 0;
    try {
      this.#fd ??= await this.#open();
      await writeAll(this.#fd, Buffer.from(lines.join(''), 'utf8'));
      this.#failed = false;
    } catch (error) {
      this.dropped += lines.length;
      // Once for each outage, not for each batch.
      if (!this.#failed) this.onError((error as Error).message);
      this.#failed = true;
    }
  }

  async #open(): Promise<number> {
    return (
      STANDARD[this.path] ??
      (await openFile(this.path, constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY, 0o644))
    );
  }
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    offset += await new Promise<number>((resolve, reject) => {
      write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
        if (error === null) resolve(written);
        else if (error.code === 'EAGAIN') setTimeout(() => resolve(0), RETRY_MS);
        else reject(error);
      });
    });
  }
}
