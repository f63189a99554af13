// Cluster: which failures mean that the API server is away, and which are answers.

import { ApiError } from '@lateen/kubernetes';
import { expect, test } from 'vitest';
import { isAway } from './cluster.js';

const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6443'), { code: 'ECONNREFUSED' });

test.each<[string, unknown, boolean]>([
  ['a refused connection', refused, true],
  [
    'one further down',
    new Error('get Pod shop/web: it broke off', { cause: new Error('x', { cause: refused }) }),
    true,
  ],
  ['a server that starts', ApiError.fromResponse('get Pod', 503, '', undefined), true],
  ['too many requests', ApiError.fromResponse('get Pod', 429, '', '1'), true],
  ['a refusal', ApiError.fromResponse('get Pod', 403, '', undefined), false],
  ['a fault of ours', new TypeError('x is not a function'), false],
])('%s', (_what, error, away) => expect(isAway(error)).toBe(away));
