// Property tests: h2DecodeHead against plain references of HPACK and of the rules about fields, on valid, broken and mutated
// blocks of a whole connection; and what comes out of it in the HTTP/1.1 parser.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from '../layout.js';
import { encodeBlock, requestFields, responseFields, sizeChanges, trailerFields } from '../reference/h2-arbitraries.js';
import { referenceHead } from '../reference/reference-h2-head.js';
import {
  CompressionError,
  type Field,
  hpackInteger,
  hpackString,
  ReferenceDecoder,
} from '../reference/reference-hpack.js';
import { createTestCore } from '../reference/test-core.js';
import * as H from './h2-layout.js';

const { core, wasm, int, options } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 600);
const VERDICTS: Readonly<Record<number, string>> = {
  [H.H2_ERROR_COMPRESSION]: 'compression',
  [H.H2_ERROR_MALFORMED]: 'malformed',
  [H.H2_ERROR_TOO_LARGE]: 'too large',
  [H.H2_ERROR_FLOOD]: 'flood',
};

function withDecoder<T>(use: (decoder: number) => T): T {
  const decoder = core.h2Decoders.take();
  core.bytes.fill(0xa5, decoder, decoder + H.H2_DECODER_BYTES);
  wasm.h2ResetDecoder(decoder);
  try {
    return use(decoder);
  } finally {
    core.h2Decoders.release(decoder);
  }
}

function decode(decoder: number, block: Buffer, kind: number, capacity = H.H2_HEAD_BUFFER_BYTES): string {
  block.copy(core.bytes, H.H2_BLOCK_BUFFER);
  core.bytes.fill(0xff, H.H2_BLOCK_BUFFER + block.length, H.H2_BLOCK_BUFFER + block.length + 64);
  const length = wasm.h2DecodeHead(decoder, H.H2_BLOCK_BUFFER, block.length, kind, H.H2_HEAD_BUFFER, capacity);
  return length < 0 ? VERDICTS[length]! : core.text(H.H2_HEAD_BUFFER, length);
}

/** Both decoders on one block; false where the connection has ended. */
function compare(decoder: number, reference: ReferenceDecoder, block: Buffer, kind: number): boolean {
  const actual = decode(decoder, block, kind);
  let fields: Field[];
  try {
    fields = reference.decode(block);
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error;
    expect(actual).toBe('compression');
    return false;
  }
  expect(actual).toBe(referenceHead(fields, kind));
  expect(int(decoder + H.H2_DECODER_SIZE)).toBe(reference.size);
  return true;
}

const blocks = fc.oneof(
  fc.record({
    fields: requestFields,
    kind: fc.constantFrom(0, H.H2_END_STREAM, H.H2_ALLOW_PROTOCOL).map((bits) => H.H2_REQUEST | bits),
    sizes: sizeChanges,
  }),
  fc.record({
    fields: responseFields,
    kind: fc.constantFrom(0, H.H2_END_STREAM, H.H2_UPGRADE).map((bits) => H.H2_RESPONSE | bits),
    sizes: sizeChanges,
  }),
  fc.record({
    fields: trailerFields,
    kind: fc.constant(H.H2_TRAILERS | H.H2_END_STREAM),
    sizes: sizeChanges,
  }),
);

