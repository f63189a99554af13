// The examples of RFC 7541, appendix C, decoded and, where they have no table, encoded.
import { describe, expect, it } from 'vitest';
import { createTestCore } from '../reference/test-core.js';
import * as H from './h2-layout.js';

const { core, wasm, int } = createTestCore();

function newDecoder(): number {
  const decoder = core.h2Decoders.take();
  wasm.h2ResetDecoder(decoder);
  return decoder;
}

function decode(decoder: number, hex: string, kind: number): string | number {
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  block.copy(core.bytes, H.H2_BLOCK_BUFFER);
  const length = wasm.h2DecodeHead(
    decoder,
    H.H2_BLOCK_BUFFER,
    block.length,
    kind,
    H.H2_HEAD_BUFFER,
    H.H2_HEAD_BUFFER_BYTES,
  );
  return length < 0 ? length : core.text(H.H2_HEAD_BUFFER, length);
}

const REQUEST = H.H2_REQUEST | H.H2_END_STREAM;
const RESPONSE = H.H2_RESPONSE | H.H2_END_STREAM;
const requests = [
  ['GET / HTTP/1.1', 'host: www.example.com'],
  ['GET / HTTP/1.1', 'host: www.example.com', 'cache-control: no-cache'],
  ['GET /index.html HTTP/1.1', 'host: www.example.com', 'custom-key: custom-value'],
];
const responses = [
  [
    'HTTP/1.1 302 ',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    'HTTP/1.1 307 ',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    'HTTP/1.1 200 ',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:22 GMT',
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];
const head = (lines: readonly string[]) => `${lines.join('\r\n')}\r\n\r\n`;

describe('the examples of RFC 7541, appendix C', () => {
  it.each([
    [
      'C.3 requests, plain strings',
      REQUEST,
      requests,
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
      164,
    ],
    [
      'C.4 requests, Huffman code',
      REQUEST,
      requests,
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
      164,
    ],
    [
      'C.5 responses, plain strings, a table of 256',
      RESPONSE,
      responses,
      [
        `3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        '4803 3330 37c1 c0bf',
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31`,
      ],
      215,
    ],
    [
      'C.6 responses, Huffman code, a table of 256',
      RESPONSE,
      responses,
      [
        `3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
        '4883 640e ffc1 c0bf',
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
      ],
      215,
    ],
  ] as const)('%s', (_name, kind, heads, blocks, size) => {
    const decoder = newDecoder();
    blocks.forEach((block, index) => {
      expect(decode(decoder, block.replaceAll(/\s/g, ''), kind)).toBe(head(heads[index]!));
    });
    expect(int(decoder + H.H2_DECODER_SIZE)).toBe(size);
  });

  it('encodes the first request of C.4 with the same strings, and nothing that would be put into a table', () => {
    const text = head(requests[0]!);
    core.bytes.write(text, H.H2_HEAD_BUFFER, 'latin1');
    const length = wasm.h2EncodeHead(
      H.H2_HEAD_BUFFER,
      text.length,
      H.H2_REQUEST | H.H2_HUFFMAN,
      H.H2_BLOCK_BUFFER,
      H.H2_BLOCK_BUFFER_BYTES,
    );
    const block = core.bytes.subarray(H.H2_BLOCK_BUFFER, H.H2_BLOCK_BUFFER + length);
    expect(block.toString('hex')).toBe('828684018cf1e3c2e5f23a6ba0ab90f4ff');
  });
});
