// The memory map holds together: regions follow each other without overlap, structs fit where they are.
import { describe, expect, it } from 'vitest';
import * as C from './claims/claims-layout.js';
import * as H from './compile/hashing/hash-layout.js';
import { createCore } from './core.js';
import * as B from './filter-layout.js';
import * as H2 from './http2/h2-layout.js';
import * as L from './layout.js';
import * as A from './rbac/rbac-layout.js';
import { REGEX_SCRATCH, REGEX_SCRATCH_BYTES } from './regex-layout.js';
import { createSlotPool } from './slot-pool.js';
import * as T from './table-layout.js';

describe('the memory map', () => {
  it('has regions in order that do not overlap', () => {
    const regions: [string, number, number][] = [
      ['static', L.STATIC_REGION, 65_536],
      ['request', L.REQ, L.REQ_HEADERS - L.REQ],
      ['request headers', L.REQ_HEADERS, L.HEADER_TABLE_COUNT * L.HEADER_ENTRY_BYTES],
      ['response', L.RESP, L.RESP_HEADERS - L.RESP],
      ['response headers', L.RESP_HEADERS, L.HEADER_TABLE_COUNT * L.HEADER_ENTRY_BYTES],
      ['route', L.ROUTE, 128],
      ['tried', L.PICK_TRIED, L.PICK_TRIED_MAX * 4],
      ['hashes', H.PICK_HASH_SET, 32],
      ['date', L.DATE_TEXT, 64],
      ['sharing', B.SHARE_POLICY, B.SHARE_ORIGIN - B.SHARE_POLICY + B.SHARE_ORIGIN_MAX_BYTES + 16],
      ['known headers', L.KNOWN_HEADERS, L.KNOWN_HEADERS_COUNT * 16],
      ['text table', L.TEXT_TABLE, T.TEXT_COUNT * 8],
      ['status texts', L.STATUS_TEXTS, 500 * 4],
      ['text bytes', L.TEXT_BYTES, L.TEXT_BYTES_END - L.TEXT_BYTES],
      ['read headroom', L.READ_HEADROOM, 65_536],
      ['read buffer', L.READ_BUFFER, L.READ_BUFFER_BYTES],
      ['path scratch', L.PATH_SCRATCH, L.PATH_SCRATCH_BYTES],
      ['value scratch', L.VALUE_SCRATCH, L.VALUE_SCRATCH_BYTES],
      ['embedder scratch', L.EMBEDDER_SCRATCH, L.EMBEDDER_SCRATCH_BYTES],
      ['route candidates', L.ROUTE_CANDIDATES, L.ROUTE_CANDIDATES_BYTES],
      ['head lines', L.HEAD_LINES_LENGTH, 8 + L.HEAD_LINES_MAX_BYTES + 16],
      ['edited head', C.EDITED_HEAD, C.EDITED_HEAD_BYTES],
      ['claims', C.CLAIMS_LENGTH, C.CLAIMS - C.CLAIMS_LENGTH + C.CLAIMS_BYTES],
      ['output ring', L.OUTPUT_RING, L.OUTPUT_RING_BYTES],
      ['head slots', L.HEAD_SLOTS, L.HEAD_SLOT_BYTES * L.HEAD_SLOT_COUNT],
      ['chunk states', L.CHUNK_STATES, L.CHUNK_STATE_BYTES * L.CHUNK_STATE_COUNT],
      ['stable', L.STABLE_REGION, L.STABLE_REGION_BYTES],
      ['route configurations', L.ROUTE_CONFIG_SLOTS, L.ROUTE_CONFIG_SLOT_COUNT * 4],
      ['clusters', L.CLUSTER_STATES, L.CLUSTER_SLOT_COUNT * L.CLUSTER_STATE_BYTES],
      ['endpoints', L.ENDPOINT_STATES, L.ENDPOINT_SLOT_COUNT * L.ENDPOINT_STATE_BYTES],
      ['peer index', L.PEER_INDEX, L.PEER_INDEX_COUNT * 8],
      ['peer entries', L.PEER_ENTRIES, L.PEER_COUNT * L.PEER_ENTRY_BYTES],
      ['peer bytes', L.PEER_BYTES_REGION, L.PEER_BYTES_REGION_BYTES],
      ['series index', L.SERIES_INDEX, L.SERIES_INDEX_COUNT * 4],
      ['series', L.SERIES_REGION, L.SERIES_COUNT * L.SERIES_BYTES],
      ['connection records', L.CONNECTION_RECORDS, L.CONNECTION_RECORD_BYTES * L.CONNECTION_RECORD_COUNT],
      [
        'longest connection records',
        L.LONGEST_CONNECTION_RECORDS,
        L.LONGEST_CONNECTION_RECORD_BYTES * L.LONGEST_CONNECTION_RECORD_COUNT,
      ],
      ['regex scratch', REGEX_SCRATCH, REGEX_SCRATCH_BYTES],
      ['token buckets', B.BUCKETS, B.BUCKET_BYTES * B.BUCKET_COUNT],
      ['connection buckets', B.CONNECTION_BUCKETS, B.BUCKET_BYTES * B.CONNECTION_BUCKET_COUNT],
      ['HPACK static table', H2.H2_STATIC_ENTRIES, H2.H2_STATIC_COUNT * H2.H2_ENTRY_BYTES],
      ['HPACK code lengths', H2.H2_HUFFMAN_LENGTHS, 31 * H2.H2_HUFFMAN_LENGTH_BYTES],
      ['HPACK symbols', H2.H2_HUFFMAN_SYMBOLS, 257 * 2],
      ['HPACK codes', H2.H2_HUFFMAN_CODES, 256 * 8],
      ['HPACK names', H2.H2_NAMES, H2.H2_NAMES_COUNT * H2.H2_NAME_BYTES],
      ['HPACK texts', H2.H2_TEXT_BYTES, H2.H2_TEXT_BYTES_END - H2.H2_TEXT_BYTES],
      ['HPACK scratch', H2.H2_SCRATCH, H2.H2_SCRATCH_BYTES],
      ['HPACK cookie scratch', H2.H2_COOKIE_SCRATCH, H2.H2_COOKIE_SCRATCH_BYTES],
      ['HTTP/2 heads', H2.H2_HEAD_BUFFER, H2.H2_HEAD_BUFFER_BYTES],
      ['HTTP/2 blocks', H2.H2_BLOCK_BUFFER, H2.H2_BLOCK_BUFFER_BYTES],
      ['HTTP/2 results', H2.H2_DECODED_FLAGS, 8],
      ['HPACK short codes', H2.H2_HUFFMAN_SHORT, 4096 * 4],
      ['HPACK decoders', H2.H2_DECODERS, H2.H2_DECODER_BYTES * H2.H2_DECODER_COUNT],
      ['quota result', B.QUOTA_RESULT, B.QUOTA_RESULT_BYTES],
      ['quota buckets', B.QUOTA_BUCKETS, B.QUOTA_BUCKET_BYTES * B.QUOTA_BUCKET_COUNT],
      ['access scratch', A.RBAC_SCRATCH, A.RBAC_SCRATCH_BYTES],
      ['access rules', A.RBAC_REGION, A.RBAC_REGION_BYTES],
      ['arena A', L.TABLE_ARENA_A, L.TABLE_ARENA_BYTES],
      ['arena B', L.TABLE_ARENA_B, L.TABLE_ARENA_BYTES],
      [
        'long connection records',
        L.LONG_CONNECTION_RECORDS,
        L.LONG_CONNECTION_RECORD_BYTES * L.LONG_CONNECTION_RECORD_COUNT,
      ],
    ];
    let end = 0;
    for (const [name, start, bytes] of regions) {
      expect(start, `${name} begins before the region before it ends`).toBeGreaterThanOrEqual(end);
      expect(start % 8, `${name} is not aligned`).toBe(0);
      end = start + bytes;
    }
    expect(end).toBeLessThanOrEqual(L.MEMORY_BYTES);
    expect(L.MEMORY_PAGES * 65_536).toBe(L.MEMORY_BYTES);
    expect(H2.H2_DECODER_LINES + H2.H2_DECODER_LINES_BYTES).toBeLessThanOrEqual(H2.H2_DECODER_BYTES);
    expect(A.RBAC_MAX_ROWS / 8).toBeLessThanOrEqual(A.RBAC_GROUP_ROWS - A.RBAC_CANDIDATES);
    expect(A.RBAC_TESTED + A.RBAC_MAX_TESTS * 4).toBeLessThanOrEqual(A.RBAC_REGION);
    expect(L.READ_BUFFER - L.READ_HEADROOM).toBeGreaterThanOrEqual(L.MAX_HEAD_BYTES);
  });

  it('keeps the data segments of the module out of the structs', () => {
    const { bytes } = createCore();
    expect(bytes.subarray(60_000, L.STRUCT_REGION).every((byte) => byte === 0)).toBe(true);
  });
});

describe('copy', () => {
  it('refuses a range outside the memory instead of corrupting', () => {
    const { wasm } = createCore();
    for (const [to, from, length] of [
      [L.MEMORY_BYTES - 1, 0, 2],
      [0, L.MEMORY_BYTES - 1, 2],
      [-1, 0, 1],
      [0, 0, -1],
      [Number.NaN, L.MEMORY_BYTES, 1],
    ] as const) {
      expect(() => wasm.copy(to, from, length)).toThrow();
    }
  });
});

describe('a slot pool', () => {
  it('hands out each slot once, tells when it is empty, and takes only its own back', () => {
    const pool = createSlotPool(1000, 8, 3);
    expect([pool.take(), pool.take(), pool.take(), pool.take()]).toEqual([1000, 1008, 1016, 0]);
    pool.release(1008);
    expect(() => pool.release(1008)).toThrow('not a slot in use');
    for (const offset of [0, 1001, 1024, 992, Number.NaN]) expect(() => pool.release(offset)).toThrow(RangeError);
    expect(pool.used).toBe(2);
    expect(pool.take()).toBe(1008);
  });
});
