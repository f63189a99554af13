// Durations: Go's syntax.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDurationMs } from './duration.js';

test.each([
  ['5s', 5000],
  ['0.3s', 300],
  ['1.5h', 5_400_000],
  ['1h30m', 5_400_000],
  ['250ms', 250],
  ['1m0.5s', 60_500],
  ['10us', 0.01],
  ['100µs', 0.1],
  ['1000000ns', 1],
  ['0', 0],
  ['0s', 0],
  ['-1s', -1000],
  ['.5s', 500],
  ['1.s', 1000],
])('%s is %d ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

test.each(['', '5', '5q', 's', '5 s', ' 5s', '5s ', '1e3s', '5S', '--5s', '5s5', '1d', 'abc', '5m!'])(
  '%j is not a duration',
  (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  },
);

test('parts add up', () => {
  fc.assert(
    fc.property(fc.nat(99), fc.nat(59), fc.nat(59), fc.nat(999), (h, m, s, ms) => {
      expect(parseDurationMs(`${h}h${m}m${s}s${ms}ms`)).toBe(((h * 60 + m) * 60 + s) * 1000 + ms);
    }),
  );
});
