// Messages of gRPC are counted right however their bytes are split.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GrpcMessages } from './grpc-messages.js';

function message(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length, 1);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

it('counts each message once, at any split of the bytes', () => {
  const lengths = fc.array(fc.oneof(fc.nat(3), fc.nat(70_000)), { maxLength: 12 });
  const counter = new GrpcMessages();
  fc.assert(
    fc.property(lengths, fc.array(fc.nat(2000), { maxLength: 40 }), (list, cuts) => {
      const body = Buffer.concat(list.map(message));
      counter.begin();
      let at = 0;
      for (const cut of [...cuts, body.length]) {
        const length = Math.min(cut, body.length - at);
        counter.add(body, at, length);
        at += length;
      }
      expect(counter.count).toBe(list.length);
    }),
  );
});

it('counts a message when its length is known, not when it has ended', () => {
  const counter = new GrpcMessages();
  counter.add(message(10), 0, 4);
  expect(counter.count).toBe(0);
  counter.add(message(10), 4, 1);
  expect(counter.count).toBe(1);
});
