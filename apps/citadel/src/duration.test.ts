// Flags: lengths of time.
import { describe, expect, it } from 'vitest';
import { parseDurationSeconds } from './duration.js';

describe('parseDurationSeconds', () => {
  it.each([
    ['4s', 4],
    ['90m', 5400],
    ['24h', 86_400],
    ['10y', 315_360_000],
    ['1h30m', 5400],
  ])('reads %s', (text, seconds) => expect(parseDurationSeconds(text)).toBe(seconds));
  it.each(['', '0s', '5', '5q', '-1h', '1.5h', 'h'])('refuses %j', (text) => {
    expect(() => parseDurationSeconds(text)).toThrow();
  });
});
