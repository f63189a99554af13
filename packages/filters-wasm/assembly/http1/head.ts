// Header lines of a request or response head: strict syntax, a table of ranges, and what framing needs from them.
// Refused: obs-fold, a space before the colon, bare CR or LF, control bytes, names that are not tokens.
import {
  HEADER_ENTRY_BYTES, HEADER_FLAGS, HEADER_FLAG_DROPPED, HEADER_HASH, HEADER_KNOWN, HEADER_LINE_LENGTH,
  HEADER_LINE_OFFSET, HEADER_NAME_LENGTH, HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET, KNOWN_HEADERS,
  KNOWN_HEADERS_COUNT, MAX_HEADERS, PARSE_ERROR,
} from '../../src/layout';
import {
  KNOWN_CONNECTION, KNOWN_CONTENT_LENGTH, KNOWN_HOST, KNOWN_TRANSFER_ENCODING, TEXT_CHUNKED, TEXT_CLOSE,
  TEXT_KEEP_ALIVE, TEXT_UPGRADE,
} from '../../src/table-layout';
import {
  PARSE_ERROR_BOTH_LENGTHS, PARSE_ERROR_CONNECTION_HEADER, PARSE_ERROR_CONTENT_LENGTH, PARSE_ERROR_FOLDED_HEADER,
  PARSE_ERROR_HEADER_NAME, PARSE_ERROR_HEADER_VALUE, PARSE_ERROR_LINE_END, PARSE_ERROR_TOO_MANY_HEADERS,
  PARSE_ERROR_TRANSFER_ENCODING,
} from './parse-errors';
import { equalsIgnoreCase, findControl, findNonToken, hashName, parseDigits } from '../ascii';
import { isText } from '../texts';

/** At most so many names in Connection beside close, keep-alive and upgrade: each is compared with every header. */
const MAX_NOMINATED = 16;

/** Number of entries that scanHeaders filled. */
export let headerCount: i32 = 0;

/** Whether one of them is Connection. */
export let hasConnection: bool = false;

/** What the framing headers said. */
export let contentLength: f64 = -1;
export let transferCodings: i32 = 0;
export let lastCodingIsChunked: bool = false;
export let earlierChunked: bool = false;

/** What the Connection lines said. */
export let connectionClose: bool = false;
export let connectionKeepAlive: bool = false;
export let connectionUpgrade: bool = false;

/** Notes why a head is refused; returns `-status`. */
export function refuse(status: i32, reason: i32): i32 {
  store<i32>(PARSE_ERROR, reason);
  return -status;
}

@inline
function isBlank(byte: i32): bool {
  return byte == 0x20 || byte == 0x09;
}

function knownHeader(hash: i32, name: i32, length: i32): i32 {
  let place = hash & (KNOWN_HEADERS_COUNT - 1);
  while (true) {
    const entry = KNOWN_HEADERS + (place << 4);
    const id = load<i32>(entry + 4);
    if (id == 0) return 0;
    if (load<i32>(entry) == hash && load<i32>(entry + 12) == length && equalsIgnoreCase(name, load<i32>(entry + 8), length)) {
      return id;
    }
    place = (place + 1) & (KNOWN_HEADERS_COUNT - 1);
  }
}

/**
 * Reads header lines from `at` up to and with the empty line, into `table`. Returns the place after the empty line, 0 where
 * the bytes end before it, or a negative refusal.
 */
