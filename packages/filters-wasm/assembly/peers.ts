// Interns peer metadata values: a request carries hundreds of bytes of it, a metric series one small number.
import {
  MAX_PEER_BYTES, PEER_BYTES_REGION, PEER_BYTES_REGION_BYTES, PEER_COUNT, PEER_ENTRIES, PEER_ENTRY_BYTES, PEER_INDEX, PEER_INDEX_COUNT,
} from '../src/layout';
import { equals, hashBytes } from './ascii';

let count: i32 = 0;
let overflow: i32 = 0;
let end: i32 = PEER_BYTES_REGION;

/** See core-functions.ts. */
export function internPeer(offset: i32, length: i32, hint: i32): i32 {
  if (length <= 0) return 0;
  if (hint > 0 && hint <= count && isPeer(hint, offset, length)) return hint;
  const hash = hashBytes(offset, length);
  let place = hash & (PEER_INDEX_COUNT - 1);
  while (true) {
    const index = PEER_INDEX + (place << 3);
    const id = load<i32>(index + 4);
    if (id == 0) return addPeer(index, hash, offset, length);
    if (load<i32>(index) == hash && isPeer(id, offset, length)) return id;
    place = (place + 1) & (PEER_INDEX_COUNT - 1);
  }
}

@inline
function isPeer(id: i32, offset: i32, length: i32): bool {
  const entry = PEER_ENTRIES + id * PEER_ENTRY_BYTES;
  return load<i32>(entry + 4) == length && equals(load<i32>(entry), offset, length);
}

function addPeer(index: i32, hash: i32, offset: i32, length: i32): i32 {
  if (count + 1 >= PEER_COUNT || length > MAX_PEER_BYTES || end + length > PEER_BYTES_REGION + PEER_BYTES_REGION_BYTES) {
    overflow++;
    return 0;
  }
  count++;
  memory.copy(end, offset, length);
  store<i32>(index, hash);
  store<i32>(index + 4, count);
  store<i32>(PEER_ENTRIES + count * PEER_ENTRY_BYTES, end);
  store<i32>(PEER_ENTRIES + count * PEER_ENTRY_BYTES + 4, length);
  end += (length + 7) & ~7;
  return count;
}

export function peerCount(): i32 {
  return count;
}

export function peerOverflow(): i32 {
  return overflow;
}
