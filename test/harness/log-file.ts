// Test harness: a file that takes what a proxy writes. A pipe from Node is a socket, which nobody can open as /dev/stdout.

import { closeSync, openSync, readFileSync } from 'node:fs';

export interface LogFile {
  /** For a child process's standard output and error. */
  readonly descriptor: number;
  text(): string;
  close(): void;
}

/** Creates the file. */
export function startLogFile(path: string): LogFile {
  const descriptor = openSync(path, 'a');
  return { descriptor, text: () => readFileSync(path, 'utf8'), close: () => closeSync(descriptor) };
}
