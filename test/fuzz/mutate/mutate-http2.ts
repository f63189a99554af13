// Fuzzing: HTTP/2 streams to start from, and edits that know what a frame is.

import type { Random } from '../loop/random.js';
import { mutateBytes } from './mutate-bytes.js';

const FRAME_HEADER_BYTES = 9;
const MAX_INPUT_BYTES = 128 * 1024;

export const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** One frame. */
export function frame(type: number, flags: number, streamId: number, payload: Buffer | readonly number[] = []): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(FRAME_HEADER_BYTES);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, body]);
}

/** A header block: what is in the static table by its index, everything else as literals without an index. */
function block(...fields: readonly (number | readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === 'number') return Buffer.of(0x80 | field);
      const [name, value] = field.map((text) => Buffer.from(text, 'latin1'));
      return Buffer.concat([Buffer.of(0, name!.length), name!, Buffer.of(value!.length), value!]);
    }),
  );
}

const GET = [2, 6, 4, [':authority', 'a']] as const;
const POST = [3, 6, 4, [':authority', 'a']] as const;
const SETTINGS = frame(4, 0, 0);
const SETTINGS_ACK = frame(4, 1, 0);
const text = (value: string) => Buffer.from(value, 'latin1');

/** What a client sends after its preface. */
export const HTTP2_REQUEST_SEEDS: readonly Buffer[] = [
  [SETTINGS, frame(1, 5, 1, block(...GET))],
  [SETTINGS, frame(1, 4, 1, block(...POST, ['content-length', '5'])), frame(0, 1, 1, text('hello'))],
  [SETTINGS, frame(1, 4, 1, block(...POST)), frame(0, 0, 1, text('hel')), frame(0, 9, 1, [2, 108, 111, 0, 0])],
  [SETTINGS, frame(1, 4, 1, block(...POST)), frame(0, 0, 1, text('x')), frame(1, 5, 1, block(['t', 'railer']))],
  [SETTINGS, frame(1, 1, 1, block(...GET).subarray(0, 4)), frame(9, 4, 1, block(...GET).subarray(4))],
  [SETTINGS, frame(1, 0x2d, 1, [1, 0, 0, 0, 0, 16, ...block(...GET), 0]), frame(1, 5, 3, block(...GET, ['x', 'y']))],
  [
    frame(4, 0, 0, [0, 4, 0, 0, 0, 1, 0, 3, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0]),
    frame(1, 5, 1, block(...GET)),
    frame(8, 0, 1, [0, 0, 1, 0]),
  ],
  [
    SETTINGS,
    SETTINGS_ACK,
    frame(6, 0, 0, Buffer.alloc(8, 7)),
    frame(1, 5, 1, block(...GET)),
    frame(3, 0, 1, [0, 0, 0, 8]),
  ],
  [SETTINGS, frame(8, 0, 0, [0, 1, 0, 0]), frame(1, 5, 1, block(...GET)), frame(7, 0, 0, Buffer.alloc(8))],
  [
    SETTINGS,
    frame(
      1,
      5,
      1,
      [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
    ),
  ],
].map((frames) => Buffer.concat(frames));

/** What a server sends. */
export const HTTP2_RESPONSE_SEEDS: readonly Buffer[] = [
  [SETTINGS, SETTINGS_ACK, frame(1, 5, 1, block(9))],
  [SETTINGS, SETTINGS_ACK, frame(1, 4, 1, block(8)), frame(0, 1, 1, text('hello'))],
  [
    SETTINGS,
    frame(1, 4, 1, block(8, ['content-length', '5'])),
    frame(0, 0, 1, text('hel')),
    frame(0, 1, 1, text('lo')),
  ],
  [SETTINGS, frame(1, 4, 1, block(8)), frame(0, 0, 1, text('x')), frame(1, 5, 1, block(['grpc-status', '0']))],
  [SETTINGS, frame(1, 4, 1, block([':status', '103'])), frame(1, 4, 1, block(8)), frame(0, 1, 1, text('late'))],
  [SETTINGS, frame(3, 0, 1, [0, 0, 0, 7])],
  [frame(4, 0, 0, [0, 3, 0, 0, 0, 0]), frame(7, 0, 0, Buffer.alloc(8)), frame(1, 5, 1, block(8))],
].map((frames) => Buffer.concat(frames));

const TOKENS = [
  SETTINGS,
  SETTINGS_ACK,
  ...[0, 1, 2, 3, 4, 6, 7, 8, 9].map((type) => frame(type, 0, 1)),
  frame(8, 0, 1, [0x7f, 0xff, 0xff, 0xff]),
  frame(3, 0, 1, [0, 0, 0, 8]),
  Buffer.of(0x20),
  Buffer.of(0x3f, 0xff, 0xff, 0xff, 0xff),
  Buffer.of(0xff, 0x80, 0x80, 0x80, 0x80, 0x80),
  block([':path', '']),
  block(['connection', 'close']),
  block(['transfer-encoding', 'chunked']),
  block(['x', 'a\r\nb']),
];

/** Edits of frames or of bytes. */
export function mutateHttp2(random: Random, input: Buffer, other: Buffer): Buffer {
  if (random.chance(0.4)) return mutateBytes(random, input, other, TOKENS);
  const frames = framesOf(input);
  for (let edits = 1 + random.below(3); edits > 0; edits--) edit(random, frames, framesOf(other));
  const result = Buffer.concat(frames);
  return result.length > MAX_INPUT_BYTES ? result.subarray(0, MAX_INPUT_BYTES) : result;
}

/** Whole frames, and what is left at the end. */
function framesOf(input: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= input.length) {
    const end = at + FRAME_HEADER_BYTES + input.readUIntBE(at, 3);
    if (end > input.length) break;
    frames.push(Buffer.from(input.subarray(at, end)));
    at = end;
  }
  if (at < input.length) frames.push(Buffer.from(input.subarray(at)));
  return frames;
}

function edit(random: Random, frames: Buffer[], others: readonly Buffer[]): void {
  const index = random.below(frames.length + 1);
  const chosen = frames[index];
  if (chosen === undefined || chosen.length < FRAME_HEADER_BYTES) {
    if (others.length > 0) frames.push(random.pick(others));
    return;
  }
  switch (random.below(8)) {
    case 0: // another type
      chosen[3] = random.below(11);
      return;
    case 1: // other flags
      chosen[4] = chosen[4]! ^ (1 << random.below(7));
      return;
    case 2: // another stream
      chosen.writeUInt32BE(random.pick([0, 1, 2, 3, 5, 0x7fffffff, 0x80000001]), 5);
      return;
    case 3: // twice, or many times
      frames.splice(index, 0, ...Array(random.chance(0.1) ? 200 : 1).fill(chosen));
      return;
    case 4: // gone
      frames.splice(index, 1);
      return;
    case 5: // somewhere else
      frames.splice(index, 1);
      frames.splice(random.below(frames.length + 1), 0, chosen);
      return;
    case 6: // a length that is not so
      chosen.writeUIntBE(random.pick([0, 1, chosen.length, 16_384, 16_385, 0xffffff]), 0, 3);
      return;
    default: // another payload, of its own length
      if (others.length > 0) frames.splice(index, 0, random.pick(others));
  }
}
