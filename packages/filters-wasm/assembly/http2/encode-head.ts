// HTTP/2: a head in HTTP/1.1 form, as the writers of this module make it, becomes a header block. There is no table to keep:
// names of the static table are indexed, everything else is a literal that nobody adds to a table.
import {
  H2_ENCODED_HEAD_LENGTH, H2_HTTPS, H2_HUFFMAN, H2_NAMES, H2_NAMES_COUNT, H2_NAME_AT, H2_NAME_BYTES,
  H2_NAME_CONTENT_TYPE, H2_NAME_DROPPED, H2_NAME_HASH, H2_NAME_HOST, H2_NAME_INDEX_MASK, H2_NAME_LENGTH,
  H2_NAME_NEVER_INDEXED, H2_NAME_RULE, H2_NAME_TE, H2_REQUEST, H2_SCRATCH,
  H2_TRAILERS, H2_UPGRADE,
} from '../../src/http2/h2-layout';
import { KNOWN_HOST, KNOWN_TE, KNOWN_UPGRADE, TEXT_CONNECT, TEXT_GET, TEXT_GRPC, TEXT_POST, TEXT_TRAILERS } from '../../src/table-layout';
import { equals, equalsIgnoreCase, findByte, hashName, lowerAll } from '../ascii';
import { isText, putBytes, textAt, textLength } from '../texts';
import { huffmanLength, putHuffman } from './huffman';

// Indexes of the static table (RFC 7541, appendix A).
const AUTHORITY = 1;
const METHOD_GET = 2;
const METHOD_POST = 3;
const PATH_ROOT = 4;
const SCHEME_HTTP = 6;
const SCHEME_HTTPS = 7;
const STATUS_200 = 8;
const CONTENT_LENGTH = 28;

/** What a field needs beside its bytes: the first bytes, lengths, and wide stores. */
const FIELD_BYTES = 40;

let out: i32 = 0;
let limit: i32 = 0;
let huffman: bool = false;

/** See core-functions.ts. */
export function h2EncodeHead(head: i32, length: i32, kind: i32, to: i32, capacity: i32): i32 {
  const end = head + length;
  out = to;
  limit = to + capacity;
  huffman = (kind & H2_HUFFMAN) != 0;
  let at = head;
  if ((kind & H2_TRAILERS) == 0) {
    const lineEnd = findByte(head, end, 0x0d);
    if (lineEnd - head + 64 > capacity) return 0;
    at = lineEnd + 2;
    if ((kind & H2_REQUEST) == 0) putStatus(head);
    else if (!putPseudo(head, lineEnd, at, end, kind)) return 0;
  }
  at = putLines(at, end, (kind & H2_REQUEST) != 0);
  if (at == 0) return 0;
  store<i32>(H2_ENCODED_HEAD_LENGTH, at - head);
  return out - to;
}

/** Status and reason: 101 is what a 200 says here (RFC 8441, 5.1). */
function putStatus(head: i32): void {
  const digits = head + 9;
  const status = (<i32>load<u8>(digits) - 0x30) * 100 + (<i32>load<u8>(digits + 1) - 0x30) * 10 + <i32>load<u8>(digits + 2) - 0x30;
  let index = 0;
  switch (status) {
    case 101:
    case 200:
      index = STATUS_200;
      break;
    case 204:
      index = 9;
      break;
    case 206:
      index = 10;
      break;
    case 304:
      index = 11;
      break;
    case 400:
      index = 12;
      break;
    case 404:
      index = 13;
      break;
    case 500:
      index = 14;
      break;
    default:
      store<u8>(out, STATUS_200); // its name
      store<u8>(out + 1, 3);
      store<u16>(out + 2, load<u16>(digits));
      store<u8>(out + 4, load<u8>(digits + 2));
      out += 5;
      return;
  }
  putIndexed(index);
}

@inline
function putIndexed(index: i32): void {
  store<u8>(out++, 0x80 | index);
}