export function scanHeaders(at: i32, end: i32, table: i32): i32 {
  let count = 0;
  let entry = table;
  hasConnection = false;
  while (true) {
    if (at >= end) return 0;
    const first = <i32>load<u8>(at);
    if (first == 0x0d) {
      if (at + 1 >= end) return 0;
      if (load<u8>(at + 1) != 0x0a) return refuse(400, PARSE_ERROR_LINE_END);
      headerCount = count;
      return at + 2;
    }
    const nameEnd = findNonToken(at, end);
    if (nameEnd >= end) return 0;
    if (nameEnd == at) {
      return refuse(400, isBlank(first) ? PARSE_ERROR_FOLDED_HEADER : PARSE_ERROR_HEADER_NAME);
    }
    if (load<u8>(nameEnd) != 0x3a) return refuse(400, PARSE_ERROR_HEADER_NAME);
    let value = nameEnd + 1;
    while (value < end && isBlank(load<u8>(value))) value++;
    const lineEnd = findControl(value, end);
    if (lineEnd >= end) return 0;
    if (load<u8>(lineEnd) != 0x0d) {
      return refuse(400, load<u8>(lineEnd) == 0x0a ? PARSE_ERROR_LINE_END : PARSE_ERROR_HEADER_VALUE);
    }
    if (lineEnd + 1 >= end) return 0;
    if (load<u8>(lineEnd + 1) != 0x0a) return refuse(400, PARSE_ERROR_LINE_END);
    if (count == MAX_HEADERS) return refuse(431, PARSE_ERROR_TOO_MANY_HEADERS);
    let valueEnd = lineEnd;
    while (valueEnd > value && isBlank(load<u8>(valueEnd - 1))) valueEnd--;
    const nameLength = nameEnd - at;
    const hash = hashName(at, nameLength);
    store<i32>(entry + HEADER_LINE_OFFSET, at);
    store<i32>(entry + HEADER_LINE_LENGTH, lineEnd + 2 - at);
    store<i32>(entry + HEADER_NAME_LENGTH, nameLength);
    store<i32>(entry + HEADER_VALUE_OFFSET, value);
    store<i32>(entry + HEADER_VALUE_LENGTH, valueEnd - value);
    const known = knownHeader(hash, at, nameLength);
    if (known == KNOWN_CONNECTION) hasConnection = true;
    store<i32>(entry + HEADER_KNOWN, known);
    store<i32>(entry + HEADER_HASH, hash);
    store<i32>(entry + HEADER_FLAGS, 0);
    count++;
    entry += HEADER_ENTRY_BYTES;
    at = lineEnd + 2;
  }
}

@inline
export function drop(entry: i32): void {
  store<i32>(entry + HEADER_FLAGS, load<i32>(entry + HEADER_FLAGS) | HEADER_FLAG_DROPPED);
}

/** Forgets what an earlier head left. */
export function resetFraming(): void {
  contentLength = -1;
  transferCodings = 0;
  lastCodingIsChunked = false;
  earlierChunked = false;
  connectionClose = false;
  connectionKeepAlive = false;
  connectionUpgrade = false;
}

/** A Content-Length line: digits alone; a second one must say the same, and is not forwarded. 0 or a refusal. */
export function readContentLength(entry: i32): i32 {
  const value = parseDigits(load<i32>(entry + HEADER_VALUE_OFFSET), load<i32>(entry + HEADER_VALUE_LENGTH));
  if (value < 0 || (contentLength >= 0 && contentLength != value)) return refuse(400, PARSE_ERROR_CONTENT_LENGTH);
  if (contentLength >= 0) drop(entry);
  contentLength = value;
  respellContentLength(entry);
  return 0;
}

/** Recipients differ in how they read blanks and leading zeros; what goes on is `name: digits`, the number that was understood. */
@inline
function respellContentLength(entry: i32): void {
  let value = load<i32>(entry + HEADER_VALUE_OFFSET);
  let length = load<i32>(entry + HEADER_VALUE_LENGTH);
  while (length > 1 && load<u8>(value) == 0x30) {
    value++;
    length--;
  }
  store<i32>(entry + HEADER_VALUE_OFFSET, value);
  store<i32>(entry + HEADER_VALUE_LENGTH, length);
  const nameLength = load<i32>(entry + HEADER_NAME_LENGTH);
  const plain = load<i32>(entry + HEADER_LINE_OFFSET) + nameLength + 2 == value && load<u8>(value - 1) == 0x20;
  if (!plain || load<i32>(entry + HEADER_LINE_LENGTH) != nameLength + length + 4) store<i32>(entry + HEADER_LINE_LENGTH, 0);
}