describe('h2DecodeHead', () => {
  it('agrees with the references over the blocks of a connection', () => {
    fc.assert(
      fc.property(fc.array(blocks, { minLength: 1, maxLength: 12 }), (list) =>
        withDecoder((decoder) => {
          const reference = new ReferenceDecoder();
          for (const { fields, kind, sizes } of list) {
            if (!compare(decoder, reference, encodeBlock(fields, sizes), kind)) return;
          }
        }),
      ),
      { numRuns: RUNS },
    );
  });

  it('agrees with the references on mutated blocks', () => {
    const mutations = fc.array(fc.record({ place: fc.double({ min: 0, max: 1, noNaN: true }), bits: fc.nat(255) }), {
      maxLength: 3,
    });
    const cut = fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true }));
    fc.assert(
      fc.property(fc.array(fc.tuple(blocks, mutations, cut), { minLength: 1, maxLength: 6 }), (list) =>
        withDecoder((decoder) => {
          const reference = new ReferenceDecoder();
          for (const [{ fields, kind, sizes }, changes, part] of list) {
            const whole = encodeBlock(fields, sizes);
            const block = whole.subarray(0, Math.floor(whole.length * part));
            for (const { place, bits } of changes) {
              const at = Math.floor(place * block.length);
              if (at < block.length) block[at] = block[at]! ^ bits;
            }
            if (!compare(decoder, reference, block, kind)) return;
          }
        }),
      ),
      { numRuns: RUNS },
    );
  });

  it('keeps the table right while it is filled many times over', () => {
    const long = fc.array(
      fc.record({ length: fc.integer({ min: 0, max: 1500 }), index: fc.nat(130), repeat: fc.nat(3) }),
      { minLength: 40, maxLength: 80 },
    );
    fc.assert(
      fc.property(long, (list) =>
        withDecoder((decoder) => {
          const reference = new ReferenceDecoder();
          list.forEach(({ length, index, repeat }, round) => {
            const parts = [
              hpackInteger(0, 6, 0x40),
              hpackString(`n${round}`, false),
              hpackString('v'.repeat(length), false),
            ];
            for (let i = 0; i < repeat; i++) {
              parts.push(hpackInteger(15 + (index % 47), 6, 0x40), hpackString(`r${round}`, false));
            }
            compare(decoder, reference, Buffer.concat(parts), H.H2_TRAILERS);
          });
        }),
      ),
      { numRuns: 60 },
    );
  });

  it('never makes a head that the HTTP/1.1 parser reads as anything else than its lines', () => {
    const listener = options({ allowWebsocket: true });
    fc.assert(
      fc.property(requestFields, fc.boolean(), (fields, ended) =>
        withDecoder((decoder) => {
          const kind = H.H2_REQUEST | H.H2_ALLOW_PROTOCOL | (ended ? H.H2_END_STREAM : 0);
          const text = decode(decoder, encodeBlock(fields, []), kind);
          if (Object.values(VERDICTS).includes(text)) return;
          core.bytes.fill('X', H.H2_HEAD_BUFFER + text.length, H.H2_HEAD_BUFFER + text.length + 64, 'latin1');
          const length = wasm.parseRequest(H.H2_HEAD_BUFFER, text.length, 0, listener, 0);
          expect(length === text.length || length < 0).toBe(true);
          if (length < 0) return;
          expect(int(L.REQ_HEADER_COUNT)).toBe(text.split('\r\n').length - 3);
          if (ended) expect(int(L.REQ_BODY)).toBe(L.BODY_NONE);
        }),
      ),
      { numRuns: RUNS },
    );
  });

  it('demands the change of size that a lower limit asks for, and takes it', () => {
    withDecoder((decoder) => {
      const reference = new ReferenceDecoder();
      const add = Buffer.concat([Buffer.from([0x40]), hpackString('a', false), hpackString('b', false)]);
      expect(compare(decoder, reference, add, H.H2_TRAILERS)).toBe(true);
      wasm.h2SetTableLimit(decoder, 0);
      reference.setLimit(0);
      const shrink = Buffer.concat([hpackInteger(0, 5, 0x20), add]);
      expect(compare(decoder, reference, shrink, H.H2_TRAILERS)).toBe(true);
      expect(reference.size).toBe(0);
      expect(compare(decoder, reference, hpackInteger(1, 5, 0x20), H.H2_TRAILERS)).toBe(false);
    });
    withDecoder((decoder) => {
      wasm.h2SetTableLimit(decoder, 100);
      expect(decode(decoder, Buffer.from([0x88]), H.H2_RESPONSE)).toBe('compression');
    });
  });
});

describe('trailers', () => {
  it('tell the status of gRPC', () => {
    withDecoder((decoder) => {
      const trailers = (...fields: Field[]) =>
        Buffer.concat(
          fields.flatMap(([name, value]) => [Buffer.from([0]), hpackString(name, true), hpackString(value, true)]),
        );
      const cases: [Field[], number][] = [
        [[['grpc-status', '0']], 0],
        [
          [
            ['x', 'y'],
            ['grpc-status', '14'],
            ['grpc-message', 'busy'],
          ],
          14,
        ],
        [[['grpc-status-details', '3']], -1],
        [[['grpc-status', 'x']], -1],
        [[['grpc-status', '100']], -1],
        [[], -1],
      ];
      for (const [fields, status] of cases) {
        expect(decode(decoder, trailers(...fields), H.H2_TRAILERS)).not.toBe('malformed');
        expect(int(L.RESP_GRPC_STATUS)).toBe(status);
      }
    });
  });
});

