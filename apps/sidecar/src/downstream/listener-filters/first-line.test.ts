// The first line of a connection: HTTP of which version, or something else, and never later than that can be known.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_FIRST_LINE_BYTES, readFirstLine } from './first-line.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

describe('readFirstLine', () => {
  it.each([
    ['GET / HTTP/1.1\r\n', 'http/1.1'],
    ['M-SEARCH * HTTP/1.1\n', 'http/1.1'],
    ['CONNECT a:1 HTTP/1.1\r', 'http/1.1'],
    ['GET / HTTP/1.0\r\nhost: x\r\n', 'http/1.0'],
    [`${PREFACE}rest`, 'h2c'],
  ])('knows %j', (text, protocol) => {
    expect(readFirstLine(bytes(text))).toEqual({ kind: 'http', protocol });
  });

  it.each([
    'EHLO x\r\n',
    'SET a b\r\n',
    'get /\r\n',
    'GET\t',
    'PRX',
    'GET /\r\n',
    'GET / HTTP/2.0\r\n',
    '\r\nGET / HTTP/1.1\r\n',
    '\0',
    'GETTING',
  ])('takes %j for something else', (text) => {
    expect(readFirstLine(bytes(text))).toEqual({ kind: 'other' });
  });

  it.each(['', 'P', 'PR', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r', 'GE', 'GET ', 'GET /x HTTP/1.1'])(
    'waits after %j',
    (text) => {
      expect(readFirstLine(bytes(text))).toEqual({ kind: 'need-more' });
    },
  );

  it('does not wait for ever', () => {
    const line = bytes(`GET /${'x'.repeat(MAX_FIRST_LINE_BYTES)}`);
    expect(readFirstLine(line)).toEqual({ kind: 'other' });
    expect(readFirstLine(line.subarray(0, MAX_FIRST_LINE_BYTES))).toEqual({ kind: 'need-more' });
  });

  it('says the same however the bytes are cut, and what it has said once does not change', () => {
    const lines = fc.oneof(
      fc.constantFrom(`${PREFACE}x`, 'GET /a HTTP/1.1\r\nx', 'POST /a HTTP/1.0\n', 'PUT /', 'PRI * HTTP/1.1\r\n'),
      fc.string({ maxLength: 40 }),
    );
    fc.assert(
      fc.property(lines, fc.integer({ min: 1, max: 9 }), (line, step) => {
        const all = bytes(line);
        const whole = readFirstLine(all);
        let last = 0;
        for (let length = Math.min(step, all.length); ; length = Math.min(length + step, all.length)) {
          const part = readFirstLine(all.subarray(0, length), last);
          last = length;
          if (part.kind !== 'need-more') {
            expect(part).toEqual(whole);
            return;
          }
          if (length === all.length) break;
        }
        expect(whole.kind).toBe('need-more');
      }),
    );
  });
});
