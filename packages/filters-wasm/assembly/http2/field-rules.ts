// What a field of HTTP/2 is, and whether its name and value are allowed (RFC 9113, 8.2): checked once, when a literal is
// decoded; table entries carry the answer.
import {
  H2_FIELD_AUTHORITY, H2_FIELD_BAD_NAME, H2_FIELD_BAD_VALUE, H2_FIELD_CONTENT_LENGTH, H2_FIELD_COOKIE,
  H2_FIELD_FORBIDDEN, H2_FIELD_HOST, H2_FIELD_METHOD, H2_FIELD_PATH, H2_FIELD_PROTOCOL, H2_FIELD_REGULAR,
  H2_FIELD_SCHEME, H2_FIELD_STATUS, H2_FIELD_TE, H2_FIELD_UNKNOWN_PSEUDO,
} from '../../src/http2/h2-layout';
import { findControl, findNonToken } from '../ascii';

// Names as the words that they are in memory, first byte lowest.
const HOST: u32 = 0x74736f68;
const COOKIE_4: u32 = 0x6b6f6f63;
const COOKIE_2: u16 = 0x6569;
const UPGRADE_4: u32 = 0x72677075;
const UPGRADE_3: u32 = 0x65646172; // overlaps: "rade"
const CONNECTI: u64 = 0x697463656e6e6f63;
const ON: u16 = 0x6e6f;
const KEEP_ALI: u64 = 0x696c612d7065656b;
const VE: u16 = 0x6576;
const CONTENT_: u64 = 0x2d746e65746e6f63;
const T_LENGTH: u64 = 0x6874676e656c2d74; // overlaps: "t-length"
const PROXY_CO: u64 = 0x6f632d79786f7270;
const NNECTION: u64 = 0x6e6f697463656e6e;
const TRANSFER: u64 = 0x726566736e617274;
const ENCODING: u64 = 0x676e69646f636e65;
const PATH: u32 = 0x68746170;
const METHOD: u64 = 0x646f6874656d3a; // ":method"
const SCHEME: u64 = 0x656d656863733a;
const STATUS: u64 = 0x7375746174733a;
const PROTOCOL: u64 = 0x6f636f746f72703a; // ":protoco"
const AUTHORIT: u64 = 0x69726f687475613a; // ":authori"
const SEVEN: u64 = 0xffffffffffffff;

/** H2_FIELD_* of a name that was sent as a literal. */
export function fieldOfName(at: i32, length: i32): i32 {
  if (length == 0) return H2_FIELD_BAD_NAME;
  if (load<u8>(at) == 0x3a) return pseudoOf(at, length);
  if (findNonToken(at, at + length) != at + length || hasUpperCase(at, length)) return H2_FIELD_BAD_NAME;
  switch (length) {
    case 2:
      return load<u16>(at) == 0x6574 ? H2_FIELD_TE : H2_FIELD_REGULAR;
    case 4:
      return load<u32>(at) == HOST ? H2_FIELD_HOST : H2_FIELD_REGULAR;
    case 6:
      return load<u32>(at) == COOKIE_4 && load<u16>(at + 4) == COOKIE_2 ? H2_FIELD_COOKIE : H2_FIELD_REGULAR;
    case 7:
      return load<u32>(at) == UPGRADE_4 && load<u32>(at + 3) == UPGRADE_3 ? H2_FIELD_FORBIDDEN : H2_FIELD_REGULAR;
    case 10: {
      const first = load<u64>(at);
      const last = load<u16>(at + 8);
      return (first == CONNECTI && last == ON) || (first == KEEP_ALI && last == VE) ? H2_FIELD_FORBIDDEN : H2_FIELD_REGULAR;
    }
    case 14:
      return load<u64>(at) == CONTENT_ && load<u64>(at + 6) == T_LENGTH ? H2_FIELD_CONTENT_LENGTH : H2_FIELD_REGULAR;
    case 16:
      return load<u64>(at) == PROXY_CO && load<u64>(at + 8) == NNECTION ? H2_FIELD_FORBIDDEN : H2_FIELD_REGULAR;
    case 17:
      return load<u64>(at) == TRANSFER && load<u64>(at + 9) == ENCODING && load<u8>(at + 8) == 0x2d
        ? H2_FIELD_FORBIDDEN : H2_FIELD_REGULAR;
    default:
      return H2_FIELD_REGULAR;
  }
}

function pseudoOf(at: i32, length: i32): i32 {
  const first = load<u64>(at);
  if (length == 5 && load<u32>(at + 1) == PATH) return H2_FIELD_PATH;
  if (length == 7) {
    if ((first & SEVEN) == METHOD) return H2_FIELD_METHOD;
    if ((first & SEVEN) == SCHEME) return H2_FIELD_SCHEME;
    if ((first & SEVEN) == STATUS) return H2_FIELD_STATUS;
  }
  if (length == 9 && first == PROTOCOL && load<u8>(at + 8) == 0x6c) return H2_FIELD_PROTOCOL;
  if (length == 10 && first == AUTHORIT && load<u16>(at + 8) == 0x7974) return H2_FIELD_AUTHORITY;
  return H2_FIELD_UNKNOWN_PSEUDO;
}

function hasUpperCase(at: i32, length: i32): bool {
  const end = at + length;
  for (; at < end; at += 16) {
    const upper = i8x16.bitmask(i8x16.lt_u(i8x16.sub(v128.load(at), i8x16.splat(0x41)), i8x16.splat(26)));
    const left = end - at;
    if ((left >= 16 ? upper : upper & ((1 << left) - 1)) != 0) return true;
  }
  return false;
}

/** H2_FIELD_BAD_VALUE where the value has a control byte, or white space at an end; else 0. */
export function badValue(at: i32, length: i32): i32 {
  if (length == 0) return 0;
  const end = at + length;
  const first = load<u8>(at);
  const last = load<u8>(end - 1);
  if (first == 0x20 || first == 0x09 || last == 0x20 || last == 0x09) return H2_FIELD_BAD_VALUE;
  return findControl(at, end) == end ? 0 : H2_FIELD_BAD_VALUE;
}
