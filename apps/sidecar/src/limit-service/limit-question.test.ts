// Networks of addresses, as rate limit services are told them.

import { expect, it } from 'vitest';
import { networkOf } from './limit-question.js';

it.each([
  ['10.1.2.3', 32, 128, '10.1.2.3/32'],
  ['10.255.2.3', 9, 128, '10.128.0.0/9'],
  ['255.255.255.255', 0, 128, '0.0.0.0/0'],
  ['2001:db8:ffff:1::2', 32, 36, '2001:db8:f000::/36'],
  ['2001:0DB8::1', 32, 128, '2001:db8::1/128'],
  ['::ffff:10.0.0.1', 32, 104, '::ffff:a00:0/104'],
  ['fe80::1', 32, 0, '::/0'],
  ['not an address', 8, 8, 'not an address'],
])('%s with %i and %i bits', (address, bits4, bits6, network) => {
  expect(networkOf(address, bits4, bits6)).toBe(network);
});
