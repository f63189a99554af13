// Exchange: counts the messages of gRPC in a body: each has five bytes before it, a flag and its length.

const HEAD_BYTES = 5;

/** Of one direction; used again for each request. */
export class GrpcMessages {
  /** Messages whose head has been seen. */
  count = 0;
  private headBytes = 0;
  private length = 0;
  private left = 0;

  begin(): void {
    this.count = 0;
    this.headBytes = 0;
    this.length = 0;
    this.left = 0;
  }

  /** The next bytes of the body, split anywhere. */
  add(bytes: Uint8Array, address: number, length: number): void {
    const end = address + length;
    let at = address;
    while (at < end) {
      if (this.left > 0) {
        const taken = Math.min(this.left, end - at);
        this.left -= taken;
        at += taken;
        continue;
      }
      const byte = bytes[at++]!;
      if (this.headBytes > 0) this.length = this.length * 256 + byte;
      if (++this.headBytes < HEAD_BYTES) continue;
      this.count++;
      this.left = this.length;
      this.headBytes = 0;
      this.length = 0;
    }
  }
}