/** Pseudo-header fields of a request. False where there is no room. */
function putPseudo(head: i32, lineEnd: i32, lines: i32, end: i32, kind: i32): bool {
  const methodEnd = findByte(head, lineEnd, 0x20);
  const target = methodEnd + 1;
  const targetEnd = lineEnd - 9; // " HTTP/1.1"
  const connect = isText(head, methodEnd - head, TEXT_CONNECT);
  const upgrade = (kind & H2_UPGRADE) != 0;
  if (upgrade) {
    if (!putLiteral(METHOD_GET, 0, textAt(TEXT_CONNECT), textLength(TEXT_CONNECT))) return false;
  } else if (isText(head, methodEnd - head, TEXT_GET)) {
    putIndexed(METHOD_GET);
  } else if (isText(head, methodEnd - head, TEXT_POST)) {
    putIndexed(METHOD_POST);
  } else if (!putLiteral(METHOD_GET, 0, head, methodEnd - head)) {
    return false;
  }
  if (!connect) {
    putIndexed((kind & H2_HTTPS) != 0 ? SCHEME_HTTPS : SCHEME_HTTP);
    if (targetEnd - target == 1 && load<u8>(target) == 0x2f) putIndexed(PATH_ROOT);
    else if (!putLiteral(PATH_ROOT, 0, target, targetEnd - target)) return false;
  }
  if (connect) {
    if (!putLiteral(AUTHORITY, 0, target, targetEnd - target)) return false;
  } else if (findLine(lines, end, KNOWN_HOST) && !putLiteral(AUTHORITY, 0, valueAt, valueEnd - valueAt)) {
    return false;
  }
  return !upgrade || putProtocol(lines, end);
}

function putProtocol(lines: i32, end: i32): bool {
  if (!findLine(lines, end, KNOWN_UPGRADE)) return true;
  if (out + FIELD_BYTES + valueEnd - valueAt > limit) return false;
  store<u8>(out, 0);
  store<u8>(out + 1, 9);
  store<u64>(out + 2, 0x6f636f746f72703a); // ":protoco"
  store<u8>(out + 10, 0x6c);
  out += 11;
  putString(valueAt, valueEnd - valueAt);
  return true;
}

/** The value that `findLine` and `putLines` look at. */
let valueAt: i32 = 0;
let valueEnd: i32 = 0;

@inline
function isBlank(byte: i32): bool {
  return byte == 0x20 || byte == 0x09;
}

function setValue(from: i32, to: i32): void {
  while (from < to && isBlank(load<u8>(from))) from++;
  while (to > from && isBlank(load<u8>(to - 1))) to--;
  valueAt = from;
  valueEnd = to < from ? from : to;
}

/** Sets the value of the first line of that name; false where there is none. */
function findLine(at: i32, end: i32, name: i32): bool {
  const length = textLength(name);
  while (at < end && load<u8>(at) != 0x0d) {
    const lineEnd = findByte(at, end, 0x0d);
    if (at + length < lineEnd && load<u8>(at + length) == 0x3a && equalsIgnoreCase(at, textAt(name), length)) {
      setValue(at + length + 1, lineEnd);
      return true;
    }
    at = lineEnd + 2;
  }
  return false;
}

/** Writes the lines up to the empty one or `end`; the place after it, or 0 where there is no room. */
function putLines(at: i32, end: i32, request: bool): i32 {
  let grpc = false;
  while (at < end && load<u8>(at) != 0x0d) {
    const lineEnd = findByte(at, end, 0x0d);
    const nameEnd = findByte(at, lineEnd, 0x3a);
    setValue(nameEnd + 1, lineEnd);
    const nameLength = nameEnd - at;
    const rule = ruleOf(at, nameLength);
    const length = valueEnd - valueAt;
    if ((rule & (H2_NAME_DROPPED | H2_NAME_HOST | H2_NAME_TE)) == 0) {
      if ((rule & H2_NAME_CONTENT_TYPE) != 0 && request) grpc = isGrpc(length);
      if (request && isZeroLength(rule, length)) {
        at = lineEnd + 2;
        continue;
      }
      if (!putField(at, nameLength, rule, length)) return 0;
    } else if ((rule & H2_NAME_HOST) != 0 && !request) {
      if (!putField(at, nameLength, rule, length)) return 0;
    }
    at = lineEnd + 2;
  }
  // gRPC servers want to know that nothing on the way loses trailers.
  if (grpc && !putTe()) return 0;
  return at < end ? at + 2 : at;
}

