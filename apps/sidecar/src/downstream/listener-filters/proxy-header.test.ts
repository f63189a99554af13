// PROXY protocol headers: what is written is read back, whatever is cut or wrong is told, and nothing is read beyond its bounds.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PresentedAddresses, parseProxyHeader, writeProxyHeader } from './proxy-header.js';

const INET: PresentedAddresses = {
  remoteAddress: '203.0.113.7',
  remotePort: 50_000,
  localAddress: '198.51.100.9',
  localPort: 443,
};
const INET6: PresentedAddresses = {
  remoteAddress: '2001:db8::7',
  remotePort: 1,
  localAddress: 'fd00:1:2:3:4:5:6:7',
  localPort: 65_535,
};
const text = (line: string) => parseProxyHeader(Buffer.from(line, 'latin1'));

describe('PROXY protocol header', () => {
  it.each([
    [1, INET],
    [1, INET6],
    [2, INET],
    [2, INET6],
  ] as const)('of version %i is read as it was written', (version, addresses) => {
    const header = writeProxyHeader(version, addresses);
    const result = parseProxyHeader(Buffer.concat([header, Buffer.from('GET /')]));
    expect(result).toEqual({ kind: 'header', version, addresses, length: header.length });
    for (let length = 0; length < header.length; length++) {
      expect(parseProxyHeader(header.subarray(0, length)).kind).toBe('need-more');
    }
  });

  it('of version 2 may have values behind its addresses, which count as its length', () => {
    const header = Buffer.from(writeProxyHeader(2, INET));
    header.writeUInt16BE(12 + 300, 14);
    expect(parseProxyHeader(header)).toMatchObject({ kind: 'header', addresses: INET, length: 16 + 312 });
  });

  it.each([
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::FFFF:1.2.3.4', '::ffff:1.2.3.4'],
    ['0:0:0:0:0:ffff:102:304', '::ffff:1.2.3.4'],
  ])('has one text for each address, in either version: %s', (written, one) => {
    const header = text(`PROXY TCP6 ${written} ${written} 1 2\r\n`);
    expect(header).toMatchObject({ addresses: { remoteAddress: one, localAddress: one } });
    for (const version of [1, 2] as const) {
      const addresses = { remoteAddress: written, remotePort: 1, localAddress: written, localPort: 2 };
      expect(parseProxyHeader(writeProxyHeader(version, addresses))).toMatchObject({
        addresses: { remoteAddress: one, localAddress: one },
      });
    }
  });

  it('without addresses leaves the connection its own', () => {
    expect(text('PROXY UNKNOWN 1 2 3 4\r\n')).toMatchObject({ kind: 'header', addresses: undefined, length: 23 });
    const local = Buffer.from(writeProxyHeader(2, { ...INET, localAddress: '::1' }));
    expect(parseProxyHeader(local)).toEqual({ kind: 'header', version: 2, addresses: undefined, length: 16 });
    expect(Buffer.from(writeProxyHeader(1, { ...INET, localAddress: '::1' })).toString()).toBe('PROXY UNKNOWN\r\n');
  });

  it.each([
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n',
    'PROXY TCP4 1.2.3.4 ::1 1 2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n',
    'PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP6 fe80::1%lo fe80::2 1 2\r\n',
    'PROXY TCP6 1.2.3.4 ::1 1 2\r\n',
    `PROXY TCP4 ${'1'.repeat(200)}\r\n`,
  ])('%j is malformed', (line) => {
    expect(text(line).kind).toBe('malformed');
  });

  it('anything else is none', () => {
    expect(text('GET / HTTP/1.1\r\n').kind).toBe('none');
    expect(text('PROXZ').kind).toBe('none');
    expect(parseProxyHeader(Buffer.from([22, 3, 1])).kind).toBe('none');
  });

  it('takes any bytes without failing, and says the same however much follows', () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 64 }), fc.nat(60), (version, noise, at) => {
        const header = Buffer.from(writeProxyHeader(version as 1 | 2, INET));
        header.set(noise.subarray(0, Math.max(0, header.length - at)), Math.min(at, header.length));
        const result = parseProxyHeader(header);
        expect(['need-more', 'none', 'malformed', 'header']).toContain(result.kind);
      }),
    );
  });
});
