// Downstream, HTTP inspector: tells from the first bytes of a connection whether they are HTTP, and of which version.

import { PREFACE } from '../../codec/http2/frames.js';

export type FirstLineResult =
  | { readonly kind: 'need-more' }
  /** In the words of `application_protocols` of a filter chain's match. */
  | { readonly kind: 'http'; readonly protocol: 'http/1.0' | 'http/1.1' | 'h2c' }
  | { readonly kind: 'other' };

/** The longest request line that is waited for: no head may be longer. */
export const MAX_FIRST_LINE_BYTES = 60 * 1024;

/** The registered methods that Envoy's inspector knows: a connection that begins with another word is no HTTP. */
const METHODS = (
  'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS ' +
  'PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
)
  .split(' ')
  .map((method) => Buffer.from(`${method} `, 'latin1'));
const LONGEST_METHOD = Math.max(...METHODS.map(({ length }) => length));
const VERSION = Buffer.from(' HTTP/1.', 'latin1');

const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const DIGIT_ZERO = 0x30;
const DIGIT_NINE = 0x39;
const DIGIT_ONE = 0x31;

const NEED_MORE: FirstLineResult = { kind: 'need-more' };
const OTHER: FirstLineResult = { kind: 'other' };
const HTTP_2: FirstLineResult = { kind: 'http', protocol: 'h2c' };
const HTTP_1_1: FirstLineResult = { kind: 'http', protocol: 'http/1.1' };
const HTTP_1_0: FirstLineResult = { kind: 'http', protocol: 'http/1.0' };

/**
 * Reads the first line of a connection as far as it is here: HTTP/2 by its preface (RFC 9113, 3.4), HTTP/1 by method and version.
 *
 * @param searched how many of the bytes were given before, so that a line which comes byte by byte is not read again and again
 */
export function readFirstLine(bytes: Uint8Array, searched = 0): FirstLineResult {
  if (bytes.length === 0) return NEED_MORE;
  if (beginsAlike(bytes, PREFACE)) return bytes.length < PREFACE.length ? NEED_MORE : HTTP_2;
  if (!beginsWithMethod(bytes)) return OTHER;
  const end = endOfLine(bytes, searched);
  if (end < 0) return bytes.length > MAX_FIRST_LINE_BYTES ? OTHER : NEED_MORE;
  return versionOf(bytes, end);
}

/** As far as both go. */
function beginsAlike(bytes: Uint8Array, expected: Uint8Array): boolean {
  const count = Math.min(bytes.length, expected.length);
  for (let index = 0; index < count; index++) if (bytes[index] !== expected[index]) return false;
  return true;
}

function beginsWithMethod(bytes: Uint8Array): boolean {
  const start = bytes.subarray(0, LONGEST_METHOD);
  return METHODS.some((method) => beginsAlike(start, method));
}

function endOfLine(bytes: Uint8Array, from: number): number {
  for (let index = from; index < bytes.length; index++) {
    const byte = bytes[index]!;
    if (byte === CARRIAGE_RETURN || byte === LINE_FEED) return index;
  }
  return -1;
}

function versionOf(bytes: Uint8Array, end: number): FirstLineResult {
  const start = end - VERSION.length - 1;
  if (start <= 0) return OTHER;
  for (let index = 0; index < VERSION.length; index++) if (bytes[start + index] !== VERSION[index]) return OTHER;
  const minor = bytes[end - 1]!;
  if (minor < DIGIT_ZERO || minor > DIGIT_NINE) return OTHER;
  return minor === DIGIT_ONE ? HTTP_1_1 : HTTP_1_0;
}
