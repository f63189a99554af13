// Output that nobody reads any more ends the command, without a word.

import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { endWithReader } from './closed-output.js';

it('ends with the code of SIGPIPE where the reader has gone, and leaves other errors as they are', () => {
  const output = new PassThrough();
  const codes: number[] = [];
  endWithReader(output, (code) => codes.push(code));
  output.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  expect(codes).toEqual([141]);
  expect(() => output.emit('error', new Error('disk full'))).toThrow('disk full');
});
