// The data plane core as the proxy sees it: one fixed memory, the WebAssembly functions, and the pools inside the memory.
// Read layout.ts for the structs and core-functions.ts for what each function does; compile/ makes the tables.
import { bytes as wasmBytes } from '../gen/core-wasm.js';
import type { RulesHash } from './compile/rbac/write-index.js';
import { type ConnectionRecords, createConnectionRecords } from './connection-records.js';
import type { CoreFunctions } from './core-functions.js';
import { writeCoreTexts } from './core-texts.js';
import { BUCKET_BYTES, CONNECTION_BUCKET_COUNT, CONNECTION_BUCKETS } from './filter-layout.js';
import * as H2 from './http2/h2-layout.js';
import { writeH2Tables } from './http2/h2-tables.js';
import * as L from './layout.js';
import { createRbacRegion, type RbacRegion } from './rbac/rbac-region.js';
import { createSlotPool, type SlotPool } from './slot-pool.js';
import { createStableRegion, type StableRegion } from './stable-region.js';

/** Everything that shares the one memory. Views never detach, because the memory never grows. */
export interface Core {
  /** The whole memory; `bytes.subarray(a, b)` is what a socket writes. */
  readonly bytes: Buffer;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  /** The WebAssembly functions. */
  readonly wasm: CoreFunctions;
  /** Slots of HEAD_SLOT_BYTES for heads kept for a retry or a partial head; larger ones belong in a Buffer. */
  readonly headSlots: SlotPool;
  /** Slots for scanChunks, one for each direction of a connection that may carry chunked bodies. */
  readonly chunkStates: SlotPool;
  /** Token buckets of connections whose rate limit is their own; zero one before its first use. */
  readonly connectionBuckets: SlotPool;
  /** HPACK decoders, one for each HTTP/2 connection; h2ResetDecoder one before its first use. */
  readonly h2Decoders: SlotPool;
  /** Records of what a connection adds to each request head. */
  readonly connections: ConnectionRecords;
  /** Immutable records that outlive tables; used by the table compiler and by internListenerOptions. */
  readonly stable: StableRegion;
  /** Compiled access rules. */
  readonly rbac: RbacRegion;
  /** What rules are found by. */
  readonly rulesHash: RulesHash;
  /** Bytes as a string of Latin-1 characters. For the asynchronous lane, logs and tests; costs a string. */
  text(offset: number, length: number): string;
  /** Values of a header of the parsed request (name in lower case); removed ones are not seen. Asynchronous lane only. */
  requestHeader(name: string): string | undefined;
  /** Likewise for the parsed response. */
  responseHeader(name: string): string | undefined;
  /** Sets the `date` of answers; call it about once a second. */
  setDate(nowMs: number): void;
  /** Copy of the interned peer metadata value, or undefined for id 0 and unknown ids. */
  peerMetadata(peerId: number): Buffer | undefined;
}

/** The part of the WebAssembly API that is used; the ES library does not declare it and the DOM library is not wanted. */
declare namespace WebAssembly {
  class Memory {
    constructor(limits: { initial: number; maximum: number });
    readonly buffer: ArrayBuffer;
  }
  class Module {
    constructor(bytes: Uint8Array<ArrayBuffer>);
  }
  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } });
    readonly exports: unknown;
  }
}

/** Instantiates the core. `seed` makes the random numbers repeatable in tests; otherwise they are seeded by the system. */
export function createCore(options: { readonly seed?: readonly [number, number] } = {}): Core {
  const memory = new WebAssembly.Memory({ initial: L.MEMORY_PAGES, maximum: L.MEMORY_PAGES });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(wasmBytes()), { env: { memory } });
  const wasm = instance.exports as CoreFunctions;
  const bytes = Buffer.from(memory.buffer);
  const i32 = new Int32Array(memory.buffer);
  writeCoreTexts(bytes, i32, wasm.hashName);
  writeH2Tables(bytes, i32, wasm.hashName);
  const [low, high] = options.seed ?? (crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number]);
  wasm.seed(low | 1, high);

  const core: Core = {
    bytes,
    i32,
    u32: new Uint32Array(memory.buffer),
    f64: new Float64Array(memory.buffer),
    wasm,
    headSlots: createSlotPool(L.HEAD_SLOTS, L.HEAD_SLOT_BYTES, L.HEAD_SLOT_COUNT),
    chunkStates: createSlotPool(L.CHUNK_STATES, L.CHUNK_STATE_BYTES, L.CHUNK_STATE_COUNT),
    connectionBuckets: createSlotPool(CONNECTION_BUCKETS, BUCKET_BYTES, CONNECTION_BUCKET_COUNT),
    h2Decoders: createSlotPool(H2.H2_DECODERS, H2.H2_DECODER_BYTES, H2.H2_DECODER_COUNT),
    connections: createConnectionRecords(bytes, i32),
    stable: createStableRegion(bytes),
    rbac: createRbacRegion(bytes),
    rulesHash: {
      name: (text) => wasm.hashName(L.VALUE_SCRATCH, bytes.write(text, L.VALUE_SCRATCH, 'utf8')),
      bytes: (content) => {
        bytes.set(content, L.VALUE_SCRATCH);
        return wasm.hashName(L.VALUE_SCRATCH, content.length);
      },
    },
    text: (offset, length) => bytes.toString('latin1', offset, offset + length),
    requestHeader: (name) => headerValue(core, L.REQ_HEADERS, i32[L.REQ_HEADER_COUNT >> 2]!, name),
    responseHeader: (name) => headerValue(core, L.RESP_HEADERS, i32[L.RESP_HEADER_COUNT >> 2]!, name),
    setDate: (nowMs) => {
      bytes.write(new Date(nowMs).toUTCString(), L.DATE_TEXT, L.DATE_TEXT_LENGTH, 'latin1');
    },
    peerMetadata: (peerId) => {
      if (!Number.isInteger(peerId) || peerId <= 0 || peerId > wasm.peerCount()) return undefined;
      const entry = (L.PEER_ENTRIES + peerId * L.PEER_ENTRY_BYTES) >> 2;
      const offset = i32[entry]!;
      return Buffer.from(bytes.subarray(offset, offset + i32[entry + 1]!));
    },
  };
  core.setDate(Date.now());
  return core;
}

/** Joins the values of a header by a comma, as HTTP allows for repeated ones. */
function headerValue(core: Core, table: number, count: number, name: string): string | undefined {
  let joined: string | undefined;
  for (let index = 0; index < count; index++) {
    const entry = (table + index * L.HEADER_ENTRY_BYTES) >> 2;
    const { i32 } = core;
    if (i32[entry + (L.HEADER_NAME_LENGTH >> 2)] !== name.length) continue;
    if ((i32[entry + (L.HEADER_FLAGS >> 2)]! & L.HEADER_FLAG_DROPPED) !== 0) continue;
    if (core.text(i32[entry]!, name.length).toLowerCase() !== name) continue;
    const value = core.text(i32[entry + (L.HEADER_VALUE_OFFSET >> 2)]!, i32[entry + (L.HEADER_VALUE_LENGTH >> 2)]!);
    joined = joined === undefined ? value : `${joined},${value}`;
  }
  return joined;
}