describe('limits of h2DecodeHead', () => {
  const pseudo = Buffer.from([0x82, 0x84, 0x86, 0x41, 1, 0x61]); // GET / http a
  const literal = (name: string, value: string, first = 0) =>
    Buffer.concat([Buffer.from([first]), hpackString(name, false), hpackString(value, false)]);

  it('refuses a head of more lines than MAX_HEADERS, and stays in step', () => {
    withDecoder((decoder) => {
      const reference = new ReferenceDecoder();
      const lines = (count: number) =>
        Buffer.concat([pseudo, ...Array.from({ length: count }, (_, index) => literal(`n${index}`, 'v', 0x40))]);
      reference.decode(lines(L.MAX_HEADERS - 1));
      expect(decode(decoder, lines(L.MAX_HEADERS - 1), H.H2_REQUEST | H.H2_END_STREAM)).toContain(`n98: v\r\n`);
      reference.decode(lines(L.MAX_HEADERS));
      expect(decode(decoder, lines(L.MAX_HEADERS), H.H2_REQUEST)).toBe('too large');
      expect(compare(decoder, reference, Buffer.from([0xbe, 0xbf]), H.H2_TRAILERS)).toBe(true);
    });
  });

  it('refuses a head that becomes larger than MAX_HEAD_BYTES or the capacity, however few bytes it came in', () => {
    withDecoder((decoder) => {
      const reference = new ReferenceDecoder();
      const big = literal('big', 'v'.repeat(4000), 0x40);
      expect(compare(decoder, reference, Buffer.concat([pseudo, big]), H.H2_REQUEST)).toBe(true);
      const bomb = Buffer.concat([pseudo.subarray(0, 3), Buffer.alloc(90, 0xbe)]);
      expect(decode(decoder, bomb, H.H2_REQUEST)).toBe('too large');
      // With its name, the name of a long entry is copied for each byte; the number of fields bounds that.
      const flood = Buffer.concat([pseudo.subarray(0, 3), Buffer.alloc(H.H2_MAX_FIELDS, 0xbe)]);
      expect(decode(decoder, flood, H.H2_REQUEST)).toBe('flood');
    });
    withDecoder((decoder) => {
      const block = Buffer.concat([pseudo, literal('x', 'v'.repeat(1000))]);
      expect(decode(decoder, block, H.H2_REQUEST, 1024)).toBe('too large');
      expect(decode(decoder, block, H.H2_REQUEST, 2048)).toContain('vvv');
      expect(decode(decoder, Buffer.alloc(H.H2_MAX_BLOCK_BYTES + 1), H.H2_REQUEST)).toBe('flood');
    });
  });

  it.each([
    ['path', () => [Buffer.from([0x82, 0x86, 0x44]), hpackString(`/${'a'.repeat(60_000)}`, true)]],
    ['value', () => [pseudo, literal('x', 'v'.repeat(61_000))]],
    ['cookie', () => [pseudo, literal('cookie', 'v'.repeat(61_400))]],
    ['name', () => [pseudo, literal('n'.repeat(61_000), '')]],
    ['a value by the Huffman code', () => [pseudo, Buffer.from([0x0f, 0x00]), hpackString('a'.repeat(100_000), true)]],
  ])('refuses one %s that is too long, without writing outside of its room', (_name, parts) => {
    withDecoder((decoder) => {
      const capacity = 60_000;
      core.bytes.fill(0x5a, H.H2_HEAD_BUFFER + capacity, H.H2_HEAD_BUFFER + H.H2_HEAD_BUFFER_BYTES);
      expect(decode(decoder, Buffer.concat(parts()), H.H2_REQUEST, capacity)).toBe('too large');
      const after = core.bytes.subarray(H.H2_HEAD_BUFFER + capacity, H.H2_HEAD_BUFFER + H.H2_HEAD_BUFFER_BYTES);
      expect(after.every((byte) => byte === 0x5a)).toBe(true);
      expect(decode(decoder, pseudo, H.H2_REQUEST | H.H2_END_STREAM)).toBe('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    });
  });
});
