// gRPC-Web's text form: any split of the bytes reads and writes the same, and what is no base64 is refused.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TextReader, TextWriter } from './web-text.js';

/** Some bytes, and where they are split. */
const split = fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(300), { maxLength: 6 }));

function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...[...cuts].sort((a, b) => a - b).filter((cut) => cut < bytes.length), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

function message(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

describe('the text of gRPC-Web', () => {
  it('is read as what was written, however it is split', () => {
    fc.assert(
      fc.property(split, ([bytes, cuts]) => {
        const reader = new TextReader();
        const text = Buffer.from(Buffer.from(bytes).toString('base64'), 'latin1');
        const parts = pieces(text, cuts);
        const read = parts.map((part, index) => reader.add(part, index === parts.length - 1));
        expect(Buffer.concat(read.map((part) => part ?? Buffer.from('refused')))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('may be padded where its writer stopped for a moment', () => {
    expect(new TextReader().add(Buffer.from('YQ==YWI=YWJj'), true)?.toString()).toBe('aababc');
  });

  it.each([
    ['AAA', true],
    ['A?!A', false],
    ['A===', false],
    ['AA=A', false],
  ])('is refused where it is none: %s', (text, isCut) => {
    const reader = new TextReader();
    expect(reader.add(Buffer.from(text), true)).toBeNull();
    expect(reader.isCut).toBe(isCut);
  });

  it('is written message by message, however these are split', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), split, (messages, [, cuts]) => {
        const framed = messages.map(message);
        const writer = new TextWriter();
        const written = pieces(Buffer.concat(framed), cuts).map((piece) => writer.add(piece));
        const expected = framed.map((each) => each.toString('base64')).join('');
        expect(Buffer.concat(written).toString('latin1')).toBe(expected);
      }),
    );
  });
});
