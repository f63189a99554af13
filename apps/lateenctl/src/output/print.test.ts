// Output: how problems are counted in a summary.
import type { Problem } from '@lateen/istio-config';
import { expect, test } from 'vitest';
import { problemCounts } from './print.js';

const PLACE = {
  file: 'a.yaml',
  line: 1,
  column: 1,
  kind: '',
  namespace: '',
  name: '',
  path: '',
  code: '',
  message: '',
};
const ERROR: Problem = { ...PLACE, severity: 'error' };
const WARNING: Problem = { ...PLACE, severity: 'warning' };

test.each([
  [[], ''],
  [[ERROR], '1 error'],
  [[WARNING, WARNING], '2 warnings'],
  [[WARNING, ERROR, ERROR], '2 errors, 1 warning'],
])('counts errors and warnings (%#)', (problems, words) => {
  expect(problemCounts(problems)).toBe(words);
});