/** A Transfer-Encoding line: counts the codings in order. 0 or a refusal. */
export function readTransferEncoding(entry: i32): i32 {
  let at = load<i32>(entry + HEADER_VALUE_OFFSET);
  const end = at + load<i32>(entry + HEADER_VALUE_LENGTH);
  while (true) {
    while (at < end && isBlank(load<u8>(at))) at++;
    const start = at;
    while (at < end && load<u8>(at) != 0x2c) at++;
    let stop = at;
    while (stop > start && isBlank(load<u8>(stop - 1))) stop--;
    if (stop == start) return refuse(400, PARSE_ERROR_TRANSFER_ENCODING);
    if (lastCodingIsChunked) earlierChunked = true;
    lastCodingIsChunked = isText(start, stop - start, TEXT_CHUNKED);
    transferCodings++;
    if (at >= end) return 0;
    at++;
  }
}

/** The rules about both lengths and about codings; 0 or a refusal (501 for a coding that is not known). */
export function checkFraming(minorVersion: i32): i32 {
  if (transferCodings == 0) return 0;
  if (contentLength >= 0) return refuse(400, PARSE_ERROR_BOTH_LENGTHS);
  if (!lastCodingIsChunked || earlierChunked || minorVersion == 0) return refuse(400, PARSE_ERROR_TRANSFER_ENCODING);
  if (transferCodings > 1) return refuse(501, PARSE_ERROR_TRANSFER_ENCODING);
  return 0;
}

/** Reads the Connection lines before anything else is made of the headers. 0 or a refusal. */
export function readConnections(table: i32): i32 {
  if (!hasConnection) return 0;
  for (let i = 0; i < headerCount; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) != KNOWN_CONNECTION) continue;
    const result = readConnection(entry, table);
    if (result != 0) return result;
  }
  return 0;
}

/**
 * Reads one Connection line; headers that it names are dropped, so that neither a decision nor the other side sees them.
 * 0 or a refusal (names that every recipient needs, not a token, too many).
 */
function readConnection(entry: i32, table: i32): i32 {
  let at = load<i32>(entry + HEADER_VALUE_OFFSET);
  const end = at + load<i32>(entry + HEADER_VALUE_LENGTH);
  let nominated = 0;
  while (at < end) {
    while (at < end && (isBlank(load<u8>(at)) || load<u8>(at) == 0x2c)) at++;
    if (at >= end) break;
    const start = at;
    at = findNonToken(at, end);
    const length = at - start;
    while (at < end && isBlank(load<u8>(at))) at++;
    if (length == 0 || (at < end && load<u8>(at) != 0x2c)) return refuse(400, PARSE_ERROR_CONNECTION_HEADER);
    if (isText(start, length, TEXT_CLOSE)) connectionClose = true;
    else if (isText(start, length, TEXT_KEEP_ALIVE)) connectionKeepAlive = true;
    else if (isText(start, length, TEXT_UPGRADE)) connectionUpgrade = true;
    else {
      if (++nominated > MAX_NOMINATED) return refuse(400, PARSE_ERROR_CONNECTION_HEADER);
      const result = dropNominated(start, length, table);
      if (result != 0) return result;
    }
  }
  return 0;
}

function dropNominated(name: i32, length: i32, table: i32): i32 {
  const hash = hashName(name, length);
  const known = knownHeader(hash, name, length);
  if (known == KNOWN_HOST || known == KNOWN_CONTENT_LENGTH || known == KNOWN_TRANSFER_ENCODING || known == KNOWN_CONNECTION) {
    return refuse(400, PARSE_ERROR_CONNECTION_HEADER);
  }
  for (let i = 0; i < headerCount; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != length) continue;
    if (equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, length)) drop(entry);
  }
  return 0;
}