/** The end of the stream says it better. */
@inline
function isZeroLength(rule: i32, length: i32): bool {
  return (rule & H2_NAME_INDEX_MASK) == CONTENT_LENGTH && length == 1 && load<u8>(valueAt) == 0x30;
}

function isGrpc(length: i32): bool {
  const text = textLength(TEXT_GRPC);
  if (length < text || !equalsIgnoreCase(valueAt, textAt(TEXT_GRPC), text)) return false;
  // gRPC-Web is made for what has no trailers.
  return length == text || load<u8>(valueAt + text) != 0x2d;
}

function putTe(): bool {
  return putNamed(textAt(KNOWN_TE), textLength(KNOWN_TE), 0, textAt(TEXT_TRAILERS), textLength(TEXT_TRAILERS));
}

/** The rule of a name: its H2_NAME_* bits; 0 for names that are nothing special. */
function ruleOf(at: i32, length: i32): i32 {
  const hash = hashName(at, length);
  let place = hash & (H2_NAMES_COUNT - 1);
  while (true) {
    const entry = H2_NAMES + place * H2_NAME_BYTES;
    const rule = load<i32>(entry + H2_NAME_RULE);
    if (rule == 0) return 0;
    if (load<i32>(entry + H2_NAME_HASH) == hash && load<i32>(entry + H2_NAME_LENGTH) == length &&
        equalsIgnoreCase(at, load<i32>(entry + H2_NAME_AT), length)) {
      return rule;
    }
    place = (place + 1) & (H2_NAMES_COUNT - 1);
  }
}

@inline
function putField(name: i32, nameLength: i32, rule: i32, length: i32): bool {
  const index = rule & H2_NAME_INDEX_MASK;
  if (index != 0) return putLiteral(index, rule & H2_NAME_NEVER_INDEXED, valueAt, length);
  return putNamed(name, nameLength, rule & H2_NAME_NEVER_INDEXED, valueAt, length);
}

/** A literal whose name is in the static table. */
function putLiteral(index: i32, never: i32, value: i32, length: i32): bool {
  if (out + FIELD_BYTES + length > limit) return false;
  const first = never != 0 ? 0x10 : 0;
  if (index < 15) {
    store<u8>(out++, first | index);
  } else {
    store<u8>(out, first | 15);
    store<u8>(out + 1, index - 15);
    out += 2;
  }
  putString(value, length);
  return true;
}

/** A literal with a name of its own. */
function putNamed(name: i32, nameLength: i32, never: i32, value: i32, length: i32): bool {
  if (out + FIELD_BYTES + nameLength + length > limit) return false;
  store<u8>(out++, never != 0 ? 0x10 : 0);
  if (huffman) {
    putLower(H2_SCRATCH, name, nameLength);
    putString(H2_SCRATCH, nameLength);
  } else {
    putLength(nameLength, 0);
    putLower(out, name, nameLength);
    out += nameLength;
  }
  putString(value, length);
  return true;
}

function putLower(to: i32, from: i32, length: i32): void {
  for (let i = 0; i < length; i += 16) v128.store(to + i, lowerAll(v128.load(from + i)));
}

function putString(from: i32, length: i32): void {
  if (huffman) {
    const coded = huffmanLength(from, length);
    if (coded < length) {
      putLength(coded, 0x80);
      out = putHuffman(out, from, length);
      return;
    }
  }
  putLength(length, 0);
  out = putBytes(out, from, length);
}

/** A length with a prefix of seven bits (RFC 7541, 5.1). */
function putLength(length: i32, flag: i32): void {
  if (length < 127) {
    store<u8>(out++, flag | length);
    return;
  }
  store<u8>(out++, flag | 127);
  let rest = length - 127;
  while (rest >= 128) {
    store<u8>(out++, (rest & 127) | 128);
    rest >>= 7;
  }
  store<u8>(out++, rest);
}
