// Property tests: mutated streams of one to three messages, read in random pieces, against the plain reference parser.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { applyEdits, edits, requestHeads, validMessages } from './reference/http1-arbitraries.js';
import { createStreamReader, referenceOutcome } from './reference/stream-outcome.js';

const { core, read: coreOutcome } = createStreamReader();
const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);

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
  if (expected.refused && (pieces.length === 1 || actual.unfinished.replace(/^(\r\n)+/, '').includes('\r\n\r\n')))
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
        fc.pre(!/%00|[é\u007f]/.test(stream));
        const outcome = coreOutcome(cut(stream, cuts));
        expect(outcome.refused).toBe(false);
        expect(outcome.messages.length).toBe(list.length);
      }),
      { numRuns: RUNS },
    );
  });
});
