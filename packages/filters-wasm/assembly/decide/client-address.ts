// Whose request it is: the peer of the connection, or whom a trusted proxy names in x-forwarded-for, as Envoy takes it.
import {
  CONNECTION_ADDRESS, CONNECTION_ADDRESS_LENGTH, HEADER_ENTRY_BYTES, HEADER_FLAGS, HEADER_FLAG_DROPPED, HEADER_KNOWN,
  HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET, LISTENER_FLAGS, LISTENER_TRUSTED_HOPS, LISTENER_USE_REMOTE_ADDRESS,
  REQ_HEADERS, REQ_HEADER_COUNT,
} from '../../src/layout';
import { KNOWN_FORWARDED_FOR } from '../../src/table-layout';

/** Where findClientAddress found the text. */
export let addressAt: i32 = 0;
export let addressLength: i32 = 0;

/** Finds the client's address as text, without port; false where it is not known. */
export function findClientAddress(listener: i32, connection: i32): bool {
  if (listener != 0) {
    const useRemote = (load<i32>(listener + LISTENER_FLAGS) & LISTENER_USE_REMOTE_ADDRESS) != 0;
    const skipped = load<i32>(listener + LISTENER_TRUSTED_HOPS) - (useRemote ? 1 : 0);
    if (skipped >= 0 && findForwarded(skipped)) return true;
  }
  if (connection == 0) return false;
  addressAt = connection + CONNECTION_ADDRESS;
  addressLength = load<i32>(connection + CONNECTION_ADDRESS_LENGTH);
  return addressLength > 0;
}

/** The element of x-forwarded-for so many before its last; false where there is none, or it is no IP address. */
function findForwarded(skipped: i32): bool {
  for (let i = load<i32>(REQ_HEADER_COUNT) - 1; i >= 0; i--) {
    const entry = REQ_HEADERS + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) != KNOWN_FORWARDED_FOR) continue;
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
    const start = load<i32>(entry + HEADER_VALUE_OFFSET);
    let end = start + load<i32>(entry + HEADER_VALUE_LENGTH);
    while (true) {
      let at = end;
      while (at > start && load<u8>(at - 1) != 0x2c) at--;
      if (skipped == 0) return isAddress(at, end);
      skipped--;
      if (at == start) break;
      end = at - 1;
    }
  }
  return false;
}

/** Digits, dots and colons as an address has them; spaces around do not count. */
function isAddress(at: i32, end: i32): bool {
  while (at < end && load<u8>(at) == 0x20) at++;
  while (at < end && load<u8>(end - 1) == 0x20) end--;
  let separators = 0;
  for (let i = at; i < end; i++) {
    const byte = <i32>load<u8>(i);
    if (byte == 0x2e || byte == 0x3a) {
      separators++;
      continue;
    }
    const letter = byte | 0x20;
    if (!((byte >= 0x30 && byte <= 0x39) || (letter >= 0x61 && letter <= 0x66))) return false;
  }
  addressAt = at;
  addressLength = end - at;
  return separators >= 2;
}
