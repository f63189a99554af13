// Task pages: what counts as the output that a page shows.

import { describe, expect, it } from 'vitest';
import { matchesOutput, parseOutputPattern } from './output-pattern.js';

const matches = (shown: string, printed: string, vary = 0) =>
  matchesOutput(parseOutputPattern(shown.split('\n'), vary), printed);

describe('the output of a page', () => {
  it('is compared line by line, blanks as one', () => {
    expect(matches('a  b\nc', ' a b\n\nc\n')).toBe(true);
    expect(matches('a b', 'a b\nc')).toBe(false);
    expect(matches('a b\nc', 'a b')).toBe(false);
    expect(matches('a.b', 'axb')).toBe(false);
  });

  it('leaves out what stands for ...', () => {
    expect(matches('x ... z', 'x y z')).toBe(true);
    expect(matches('x ... z', 'x y')).toBe(false);
    expect(matches('first\n...\nlast', 'first\nlast')).toBe(true);
    expect(matches('first\n...\nlast', 'first\na\nb\nlast')).toBe(true);
    expect(matches('first\n...\nlast', 'first\na\nb')).toBe(false);
    expect(matches('...\nb', 'a\nb')).toBe(true);
  });

  it('takes numbers as near as the page says', () => {
    expect(matches('80 v1\n20 v3', '75 v1\n25 v3', 5)).toBe(true);
    expect(matches('80 v1\n20 v3', '74 v1\n26 v3', 5)).toBe(false);
    expect(matches('80 v1', '80 v2', 5)).toBe(false);
    expect(matches('80 v1', '81 v1')).toBe(false);
  });
});
