// Test support: HTTP/1.1 messages as a client, a broken client and an attacker would send them.
import fc from 'fast-check';

const asciiPieces = fc.constantFrom(
  '/',
  '//',
  '/.',
  '/..',
  '/a',
  '/b.c',
  '/%2e',
  '/%2E%2e',
  '/%2f',
  '/%5C',
  '\\',
  '/%41',
  '/%7e',
  '/%zz',
  '%',
  '/%0',
  '%%',
  '%2',
  '%32',
  '%65',
  '/..;a',
  '/.;',
  '/%2e.;b',
  '"<|^',
  '/*',
  '/a%20b',
  '/%252e',
  '/%00',
  ';p=1',
  '/..%2f',
  '/.%2e/',
  '/x/./y',
  '/long-segment-that-passes-sixteen-bytes',
);
// What is outside of ASCII is refused, wherever it stands.
const pathPieces = fc.oneof(
  { weight: 60, arbitrary: asciiPieces },
  { weight: 1, arbitrary: fc.constantFrom('/é', '\u007f') },
);
const queries = fc.constantFrom('', '', '', '?', '?a=1', '?a=//../b', '?%2e%2e', '#f', '?q#f', '#?x', '?a=1&b=2&a=3');
export const origins = fc
  .tuple(fc.array(pathPieces, { minLength: 1, maxLength: 8 }), queries)
  .map(([pieces, query]) => {
    const path = pieces.join('');
    return (path.startsWith('/') ? path : `/${path}`) + query;
  });
const targets = fc.oneof(
  { weight: 20, arbitrary: origins },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom('http://h.example', 'HTTPS://H:443', 'http://[::1]:80', 'http://u@h', 'http://', 'ftp://h'),
        fc.oneof(origins, queries),
      )
      .map(([a, b]) => a + b),
  },
  { weight: 1, arbitrary: fc.constantFrom('*', 'h:80', '', 'x', '/ /', '[::1]:443', 'h:65536', ':80', '::1:80', 'h:') },
);
const methods = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', 'OPTIONS') },
  { weight: 1, arbitrary: fc.constantFrom('CONNECT', 'get', 'X-CUSTOM', 'G(T', '', 'M'.repeat(33)) },
);
const versions = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom('HTTP/1.1') },
  { weight: 1, arbitrary: fc.constantFrom('HTTP/1.0', 'HTTP/2.0', 'HTTP/1.2', 'http/1.1', 'HTTP/11', 'HTTP/1.11', '') },
);
const values = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom('x', '', '  padded \t', 'a,b', 'v'.repeat(40), '\u00e9', 'tab\tin') },
  { weight: 1, arbitrary: fc.constantFrom('a\u0000b', 'a\u007fb', 'a\rb', 'a\nb', 'a\r\n folded') },
  {
    weight: 10,
    arbitrary: fc.string({
      unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)),
      maxLength: 30,
    }),
  },
);
const separators = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom(': ', ':', ':  ', ':\t') },
  { weight: 1, arbitrary: fc.constant(' : ') },
);
/** Mostly from the first list, now and then from the second. */
const mostly = (good: readonly string[], bad: readonly string[]) =>
  fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) });
const line = (names: readonly string[], texts: fc.Arbitrary<string>) =>
  fc.tuple(fc.constantFrom(...names), separators, texts).map((parts) => parts.join(''));
const plainLines = line(
  [
    'accept',
    'User-Agent',
    'x-b',
    'X-B',
    'cookie',
    'end-user',
    'x-request-id',
    'a-header-name-of-more-than-sixteen-bytes',
  ],
  values,
);
const hopLines = fc.oneof(
  line(
    ['Connection', 'connection'],
    mostly(['close', 'keep-alive', 'x-b', 'Close, X-B', ',', 'keep-alive, , te', 'upgrade', ''], ['host', 'a b']),
  ),
  line(
    ['TE', 'Trailer', 'Upgrade', 'Keep-Alive', 'Proxy-Connection', 'Proxy-Authorization'],
    fc.constantFrom('trailers', 'h2c', 'websocket', '1'),
  ),
);
const framingLines = fc.oneof(
  line(
    ['Content-Length', 'content-length'],
    mostly(
      ['3', '3', '3', '03'],
      ['0', '+3', '3,3', '-1', '', '99999999999999999999', '0x3', '9007199254740991', '9007199254740992'],
    ),
  ),
  line(
    ['Transfer-Encoding', 'transfer-encoding'],
    mostly(
      ['chunked', 'Chunked', ' chunked '],
      ['gzip, chunked', 'chunked, gzip', 'identity', 'chunked,chunked', 'xchunked', '', 'chunked;a=b'],
    ),
  ),
  line(['Expect'], fc.constantFrom('100-continue', '100-Continue', 'x')),
);
const oddLines = fc.constantFrom(
  ' folded',
  'no colon',
  ': empty name',
  'bad name: x',
  'x(y: z',
  'host: second',
  'Host:',
  'x:y',
  'é: x',
);

