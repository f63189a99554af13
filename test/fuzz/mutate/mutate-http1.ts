// Fuzzing: requests of HTTP/1.1 to start from, and the words that framing hangs on.

import type { Random } from '../loop/random.js';
import { mutateBytes } from './mutate-bytes.js';

const text = (value: string) => Buffer.from(value, 'latin1');

const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\0',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  'Content-Length: 3\r\n',
  'Content-Length: 0\r\n',
  'content-length:+3\r\n',
  'Content-Length: 3, 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Transfer-Encoding:\x0bchunked\r\n',
  'transfer-encoding : chunked\r\n',
  'Connection: close\r\n',
  'Connection: content-length\r\n',
  'Connection: Upgrade\r\nUpgrade: h2c\r\n',
  'Expect: 100-continue\r\n',
  'Host: other\r\n',
  'X: y\r\n folded\r\n',
  'HTTP/1.0',
  'HTTP/1.1',
  'HTTP/2.0',
  'GET http://other/ HTTP/1.1\r\n',
  'OPTIONS * HTTP/1.1\r\n',
  'CONNECT h:80 HTTP/1.1\r\n',
  'HEAD',
  'POST',
  '/%2e%2e/',
  '/..;/',
  '%00',
  '#',
  '?',
  '\\',
  'ffffffffffffffff\r\n',
  '1;a="\r\n',
].map(text);

export const HTTP1_SEEDS: readonly Buffer[] = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /a/../b?x=1#f HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nCookie: a=b\r\n\r\n',
  'POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: t\r\n\r\n',
  'PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /next HTTP/1.1\r\nHost: a\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok',
  'GET http://b.example/abs?q HTTP/1.1\r\nHost: a\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  '\r\n\r\nDELETE /%41%2f%2E?%zz HTTP/1.1\r\nHOST: [::1]:80\r\nTE: trailers\r\nConnection: te, x-a\r\nX-A: 1\r\n\r\n',
].map(text);

/** Pipelines another stream after this one now and then; else edits it. */
export function mutateHttp1(random: Random, input: Buffer, other: Buffer): Buffer {
  const base = random.chance(0.15) && input.length + other.length < 16_384 ? Buffer.concat([input, other]) : input;
  return mutateBytes(random, base, other, TOKENS);
}
