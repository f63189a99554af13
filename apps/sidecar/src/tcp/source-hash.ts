// TCP: makes the next pick of a ring or a Maglev table go by the client's address.

import { HASH64_RESULT, PICK_HASH, PICK_HASH_SET, VALUE_SCRATCH, VALUE_SCRATCH_BYTES } from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';

/** Hashes the text of an address (without its port), as Envoy's hash policy `source_ip` does. */
export function hashSource({ core }: DataPath, address: string): void {
  const { wasm, bytes, i32 } = core;
  wasm.hash64(VALUE_SCRATCH, bytes.write(address, VALUE_SCRATCH, VALUE_SCRATCH_BYTES, 'latin1'), 0);
  i32[PICK_HASH >> 2] = i32[HASH64_RESULT >> 2]!;
  i32[(PICK_HASH + 4) >> 2] = i32[(HASH64_RESULT + 4) >> 2]!;
  i32[PICK_HASH_SET >> 2] = 1;
}