/** A request head: mostly valid, with each rule broken now and then. */
export const requestHeads = fc
  .record({
    method: methods,
    target: targets,
    version: versions,
    host: fc.oneof(
      { weight: 40, arbitrary: fc.constantFrom('Host: reviews', 'host: Reviews:9080', 'HOST:[::1]:80') },
      { weight: 1, arbitrary: fc.constantFrom('', 'host: a b', 'host: u@h', 'host: ') },
    ),
    lines: fc.array(
      fc.oneof(
        { weight: 40, arbitrary: plainLines },
        { weight: 12, arbitrary: hopLines },
        { weight: 6, arbitrary: framingLines },
        { weight: 1, arbitrary: oddLines },
      ),
      { maxLength: 8 },
    ),
    hostPlace: fc.nat(8),
    leading: fc.constantFrom('', '', '', '', '\r\n', '\r\n\r\n'),
  })
  .map(({ method, target, version, host, lines, hostPlace, leading }) => {
    const all = [...lines];
    if (host !== '') all.splice(Math.min(hostPlace, all.length), 0, host);
    return `${leading}${[`${method} ${target} ${version}`, ...all].join('\r\n')}\r\n\r\n`;
  });

/** Body bytes with their framing line. */
const framedBodies = fc.oneof(
  fc.constant({ line: '', body: '' }),
  fc
    .string({ unit: fc.constantFrom('a', '\r', '\n', '0', 'G'), minLength: 1, maxLength: 40 })
    .map((body) => ({ line: `content-length: ${body.length}`, body })),
  fc
    .array(fc.string({ unit: fc.constantFrom('a', '\r', '\n', '0', ';'), minLength: 1, maxLength: 30 }), {
      maxLength: 4,
    })
    .chain((chunks) =>
      fc
        .tuple(
          fc.constantFrom('', ';ext=1', ';a="b;c"'),
          fc.constantFrom('', 'x-t: 1\r\n', 'x-t: 1\r\nexpires: never\r\n'),
        )
        .map(([extension, trailers]) => ({
          line: 'transfer-encoding: chunked',
          body: `${chunks.map((chunk) => `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`).join('')}0${extension}\r\n${trailers}\r\n`,
        })),
    ),
);

/** A valid request with its body. */
export const validMessages = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT'),
    target: origins,
    framed: framedBodies,
    extra: fc.array(
      line(['accept', 'x-b', 'cookie'], fc.constantFrom('x', 'a,b', 'v'.repeat(40))).filter((l) => !l.includes(' :')),
      { maxLength: 4 },
    ),
  })
  .map(({ method, target, framed, extra }) => {
    const lines = [
      `${method} ${target} HTTP/1.1`,
      'host: reviews',
      ...extra,
      ...(framed.line === '' ? [] : [framed.line]),
    ];
    return `${lines.join('\r\n')}\r\n\r\n${framed.body}`;
  });

/** Single edits of text, as a fuzzer makes them. */
export const edits = fc.array(
  fc.record({
    kind: fc.constantFrom('replace', 'insert', 'delete', 'repeat'),
    place: fc.double({ min: 0, max: 1, noNaN: true }),
    byte: fc.oneof(
      fc.constantFrom('\r', '\n', ' ', ':', '\t', '\0', ',', '0', ';', '\u00ff', '\r\n'),
      fc.nat(255).map((c) => String.fromCharCode(c)),
    ),
    length: fc.integer({ min: 1, max: 12 }),
  }),
  { maxLength: 4 },
);

/** Applies edits in order. */
export function applyEdits(
  text: string,
  list: readonly { kind: string; place: number; byte: string; length: number }[],
): string {
  let result = text;
  for (const { kind, place, byte, length } of list) {
    const at = Math.floor(place * result.length);
    const before = result.slice(0, at);
    if (kind === 'replace') result = before + byte + result.slice(at + 1);
    else if (kind === 'insert') result = before + byte + result.slice(at);
    else if (kind === 'delete') result = before + result.slice(at + length);
    else result = before + result.slice(at, at + length) + result.slice(at);
  }
  return result;
}
