// HTTP/2: a header block (RFC 7541, 3) field by field. What a field becomes is in head-form.ts; here the tables are kept
// right whatever becomes of the head, because the next block of the connection depends on them.
import {
  H2_DECODER_MUST_UPDATE, H2_ERROR_COMPRESSION, H2_ERROR_FLOOD, H2_FIELD_BAD_VALUE,
  H2_MAX_BLOCK_BYTES, H2_MAX_FIELDS,
} from '../../src/http2/h2-layout';
import { putBytes, putColon, putCrlf } from '../texts';
import { entryField, entryLine, entryNameLength, entryValueLength, find, insert, resize } from './dynamic-table';
import { badValue, fieldOfName } from './field-rules';
import { acceptField, acceptLine, beginHead, endHead, lineRoom, wantsMore } from './head-form';
import { decodeHuffman } from './huffman';

/** Integers of more bytes than this after the prefix are refused; they reach 2^28. */
const MAX_INTEGER_SHIFT = 21;

/** The place in the block. */
let at: i32 = 0;
let blockEnd: i32 = 0;

/** See core-functions.ts. */
export function h2DecodeHead(decoder: i32, offset: i32, length: i32, kind: i32, out: i32, capacity: i32): i32 {
  if (length > H2_MAX_BLOCK_BYTES) return H2_ERROR_FLOOD;
  at = offset;
  blockEnd = offset + length;
  beginHead(kind, out, capacity);
  let fields = 0;
  while (at < blockEnd) {
    const first = <i32>load<u8>(at);
    if ((first & 0xe0) == 0x20) {
      // A change of size, only before the first field (RFC 7541, 4.2).
      const size = integer(0x1f);
      if (fields > 0 || size < 0 || !resize(decoder, size)) return H2_ERROR_COMPRESSION;
      continue;
    }
    if (fields == 0 && load<i32>(decoder + H2_DECODER_MUST_UPDATE) != 0) return H2_ERROR_COMPRESSION;
    if (++fields > H2_MAX_FIELDS) return H2_ERROR_FLOOD;
    if ((first & 0x80) != 0) {
      const index = integer(0x7f);
      if (index < 0 || !find(decoder, index)) return H2_ERROR_COMPRESSION;
      acceptField(entryLine, entryNameLength, entryValueLength, entryField);
    } else if (!literal(decoder, first)) {
      return H2_ERROR_COMPRESSION;
    }
  }
  return endHead();
}

/** A literal field (RFC 7541, 6.2); false where it cannot be decoded. */
function literal(decoder: i32, first: i32): bool {
  const indexed = (first & 0x40) != 0;
  const index = integer(indexed ? 0x3f : 0x0f);
  if (index < 0) return false;
  const wanted = wantsMore();
  let nameLength = 0;
  let field = 0;
  if (index > 0) {
    if (!find(decoder, index)) return false;
    // What nobody wants is decoded all the same, because the code can be broken in it.
    if (!indexed && !wanted) return string(lineRoom(0, blockEnd - at)) >= 0;
    nameLength = entryNameLength;
    field = entryField & ~H2_FIELD_BAD_VALUE;
  }
  const line = lineRoom(nameLength, blockEnd - at);
  let end = line;
  if (index > 0) {
    end = putBytes(line, entryLine, nameLength);
  } else {
    end = string(line);
    if (end < 0) return false;
    nameLength = end - line;
    field = fieldOfName(line, nameLength);
  }
  const value = putColon(end);
  end = string(value);
  if (end < 0) return false;
  const valueLength = end - value;
  field |= badValue(value, valueLength);
  putCrlf(end);
  if (indexed) insert(decoder, line, nameLength, valueLength, field);
  if (wanted) acceptLine(line, nameLength, valueLength, field);
  return true;
}

/** An integer (RFC 7541, 5.1) whose prefix has the bits of `mask`; -1 where it does not end or is too large. */
function integer(mask: i32): i32 {
  let value = <i32>load<u8>(at++) & mask;
  if (value < mask) return value;
  for (let shift = 0; at < blockEnd && shift <= MAX_INTEGER_SHIFT; shift += 7) {
    const byte = <i32>load<u8>(at++);
    value += (byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return -1;
}

/** Decodes a string (RFC 7541, 5.2) to `out`; the place after it, or -1. */
function string(out: i32): i32 {
  if (at >= blockEnd) return -1;
  const coded = load<u8>(at) >= 0x80;
  const length = integer(0x7f);
  if (length < 0 || length > blockEnd - at) return -1;
  const from = at;
  at += length;
  return coded ? decodeHuffman(from, length, out) : putBytes(out, from, length);
}
