// Property tests: the chunk scanner at every split point, against a plain reference.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { applyEdits, edits } from './reference/http1-arbitraries.js';
import { parseReferenceChunks } from './reference/reference-chunks.js';
import { createTestCore } from './reference/test-core.js';

const { core, wasm, int, put } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 2000);

interface Scan {
  readonly refused: boolean;
  readonly done: boolean;
  /** Bytes that belong to the message. */
  readonly length: number;
  readonly forwarded: string;
}

/** Feeds the text in the given pieces, each at an odd place of the read buffer with stale bytes after it. */
function scan(pieces: readonly string[], mode: number, stale = '0\r\n\r\n'): Scan {
  const state = core.chunkStates.take();
  wasm.resetChunks(state, mode);
  let length = 0;
  let forwarded = '';
  let done = false;
  let refused = false;
  for (const [index, piece] of pieces.entries()) {
    const at = L.READ_BUFFER + (index % 17);
    put(piece + stale, at);
    const used = wasm.scanChunks(state, at, piece.length);
    if (used < 0) {
      refused = true;
      break;
    }
    length += used;
    forwarded += core.text(at, int(state + L.CHUNK_FORWARD));
    done = int(state + L.CHUNK_PHASE) === L.CHUNK_PHASE_DONE;
    if (done) break;
    expect(used).toBe(piece.length);
  }
  core.chunkStates.release(state);
  return { refused, done, length, forwarded };
}

function check(text: string, pieces: readonly string[]): void {
  const expected = parseReferenceChunks(text);
  const framed = scan(pieces, L.CHUNK_MODE_FRAMED);
  const data = scan(pieces, L.CHUNK_MODE_DATA);
  expect({ ...data, forwarded: '' }).toEqual({ ...framed, forwarded: '' });
  if (expected.kind !== 'done') {
    expect(framed.done).toBe(false);
    if (expected.kind === 'refused') expect(framed.refused).toBe(true);
    return;
  }
  expect(framed).toMatchObject({ refused: false, done: true, length: expected.length });
  expect(data.forwarded).toBe(expected.payload);
  // What is forwarded is chunked framing of the same sizes, without extensions and trailers.
  let rest = expected.payload;
  const framing = expected.sizes.map((size) => {
    const bytes = Number.parseInt(size, 16);
    const chunk = rest.slice(0, bytes);
    rest = rest.slice(bytes);
    return bytes === 0 ? `${size}\r\n\r\n` : `${size}\r\n${chunk}\r\n`;
  });
  expect(framed.forwarded).toBe(framing.join(''));
}

const extensions = fc.constantFrom('', '', '', ';', ';a', ';a=b', ';a="b;c"', ';\u00e9', ' ;a', ';a\rb', ';a\nb');
const chunks = fc
  .tuple(
    fc.string({ unit: fc.constantFrom('a', '\r', '\n', '0', ';', '\u00ff'), minLength: 1, maxLength: 40 }),
    extensions,
    fc.constantFrom('', '0', '00'),
  )
  .map(([data, extension, zeros]) => `${zeros}${data.length.toString(16)}${extension}\r\n${data}\r\n`);
const trailers = fc.constantFrom(
  '',
  '',
  '',
  'x-t: 1\r\n',
  'x-t:\r\na: b\r\n',
  ' x: 1\r\n',
  'x : 1\r\n',
  ': 1\r\n',
  'x: a\rb\r\n',
  'x\r\n',
);
const bodies = fc
  .tuple(
    fc.array(chunks, { maxLength: 5 }),
    fc.constantFrom('0', '0', '000', '0;last'),
    trailers,
    fc.constantFrom('', 'GET / HTTP/1.1\r\n'),
  )
  .map(([list, last, trailer, next]) => `${list.join('')}${last}\r\n${trailer}\r\n${next}`);

describe('scanChunks', () => {
  it('agrees with the reference on whole bodies, valid and mutated', () => {
    fc.assert(
      fc.property(bodies, edits, (body, list) => {
        check(body, [body]);
        const mutated = applyEdits(body, list);
        check(mutated, [mutated]);
      }),
      { numRuns: RUNS },
    );
  });

  it('agrees with the reference at every split point', () => {
    fc.assert(
      fc.property(bodies, edits, (body, list) => {
        const text = applyEdits(body, list);
        for (let place = 0; place <= text.length; place++) check(text, [text.slice(0, place), text.slice(place)]);
        check(text, [...text]);
      }),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });

  it('bounds sizes, extensions and trailers', () => {
    expect(scan(['fffffffffffff\r\n'], L.CHUNK_MODE_FRAMED).refused).toBe(false);
    expect(scan(['10000000000000\r\n'], L.CHUNK_MODE_FRAMED).refused).toBe(true);
    const extension = (bytes: number) => `1;${'e'.repeat(bytes)}\r\na\r\n`;
    const half = L.MAX_CHUNK_EXTENSION_BYTES / 2;
    expect(scan([extension(half), extension(half)], L.CHUNK_MODE_FRAMED).refused).toBe(false);
    expect(scan([extension(half), extension(half + 1)], L.CHUNK_MODE_FRAMED).refused).toBe(true);
    const trailer = (bytes: number) => `0\r\nx:${'t'.repeat(bytes - 1)}\r\n\r\n`;
    expect(scan([trailer(L.MAX_TRAILER_BYTES)], L.CHUNK_MODE_FRAMED)).toMatchObject({ refused: false, done: true });
    expect(scan([trailer(L.MAX_TRAILER_BYTES + 1)], L.CHUNK_MODE_FRAMED).refused).toBe(true);
  });

  it('forwards a body larger than the buffer in any number of reads', () => {
    const read = 'x'.repeat(60_000);
    const state = core.chunkStates.take();
    wasm.resetChunks(state, L.CHUNK_MODE_DATA);
    const total = 20 * read.length;
    expect(wasm.scanChunks(state, L.READ_BUFFER, put(`${total.toString(16)}\r\n`))).toBeGreaterThan(0);
    for (let sent = 0; sent < total; sent += read.length) {
      expect(wasm.scanChunks(state, L.READ_BUFFER, put(read))).toBe(read.length);
      expect(int(state + L.CHUNK_FORWARD)).toBe(read.length);
    }
    expect(wasm.scanChunks(state, L.READ_BUFFER, put('\r\n0\r\n\r\n'))).toBe(7);
    expect(int(state + L.CHUNK_PHASE)).toBe(L.CHUNK_PHASE_DONE);
  });
});
