// Test support: header blocks as peers, broken peers and attackers send them.
import fc from 'fast-check';
import { hpackInteger, hpackString } from './reference-hpack.js';

/** Mostly from the first list, now and then from the second. */
const mostly = (good: readonly string[], bad: readonly string[], weight = 20) =>
  fc.oneof({ weight, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) });

const latin1 = fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)), maxLength: 40 });
const printable = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
});
const values = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom('x', '', 'a, b', 'application/grpc', 'v'.repeat(50), 'tab\tin', '\u00e9') },
  { weight: 8, arbitrary: printable },
  { weight: 1, arbitrary: latin1 },
  { weight: 1, arbitrary: fc.constantFrom(' x', 'x ', '\tx', 'a\r\nb: c', 'a\nb', 'a\0b', 'a\u007fb', 'a\rb') },
);
const names = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.constantFrom('accept', 'user-agent', 'x-b', 'grpc-timeout', 'a-name-of-more-than-sixteen-bytes', 'x'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('Accept', '', 'a b', 'a:b', 'x\r\ny', '\u00e9', 'connection', 'keep-alive', 'upgrade'),
  },
  { weight: 1, arbitrary: fc.constantFrom('transfer-encoding', 'proxy-connection', 'transferxencoding', 'connectiom') },
);

/** A field and how it is sent. */
export interface SentField {
  readonly name: string;
  readonly value: string;
  /** Place among the entries in use, for fields and names that are sent by index. */
  readonly index: number;
  readonly way: 'indexed' | 'added' | 'added-by-name' | 'plain' | 'plain-by-name' | 'never';
  readonly coded: boolean;
}

const ways = fc.constantFrom<SentField['way'][]>(
  'indexed',
  'added',
  'added',
  'added-by-name',
  'plain',
  'plain',
  'plain-by-name',
  'never',
);
const sent = (name: fc.Arbitrary<string>, value: fc.Arbitrary<string>, way: fc.Arbitrary<SentField['way']> = ways) =>
  fc.record<SentField>({ name, value, way, coded: fc.boolean(), index: fc.oneof(fc.nat(70), fc.nat(5)) });
const literally = fc.constantFrom<SentField['way'][]>('added', 'plain', 'never');
const one = (name: string, value: fc.Arbitrary<string>) => sent(fc.constant(name), value, literally);

const plainFields = sent(names, values);
const specialFields = fc.oneof(
  one('content-length', mostly(['3', '3', '0'], ['-1', '', '03', '3,3', '99999999999999999999', '9007199254740992'])),
  one('cookie', fc.constantFrom('a=1', 'b=2', 'c=3; d=4', '')),
  one('te', mostly(['trailers', 'Trailers'], ['gzip', 'trailers, deflate', ''])),
  one('host', mostly(['reviews', 'REVIEWS'], ['other', '', 'a b'])),
);
const sometimes = <T>(arbitrary: fc.Arbitrary<T>, weight: number) =>
  fc.oneof({ weight, arbitrary: arbitrary.map((value) => [value]) }, { weight: 1, arbitrary: fc.constant<T[]>([]) });
const requestPseudo = fc
  .tuple(
    sometimes(one(':method', mostly(['GET', 'POST', 'OPTIONS'], ['CONNECT', 'G ET', '', 'get', 'G\r\n'])), 40),
    sometimes(one(':scheme', mostly(['http', 'https', 'HTTP', 'ftp'], ['h ttp', '', 'http:'])), 40),
    sometimes(one(':authority', mostly(['reviews', 'a:80'], ['', 'a b', 'u@h', 'a\r\nb'])), 10),
    sometimes(
      one(
        ':path',
        fc.oneof(
          mostly(['/', '/a/b?c=d', '/x#y'], ['*', '', 'x', '/ /', '/\u0000', '/\u00e9']),
          printable.map((text) => `/${text}`),
        ),
      ),
      40,
    ),
    fc.oneof(
      { weight: 30, arbitrary: fc.constant<SentField[]>([]) },
      { weight: 1, arbitrary: one(':protocol', mostly(['websocket'], ['a b', ''])).map((field) => [field]) },
    ),
    fc.oneof(
      { weight: 40, arbitrary: fc.constant<SentField[]>([]) },
      { weight: 1, arbitrary: one(':status', fc.constant('200')).map((field) => [field]) },
    ),
    fc.oneof(
      { weight: 40, arbitrary: fc.constant<SentField[]>([]) },
      { weight: 1, arbitrary: one(':other', fc.constant('x')).map((field) => [field]) },
    ),
  )
  .chain((groups) => fc.shuffledSubarray(groups.flat(), { minLength: groups.flat().length }));
/** Of an extended CONNECT, and of one that is not. */
const connectPseudo = fc
  .tuple(
    fc.constant(':method'),
    fc.subarray([':scheme', ':path', ':protocol'], { minLength: 0 }),
    fc.constantFrom(':authority'),
  )
  .chain(([method, some, authority]) =>
    fc.tuple(
      ...[method, ...some, authority].map((name) =>
        one(
          name,
          fc.constant(
            { ':method': 'CONNECT', ':scheme': 'https', ':path': '/chat', ':protocol': 'websocket' }[name] ?? 'h:80',
          ),
        ),
      ),
    ),
  );
const responsePseudo = sometimes(
  one(
    ':status',
    mostly(['200', '404', '204', '304', '100', '500', '103'], ['101', '099', '20', '2000', 'abc', ''], 10),
  ),
  20,
);
const rest = fc.array(fc.oneof({ weight: 5, arbitrary: plainFields }, { weight: 2, arbitrary: specialFields }), {
  maxLength: 8,
});
const late = fc.oneof(
  { weight: 30, arbitrary: fc.constant<SentField[]>([]) },
  { weight: 1, arbitrary: one(':path', fc.constant('/late')).map((field) => [field]) },
  { weight: 1, arbitrary: one(':method', fc.constant('GET')).map((field) => [field]) },
);
const lists = (pseudo: fc.Arbitrary<readonly SentField[]>) =>
  fc.tuple(pseudo, rest, late).map(([first, middle, last]) => [...first, ...middle, ...last]);

export const requestFields = lists(
  fc.oneof<fc.Arbitrary<readonly SentField[]>[]>(
    { weight: 9, arbitrary: requestPseudo } as never,
    { weight: 1, arbitrary: connectPseudo } as never,
  ),
);
export const responseFields = lists(responsePseudo);
export const trailerFields = lists(fc.constant([]));

/** Changes of the table's size at the beginning of a block: few, mostly allowed. */
export const sizeChanges = fc.oneof(
  { weight: 10, arbitrary: fc.constant<number[]>([]) },
  { weight: 2, arbitrary: fc.array(fc.integer({ min: 0, max: 4096 }), { minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.constantFrom([0, 4096], [4097], [100], [2 ** 31]) },
);

/** The bytes of a block. */
export function encodeBlock(fields: readonly SentField[], sizes: readonly number[]): Buffer {
  const parts = sizes.map((size) => hpackInteger(size, 5, 0x20));
  for (const { name, value, way, coded, index } of fields) {
    if (way === 'indexed') {
      parts.push(hpackInteger(index, 7, 0x80));
      continue;
    }
    const [bits, first] = way.startsWith('added') ? [6, 0x40] : way === 'never' ? [4, 0x10] : [4, 0];
    const byName = way.endsWith('by-name');
    parts.push(hpackInteger(byName ? index : 0, bits!, first!));
    if (!byName || index === 0) parts.push(hpackString(name, coded));
    parts.push(hpackString(value, coded));
  }
  return Buffer.concat(parts);
}
