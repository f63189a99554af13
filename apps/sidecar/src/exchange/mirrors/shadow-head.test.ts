// The host of a copy: what Envoy writes for the same.

import { describe, expect, it } from 'vitest';
import { shadowHead } from './shadow-head.js';

const head = (host: string) => `GET /host: HTTP/1.1\r\nX-Host: a\r\nHost: ${host}\r\nB: \xe9\r\n\r\n`;

describe('the head of a copy', () => {
  it.each([
    ['any.test', 'any.test-shadow'],
    ['any.test:99', 'any.test-shadow:99'],
    ['[::1]:80', '[::1]-shadow:80'],
    ['[::1]', '[::1]-shadow'],
  ])('has for %s the host %s', (host, shadow) => {
    expect(shadowHead(Buffer.from(head(host), 'latin1')).toString('latin1')).toBe(head(shadow));
  });

  it('is as it was where it has no host', () => {
    const bytes = Buffer.from('GET / HTTP/1.0\r\nX-Host: a\r\n\r\n');
    expect(shadowHead(bytes)).toBe(bytes);
  });
});
