// Property tests: mutated streams of one to three messages, read in random pieces, against the plain reference parser.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { applyEdits, edits, requestHeads, validMessages } from './reference/http1-arbitraries.js';
import { parseReferenceChunks } from './reference/reference-chunks.js';
import { parseReferenceRequest } from './reference/reference-head.js';
import { createTestCore } from './reference/test-core.js';

const { core, wasm, int, options, put, range } = createTestCore();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);
const RULES = { normalize: true, mergeSlashes: false, escapedSlashes: 'keep' } as const;

/** What one side of a connection made of a stream. */
interface Outcome {
  readonly messages: { readonly method: string; readonly path: string; readonly body: string }[];
  /** The stream was refused; nothing after that is read. */
  readonly refused: boolean;
  /** The unfinished head at the end. */
  readonly unfinished: string;
}

function referenceOutcome(stream: string): Outcome {
  const messages: Outcome['messages'] = [];
  let rest = stream;
  while (rest !== '') {
    const head = parseReferenceRequest(rest, RULES);
    if (head.kind === 'incomplete') break;
    if (head.kind === 'refused') return { messages, refused: true, unfinished: '' };
    rest = rest.slice(head.length);
    let body = '';
    if (head.body === 'length') {
      if (rest.length < head.contentLength) break;
      body = rest.slice(0, head.contentLength);
      rest = rest.slice(head.contentLength);
    } else if (head.body === 'chunked') {
      const chunks = parseReferenceChunks(rest);
      if (chunks.kind === 'incomplete') break;
      if (chunks.kind === 'refused') return { messages, refused: true, unfinished: '' };
      body = chunks.payload;
      rest = rest.slice(chunks.length);
    }
    messages.push({ method: head.method, path: head.path, body });
  }
  return { messages, refused: false, unfinished: '' };
}

/** Reads the pieces as a proxy would: stash an unfinished head, count or scan the body, go on with the rest. */
function coreOutcome(pieces: readonly string[]): Outcome {
  const messages: Outcome['messages'] = [];
  const listener = options();
  const state = core.chunkStates.take();
  let stash = '';
  let scanned = 0;
  let left = 0;
  let mode: 'head' | 'length' | 'chunked' = 'head';
  let current = { method: '', path: '', body: '' };
  const finish = () => {
    messages.push(current);
    mode = 'head';
  };
  try {
    for (const piece of pieces) {
      let bytes = stash + piece;
      stash = '';
      while (bytes !== '') {
        // Stale bytes that would end anything, after what was read.
        put(`${bytes}\r\n\r\n0\r\n\r\n`);
        if (mode === 'head') {
          const used = wasm.parseRequest(L.READ_BUFFER, bytes.length, scanned, listener, 0);
          if (used < 0) return { messages, refused: true, unfinished: '' };
          if (used === 0) {
            stash = bytes;
            scanned = bytes.length;
            break;
          }
          scanned = 0;
          bytes = bytes.slice(used);
          current = {
            method: range(L.REQ_METHOD_OFFSET, L.REQ_METHOD_LENGTH),
            path: range(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH),
            body: '',
          };
          const body = int(L.REQ_BODY);
          if (body === L.BODY_NONE) finish();
          else if (body === L.BODY_LENGTH) {
            mode = 'length';
            left = core.f64[L.REQ_CONTENT_LENGTH >> 3]!;
          } else {
            mode = 'chunked';
            wasm.resetChunks(state, L.CHUNK_MODE_DATA);
          }
        } else if (mode === 'length') {
          const take = Math.min(left, bytes.length);
          current.body += bytes.slice(0, take);
          bytes = bytes.slice(take);
          left -= take;
          if (left === 0) finish();
        } else {
          const used = wasm.scanChunks(state, L.READ_BUFFER, bytes.length);
          if (used < 0) return { messages, refused: true, unfinished: '' };
          current.body += core.text(L.READ_BUFFER, int(state + L.CHUNK_FORWARD));
          bytes = bytes.slice(used);
          if (int(state + L.CHUNK_PHASE) === L.CHUNK_PHASE_DONE) finish();
        }
      }
    }
    return { messages, refused: false, unfinished: stash };
  } finally {
    core.chunkStates.release(state);
  }
}

function cut(text: string, places: readonly number[]): string[] {
  const cuts = [...new Set(places.map((place) => Math.floor(place * text.length)))].sort((a, b) => a - b);
  return [0, ...cuts]
    .map((start, index) => text.slice(start, cuts[index] ?? text.length))
    .filter((piece) => piece !== '');
}

const streams = fc
  .array(fc.oneof({ weight: 5, arbitrary: validMessages }, { weight: 1, arbitrary: requestHeads }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((list) => list.join(''));
const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

/** The same messages, in the same order; only a head whose end has not been read yet may be refused later. */
function check(stream: string, pieces: readonly string[]): void {
  const expected = referenceOutcome(stream);
  const actual = coreOutcome(pieces);
  expect(actual.messages).toEqual(expected.messages);
  if (expected.refused && (pieces.length === 1 || actual.unfinished.includes('\r\n\r\n')))
    expect(actual.refused).toBe(true);
}

describe('a stream of messages', () => {
  it('is read alike by the core and the reference, whatever was mutated and however it was split', () => {
    const before = core.bytes.length;
    fc.assert(
      fc.property(streams, edits, places, (stream, list, cuts) => {
        check(stream, cut(stream, cuts));
        const mutated = applyEdits(stream, list);
        check(mutated, [mutated]);
        check(mutated, cut(mutated, cuts));
        check(mutated, [...mutated]);
      }),
      { numRuns: RUNS },
    );
    expect(core.bytes.length).toBe(before);
    expect(core.bytes.length).toBe(L.MEMORY_BYTES);
    expect(core.chunkStates.used).toBe(0);
  });

  it('reads valid messages as they were written', () => {
    fc.assert(
      fc.property(fc.array(validMessages, { minLength: 1, maxLength: 3 }), places, (list, cuts) => {
        const stream = list.join('');
        fc.pre(!stream.includes('%00'));
        const outcome = coreOutcome(cut(stream, cuts));
        expect(outcome.refused).toBe(false);
        expect(outcome.messages.length).toBe(list.length);
      }),
      { numRuns: RUNS },
    );
  });
});
