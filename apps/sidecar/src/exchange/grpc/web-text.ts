// gRPC-Web: the text form of bodies, base64 in pieces.

const QUADS = /^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/;
const PADDED = /[^=]+=*/g;

/** Reads a body's base64, which may be split anywhere and padded wherever its writer stopped for a moment. */
export class TextReader {
  private rest = '';
  /** The text has ended within a group. */
  isCut = false;

  /** The bytes of all whole groups of four; null where the text is none, or ends within one. */
  add(bytes: Uint8Array, isEnd: boolean): Buffer | null {
    const text = this.rest + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    const whole = text.length - (text.length % 4);
    this.rest = text.slice(whole);
    const ready = text.slice(0, whole);
    this.isCut = isEnd && this.rest !== '';
    if (this.isCut || !QUADS.test(ready)) return null;
    const parts = ready.match(PADDED) ?? [];
    return Buffer.concat(parts.map((part) => Buffer.from(part, 'base64')));
  }
}

const FRAME_HEAD_BYTES = 5;

/** Writes messages of gRPC as base64, each padded by itself, as Envoy does. */
export class TextWriter {
  /** What of a message is still to come, its head included. */
  private left = FRAME_HEAD_BYTES;
  private headBytes = 0;
  private length = 0;
  private carried: Buffer = Buffer.alloc(0);

  add(bytes: Uint8Array): Buffer {
    const texts: string[] = [];
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(this.left, bytes.length - at);
      const piece = bytes.subarray(at, at + count);
      at += count;
      this.left -= count;
      if (this.headBytes < FRAME_HEAD_BYTES) {
        for (const byte of piece) if (++this.headBytes > 1) this.length = this.length * 256 + byte;
        if (this.headBytes === FRAME_HEAD_BYTES) this.left = this.length;
      }
      texts.push(this.encode(piece, this.headBytes === FRAME_HEAD_BYTES && this.left === 0));
    }
    return Buffer.from(texts.join(''), 'latin1');
  }

  private encode(piece: Uint8Array, isEnd: boolean): string {
    const bytes = Buffer.concat([this.carried, piece]);
    const kept = isEnd ? 0 : bytes.length % 3;
    this.carried = bytes.subarray(bytes.length - kept);
    if (isEnd) {
      this.left = FRAME_HEAD_BYTES;
      this.headBytes = 0;
      this.length = 0;
    }
    return bytes.subarray(0, bytes.length - kept).toString('base64');
  }
}
