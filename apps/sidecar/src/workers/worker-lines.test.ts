// Lines of workers come out as they were written, whatever clients had logged in them and however they were cut on the way.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineReader } from './worker-lines.js';

function read(chunks: readonly Buffer[]): string[] {
  const lines: string[] = [];
  const reader = new LineReader((line) => lines.push(line));
  for (const chunk of chunks) reader.write(chunk);
  reader.end();
  return lines;
}

it('ends a line at a line feed alone', () => {
  const lines = ['GET /a\r200\u2028GET /forged 200\u2029\n', '\n', 'größer \u{1f600}\n'];
  expect(read([Buffer.from(lines.join(''))])).toEqual(lines);
});

it('hands on what was written, however it is cut', () => {
  const text = fc.array(fc.constantFrom('a', '\n', '\r', 'ü', '\u2028', '\u{1f600}')).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.array(fc.nat(40)), (written, cuts) => {
      const bytes = Buffer.from(written);
      const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b);
      const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
      expect(read(chunks)).toEqual(written.match(/[^\n]*\n|[^\n]+$/g) ?? []);
    }),
  );
});

it('hands on a line without an end when it is long, and keeps the rest of it together', () => {
  const part = 'x'.repeat(200_000);
  const lines: string[] = [];
  const reader = new LineReader((line) => lines.push(line));
  reader.write(Buffer.from(part));
  expect(lines).toEqual([]);
  reader.write(Buffer.from(part));
  expect(lines).toEqual([part + part]);
  reader.write(Buffer.from('y\nz'));
  expect(lines.slice(1)).toEqual(['y\n']);
});
