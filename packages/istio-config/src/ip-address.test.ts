// Addresses: as Node reads them, but without a zone (`%eth0`), which configuration does not have.
import { isIP } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ipVersion } from './ip-address.js';

test.each([
  '1.2.3.4',
  '255.255.255.255',
  '256.1.1.1',
  '01.2.3.4',
  '1.2.3',
  '::',
  '::1',
  '1::',
  '1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7::',
  '1::2::3',
  ':::',
  ':1',
  '1:',
  '::ffff:1.2.3.4',
  '1.2.3.4::',
  '::1.2.3.4:5',
  '1:2:3:4:5:6:1.2.3.4',
  '1:2:3:4:5:6:7:1.2.3.4',
  '12345::',
  '',
])('%j', (text) => {
  expect(ipVersion(text)).toBe(isIP(text));
});

test('agrees with Node on anything that looks like an address', () => {
  const piece = fc.oneof(
    fc.constantFrom(':', '::', '.', '0', '1', 'f', 'ffff', '255', '256', '1.2.3.4', 'g', ' '),
    fc.ipV4(),
    fc.ipV6(),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const text = pieces.join('');
      expect(ipVersion(text), text).toBe(isIP(text));
    }),
    { numRuns: 5000 },
  );
});
