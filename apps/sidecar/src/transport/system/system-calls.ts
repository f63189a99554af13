// Transport: the few system calls of Linux that Node has no word for, by koffi; loaded when something needs the first of them.

import { createRequire } from 'node:module';
import { constants } from 'node:os';

/** Results below zero are errors of the system (`-constants.errno.ENOENT`). */
export interface SystemCalls {
  /** Writes the option's value to `into`; the number of its bytes. */
  getOption(fd: number, level: number, name: number, into: Uint8Array): number;
  setOption(fd: number, level: number, name: number, value: number): number;
  /** A new TCP socket of this family, which does not block; its descriptor. */
  openTcp(family: number): number;
  /** @param address a `struct sockaddr` of the socket's family */
  bind(fd: number, address: Uint8Array): number;
  close(fd: number): void;
}

export const SOL_IP = 0;
export const SOL_IPV6 = 41;
export const AF_INET = 2;
export const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

let loaded: SystemCalls | Error | undefined;

/** @throws Error that says why they cannot be had here */
export function systemCalls(): SystemCalls {
  loaded ??= load();
  if (loaded instanceof Error) throw loaded;
  return loaded;
}

type Foreign = (...values: readonly unknown[]) => number;

function load(): SystemCalls | Error {
  if (process.platform !== 'linux') return new Error(`${process.platform} has no such thing; Linux has`);
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    // What the process itself is linked with, whatever C library that is.
    const library = koffi.load(null);
    const call = (signature: string) => library.func(signature) as unknown as Foreign;
    const getsockopt = call('int getsockopt(int, int, int, void *, void *)');
    const setsockopt = call('int setsockopt(int, int, int, void *, uint32_t)');
    const socket = call('int socket(int, int, int)');
    const bind = call('int bind(int, void *, uint32_t)');
    const close = call('int close(int)');
    const length = new Uint32Array(1);
    const number = new Int32Array(1);
    const checked = (result: number): number => (result < 0 ? -(koffi.errno() || constants.errno.EIO) : result);
    return {
      getOption(fd, level, name, into) {
        length[0] = into.length;
        const result = getsockopt(fd, level, name, into, length);
        return result < 0 ? checked(result) : (length[0] ?? 0);
      },
      setOption(fd, level, name, value) {
        number[0] = value;
        return checked(setsockopt(fd, level, name, number, number.byteLength));
      },
      openTcp: (family) => checked(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      bind: (fd, address) => checked(bind(fd, address, address.length)),
      close: (fd) => void close(fd),
    };
  } catch (error) {
    return new Error(`koffi cannot be used: ${(error as Error).message}`);
  }
}
