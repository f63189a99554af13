// Tests: a HTTP/2 client of single frames, so that a test says exactly what is on the wire.

import type { RawConnection } from './raw-peers.js';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const [DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] =
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer | readonly number[] = []): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, body]);
}

/** A header block of literals without indexing. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => Buffer.concat([Buffer.of(0), hpackString(name), hpackString(value)])),
  );
}

export const GET: readonly (readonly [string, string])[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'x'],
];
export const POST: readonly (readonly [string, string])[] = [[':method', 'POST'], ...GET.slice(1)];

/** A whole head in one frame. */
export function head(
  streamId: number,
  fields: readonly (readonly [string, string])[] = GET,
  flags = END_STREAM,
): Buffer {
  return frame(HEADERS, END_HEADERS | flags, streamId, block(fields));
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The preface and settings, `id` and value each. */
export function opening(...settings: readonly (readonly [number, number])[]): Buffer {
  const pairs = settings.map(([id, value]) => Buffer.concat([Buffer.of(0, id), uint32(value)]));
  return Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.concat(pairs))]);
}

/** The whole frames among what was received. */
export function framesOf(received: string): Frame[] {
  const bytes = Buffer.from(received, 'latin1');
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) break;
    const payload = bytes.subarray(at + 9, at + 9 + length);
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, streamId: bytes.readUInt32BE(at + 5), payload });
    at += 9 + length;
  }
  return frames;
}

/** Error code of the GOAWAY that came, -1 where there was none. */
export function goawayCode(received: string): number {
  const found = framesOf(received).findLast(({ type }) => type === GOAWAY);
  return found === undefined ? -1 : found.payload.readUInt32BE(4);
}

/** Error code of the RST_STREAM that came for a stream, -1 where there was none. */
export function resetCode(received: string, streamId: number): number {
  const found = framesOf(received).find((each) => each.type === RST_STREAM && each.streamId === streamId);
  return found === undefined ? -1 : found.payload.readUInt32BE(0);
}

/** Waits for a frame. */
export async function untilFrame(
  client: RawConnection,
  wanted: (frame: Frame) => boolean,
  what: string,
): Promise<Frame> {
  await client.until(({ received }) => framesOf(received).some(wanted), what);
  return framesOf(client.received).find(wanted)!;
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let left = bytes.length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) length.push((left % 128) + 128);
  return Buffer.concat([Buffer.of(...length, left), bytes]);
}
