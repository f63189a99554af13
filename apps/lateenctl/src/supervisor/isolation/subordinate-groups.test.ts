// Ranges of /etc/subgid.

import { expect, test } from 'vitest';
import { firstSubordinateGroup } from './subordinate-groups.js';

const ANN = { name: 'ann', uid: 1000 };

test.each([
  ['bob:100000:65536\nann:165536:65536\n', 165_536],
  ['1000:231072:1\n', 231_072],
  ['annabel:100000:65536\n', undefined],
  ['ann:100000:0\n', undefined],
  ['ann:none:5\nann:300000:5\n', 300_000],
  ['', undefined],
])('%j', (text, first) => {
  expect(firstSubordinateGroup(text, ANN)).toBe(first);
});
