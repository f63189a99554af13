// Test harness: a file that takes what a proxy writes. A pipe from Node is a socket, which nobody can open as /dev/stdout.

import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';

export interface LogFile {
  /** For a child process's standard output and error. */
  readonly descriptor: number;
  text(): string;
  /** The lines that were ended since the last call. */
  newLines(): string;
  close(): void;
}

/** Creates the file. */
export function startLogFile(path: string): LogFile {
  const descriptor = openSync(path, 'a');
  let readBytes = 0;
  return {
    descriptor,
    text: () => readFileSync(path, 'utf8'),
    newLines: () => {
      const more = readFrom(path, readBytes);
      const lines = more.subarray(0, more.lastIndexOf(0x0a) + 1);
      readBytes += lines.length;
      return lines.toString('utf8');
    },
    close: () => closeSync(descriptor),
  };
}

function readFrom(path: string, position: number): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - position));
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, position));
  } finally {
    closeSync(descriptor);
  }
}
