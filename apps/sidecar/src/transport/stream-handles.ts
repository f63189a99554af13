// Transport: the part of Node's native stream handles that the data path drives by itself, looked up once and checked.

import { getSystemErrorName } from 'node:util';

/** A native TCP or TLS stream, as `net` and `tls` keep it in `_handle`. The names are unchanged since Node 12. */
export interface StreamHandle {
  onread: (this: StreamHandle) => void;
  /** The system's descriptor, where there is one. */
  readonly fd?: number;
  /** Kept true to `readStart` and `readStop` by whoever calls them, Node included. */
  reading?: boolean;
  /** Set by whoever drives the handle. */
  driver?: unknown;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writev(request: WriteRequest, chunks: readonly Uint8Array[], allBuffers: true): number;
  shutdown(request: ShutdownRequest): number;
  close(done?: () => void): void;
  /** TLS only: frees what OpenSSL holds, once closed. */
  destroySSL?(): void;
  /** TLS only. */
  getALPNNegotiatedProtocol?(): string | false | undefined;
  /** TCP only: closes with a reset. */
  reset?(): number;
  getsockname(out: AddressParts): number;
  getpeername(out: AddressParts): number;
}

/** What is under way with a handle; `oncomplete` is called with the handle that it was given to. */
export interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number, handle: StreamHandle) => void) | undefined;
  /** Keeps the bytes alive. */
  bytes?: Uint8Array | readonly Uint8Array[];
}
export interface ShutdownRequest {
  oncomplete: ((status: number) => void) | undefined;
}
export interface AddressParts {
  address?: string;
  port?: number;
}

export interface StreamInternals {
  readonly WriteRequest: new () => WriteRequest;
  readonly ShutdownRequest: new () => ShutdownRequest;
  /** Results of the handle's last call or event, at the two indexes below. */
  readonly results: Int32Array;
  /** Bytes read, or a negative error. */
  readonly readResult: number;
  /** 1 where the last write is not complete. */
  readonly writeWasAsync: number;
}

/**
 * Node's own `net` is built on these. `process.binding` is deprecated by documentation only (DEP0111) and has no
 * replacement; where it is missing, or shows something else, sockets go through Node's streams instead.
 */
function findInternals(): StreamInternals | undefined {
  const { binding } = process as unknown as { binding?: (name: string) => Record<string, unknown> };
  if (typeof binding !== 'function') return undefined;
  let found: Record<string, unknown>;
  try {
    found = binding.call(process, 'stream_wrap');
  } catch {
    return undefined; // this Node does not give it out (its permission model is on, for example)
  }
  const { WriteWrap, ShutdownWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
  const known =
    typeof WriteWrap === 'function' &&
    typeof ShutdownWrap === 'function' &&
    streamBaseState instanceof Int32Array &&
    typeof kReadBytesOrError === 'number' &&
    typeof kLastWriteWasAsync === 'number';
  if (!known) return undefined;
  return {
    WriteRequest: WriteWrap as StreamInternals['WriteRequest'],
    ShutdownRequest: ShutdownWrap as StreamInternals['ShutdownRequest'],
    results: streamBaseState,
    readResult: kReadBytesOrError,
    writeWasAsync: kLastWriteWasAsync,
  };
}

/** Undefined where Node does not give them out, or where `LATEEN_SOCKETS=streams` asks not to use them. */
export const streamInternals: StreamInternals | undefined =
  process.env.LATEEN_SOCKETS === 'streams' ? undefined : findInternals();

const DRIVEN = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeBuffer',
  'writev',
  'shutdown',
  'close',
  'getsockname',
  'getpeername',
] as const;

/** The handle where it has all that is used of it. */
export function drivableHandle(handle: unknown): StreamHandle | undefined {
  if (streamInternals === undefined || handle === null || typeof handle !== 'object') return undefined;
  const candidate = handle as Record<string, unknown>;
  return DRIVEN.every((name) => typeof candidate[name] === 'function') ? (handle as StreamHandle) : undefined;
}

/** The system's descriptor of any of Node's handles, below 0 where there is none. */
export function descriptorOf(handle: unknown): number {
  const { fd } = (handle ?? {}) as { readonly fd?: unknown };
  return typeof fd === 'number' ? fd : -1;
}

/** A negative error of libuv as Node's own sockets report it. */
export function systemError(status: number, syscall: string): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno: status, syscall });
}

/** The sign of the peer's end in `readResult`. */
export const END_OF_FILE = -4095;
