// The constants of HPACK (RFC 7541, appendices A and B), put into the core's memory once: the static table as lines, the
// Huffman code made from the lengths of its codes, and what the encoder knows about names.
import * as H from './h2-layout.js';

/** Appendix A, from index 1; a bar ends the name. */
export const STATIC_TABLE: readonly (readonly [string, string])[] = `
:authority|
:method|GET
:method|POST
:path|/
:path|/index.html
:scheme|http
:scheme|https
:status|200
:status|204
:status|206
:status|304
:status|400
:status|404
:status|500
accept-charset|
accept-encoding|gzip, deflate
accept-language|
accept-ranges|
accept|
access-control-allow-origin|
age|
allow|
authorization|
cache-control|
content-disposition|
content-encoding|
content-language|
content-length|
content-location|
content-range|
content-type|
cookie|
date|
etag|
expect|
expires|
from|
host|
if-match|
if-modified-since|
if-none-match|
if-range|
if-unmodified-since|
last-modified|
link|
location|
max-forwards|
proxy-authenticate|
proxy-authorization|
range|
referer|
refresh|
retry-after|
server|
set-cookie|
strict-transport-security|
transfer-encoding|
user-agent|
vary|
via|
www-authenticate|`
  .trim()
  .split('\n')
  .map((line) => line.split('|') as [string, string]);

/** Appendix B: length of the code of each symbol, and of the end of a string (256), 16 in a row. */
export const CODE_LENGTHS: readonly number[] = `
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28
28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6
5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7
7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5
6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23
24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23
21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25
19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23
26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30`
  .trim()
  .split(/\s+/)
  .map(Number);

const MAX_CODE_BITS = 30;
const SHORT_BITS = 12;

/** What the encoder does with a name beside its index: h2EncodeHead. */
const NAME_RULES: Readonly<Record<string, number>> = {
  host: H.H2_NAME_HOST,
  te: H.H2_NAME_TE,
  upgrade: H.H2_NAME_DROPPED,
  connection: H.H2_NAME_DROPPED,
  'keep-alive': H.H2_NAME_DROPPED,
  'proxy-connection': H.H2_NAME_DROPPED,
  'transfer-encoding': H.H2_NAME_DROPPED,
  'content-type': H.H2_NAME_CONTENT_TYPE,
  authorization: H.H2_NAME_NEVER_INDEXED,
  'proxy-authorization': H.H2_NAME_NEVER_INDEXED,
  cookie: H.H2_NAME_NEVER_INDEXED,
  'set-cookie': H.H2_NAME_NEVER_INDEXED,
};

const FIELDS: Readonly<Record<string, number>> = {
  ':authority': H.H2_FIELD_AUTHORITY,
  ':method': H.H2_FIELD_METHOD,
  ':path': H.H2_FIELD_PATH,
  ':scheme': H.H2_FIELD_SCHEME,
  ':status': H.H2_FIELD_STATUS,
  host: H.H2_FIELD_HOST,
  'content-length': H.H2_FIELD_CONTENT_LENGTH,
  cookie: H.H2_FIELD_COOKIE,
  'transfer-encoding': H.H2_FIELD_FORBIDDEN,
};

/** Fills H2_TABLES. `hashName` is the core's own. */
export function writeH2Tables(
  bytes: Buffer,
  i32: Int32Array,
  hashName: (offset: number, length: number) => number,
): void {
  let end = H.H2_TEXT_BYTES;
  const put = (text: string) => {
    const offset = end;
    bytes.write(text, offset, 'latin1');
    end += (text.length + 7) & ~7;
    if (end + 16 > H.H2_TEXT_BYTES_END) throw new RangeError('the region for HPACK texts is too small');
    return offset;
  };
  const rules = new Map(Object.entries(NAME_RULES));
  STATIC_TABLE.forEach(([name, value], place) => {
    const entry = (H.H2_STATIC_ENTRIES + (place + 1) * H.H2_ENTRY_BYTES) >> 2;
    i32[entry] = put(`${name}: ${value}\r\n`);
    i32[entry + 1] = name.length;
    i32[entry + 2] = value.length;
    i32[entry + 3] = FIELDS[name] ?? H.H2_FIELD_REGULAR;
    const rule = rules.get(name) ?? 0;
    if (!name.startsWith(':') && (rule & H.H2_NAME_INDEX_MASK) === 0) rules.set(name, rule | (place + 1));
  });
  for (const [name, rule] of rules) addName(i32, put(name), name.length, rule | H.H2_NAME_KNOWN, hashName);
  writeHuffman(bytes, i32);
}

function addName(
  i32: Int32Array,
  offset: number,
  length: number,
  rule: number,
  hashName: (offset: number, length: number) => number,
): void {
  const hash = hashName(offset, length);
  let place = hash & (H.H2_NAMES_COUNT - 1);
  const entryOf = () => (H.H2_NAMES + place * H.H2_NAME_BYTES) >> 2;
  while (i32[entryOf() + 3] !== 0) place = (place + 1) & (H.H2_NAMES_COUNT - 1);
  i32[entryOf()] = hash;
  i32[entryOf() + 1] = offset;
  i32[entryOf() + 2] = length;
  i32[entryOf() + 3] = rule;
}

/** The code is canonical: codes of a length follow each other in the order of the symbols, after all shorter ones. */
function writeHuffman(bytes: Buffer, i32: Int32Array): void {
  const short: { symbol: number; length: number; code: number }[] = [];
  let code = 0;
  let index = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    code *= 2;
    const row = (H.H2_HUFFMAN_LENGTHS + length * H.H2_HUFFMAN_LENGTH_BYTES) >> 2;
    i32[row] = code * 2 ** (32 - length);
    i32[row + 2] = index;
    for (let symbol = 0; symbol < CODE_LENGTHS.length; symbol++) {
      if (CODE_LENGTHS[symbol] !== length) continue;
      bytes.writeUInt16LE(symbol, H.H2_HUFFMAN_SYMBOLS + index * 2);
      if (symbol < 256) {
        i32[(H.H2_HUFFMAN_CODES + symbol * 8) >> 2] = code;
        i32[(H.H2_HUFFMAN_CODES + symbol * 8 + 4) >> 2] = length;
      }
      short.push({ symbol, length, code });
      code++;
      index++;
    }
    i32[row + 1] = code * 2 ** (32 - length);
    if (length === SHORT_BITS) writeShortCodes(i32, short);
  }
}

/** What the next SHORT_BITS bits hold: one symbol, or two where the second one's code ends in them as well. */
function writeShortCodes(
  i32: Int32Array,
  codes: readonly { readonly symbol: number; readonly length: number; readonly code: number }[],
): void {
  const fill = (code: number, length: number, entry: number) => {
    const first = (H.H2_HUFFMAN_SHORT + (code << (SHORT_BITS - length)) * 4) >> 2;
    i32.fill(entry | (length << 16), first, first + (1 << (SHORT_BITS - length)));
  };
  for (const one of codes) {
    fill(one.code, one.length, one.symbol | (1 << 24));
    for (const two of codes) {
      const length = one.length + two.length;
      if (length > SHORT_BITS) continue;
      fill((one.code << two.length) | two.code, length, one.symbol | (two.symbol << 8) | (2 << 24));
    }
  }
}
