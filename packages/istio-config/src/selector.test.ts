// Selectors.
import { expect, test } from 'vitest';
import { selectorMatches } from './selector.js';

test.each([
  [undefined, {}, true],
  [{}, { a: '1' }, true],
  [{ a: '1' }, { a: '1', b: '2' }, true],
  [{ a: '1', b: '2' }, { a: '1' }, false],
  [{ a: '1' }, { a: '2' }, false],
  [{ toString: 'x' }, {}, false],
  [{ constructor: 'Object' }, {}, false],
])('%o selects %o: %s', (selector, labels, expected) => {
  expect(selectorMatches(selector as Record<string, string> | undefined, labels as Record<string, string>)).toBe(
    expected,
  );
});
