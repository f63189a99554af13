// The ClientHello parser: real ones, built ones cut at every byte and over any records, and mutated ones.

import { createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseClientHello } from './client-hello.js';

const uint16 = (value: number): number[] => [value >> 8, value & 255];
const vector16 = (bytes: readonly number[]): number[] => [...uint16(bytes.length), ...bytes];
const vector8 = (bytes: readonly number[]): number[] => [bytes.length, ...bytes];
const ascii = (text: string): number[] => [...Buffer.from(text, 'latin1')];

interface Parts {
  readonly serverName?: string;
  readonly protocols?: readonly string[];
  readonly padding?: number;
}

function message({ serverName, protocols, padding = 0 }: Parts): number[] {
  const extensions: number[] = [];
  if (serverName !== undefined) {
    extensions.push(...uint16(0), ...vector16(vector16([0, ...vector16(ascii(serverName))])));
  }
  extensions.push(...uint16(43), ...vector16([2, 3, 4]));
  if (protocols !== undefined) {
    extensions.push(...uint16(16), ...vector16(vector16(protocols.flatMap((name) => vector8(ascii(name))))));
  }
  if (padding > 0) extensions.push(...uint16(21), ...vector16(new Array<number>(padding).fill(0)));
  const body = [
    ...uint16(0x0303),
    ...new Array<number>(32).fill(7),
    ...vector8(new Array<number>(32).fill(9)),
    ...vector16([0x13, 0x01, 0x13, 0x02]),
    ...vector8([0]),
    ...vector16(extensions),
  ];
  return [1, 0, ...uint16(body.length), ...body];
}

/** Puts a handshake message into records of these sizes (the last takes the rest). */
function records(bytes: readonly number[], sizes: readonly number[]): Uint8Array {
  const out: number[] = [];
  let at = 0;
  for (const size of [...sizes, Number.POSITIVE_INFINITY]) {
    const part = bytes.slice(at, at + size);
    if (part.length === 0) break;
    out.push(22, 3, 1, ...vector16(part));
    at += part.length;
  }
  return Uint8Array.from(out);
}

const label = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
const partsArbitrary = fc.record(
  {
    serverName: fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.')),
    protocols: fc.array(fc.stringMatching(/^[!-~]{1,30}$/), { minLength: 1, maxLength: 5 }),
    padding: fc.nat(300),
  },
  { requiredKeys: [] },
);

describe('parseClientHello', () => {
  it('reads what OpenSSL sends', async () => {
    const first = await new Promise<Buffer>((resolve) => {
      const server = createServer((socket) => {
        socket.once('data', (data: Buffer) => {
          resolve(data);
          socket.destroy();
          server.close();
        });
      });
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        const options = { port, host: '127.0.0.1', servername: 'Reviews.Example', ALPNProtocols: ['istio', 'h2'] };
        connectTls(options).on('error', () => {});
      });
    });
    expect(parseClientHello(first)).toEqual({
      kind: 'hello',
      hello: { serverName: 'reviews.example', applicationProtocols: ['istio', 'h2'] },
    });
  });

  it('reads any hello over any records, and wants more at every earlier byte', () => {
    fc.assert(
      fc.property(partsArbitrary, fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 6 }), (parts, sizes) => {
        const bytes = records(message(parts), sizes);
        expect(parseClientHello(bytes)).toEqual({
          kind: 'hello',
          hello: { serverName: parts.serverName ?? '', applicationProtocols: parts.protocols ?? [] },
        });
        for (let length = 0; length < bytes.length; length++) {
          expect(parseClientHello(bytes.subarray(0, length)).kind).toBe('need-more');
        }
      }),
      { numRuns: 60 },
    );
  });

  it('never throws and never reads beyond, whatever is changed', () => {
    fc.assert(
      fc.property(
        partsArbitrary,
        fc.array(fc.tuple(fc.nat(2000), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 5 }),
        (parts, changes) => {
          const bytes = records(message(parts), [50]);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          expect(['need-more', 'plaintext', 'malformed', 'hello']).toContain(parseClientHello(bytes).kind);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('tells plaintext by its first byte', () => {
    expect(parseClientHello(Buffer.from('GET / HTTP/1.1\r\n')).kind).toBe('plaintext');
    expect(parseClientHello(new Uint8Array(0)).kind).toBe('need-more');
  });

  it('refuses two names, two extensions of a kind, bytes after the end, and what is too large', () => {
    const hello = message({ serverName: 'a.example' });
    const doubled = message({ serverName: 'a.example', protocols: ['h2'] });
    // The ALPN extension becomes a second server name extension.
    const at = doubled.lastIndexOf(16, doubled.length - 8);
    doubled[at] = 0;
    for (const bytes of [
      records([...hello, 0], []),
      records(doubled, []),
      Uint8Array.from([22, 3, 1, 0, 4, 1, 1, 0, 0]),
      Uint8Array.from([22, 3, 1, 0, 0]),
      Uint8Array.from([22, 3, 1, 0, 4, 2, 0, 0, 1]),
      Uint8Array.from([22, 9]),
    ]) {
      expect(parseClientHello(bytes).kind).toBe('malformed');
    }
    expect(parseClientHello(records(message({ serverName: 'bad name' }), [])).kind).toBe('malformed');
    expect(parseClientHello(records(message({ protocols: [] }), [])).kind).toBe('malformed');
  });
});
