// DNS over TCP: each message has its length before it (RFC 1035, 4.2.2).

const LENGTH_BYTES = 2;

export function withLength(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(LENGTH_BYTES + message.length);
  framed.writeUInt16BE(message.length, 0);
  framed.set(message, LENGTH_BYTES);
  return framed;
}

/** Puts messages together from what is read. */
export class MessageReader {
  private held = Buffer.alloc(0);

  constructor(private readonly onMessage: (message: Uint8Array) => void) {}

  add(chunk: Uint8Array): void {
    this.held = this.held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.held, chunk]);
    while (this.held.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + this.held.readUInt16BE(0);
      if (this.held.length < end) return;
      const message = this.held.subarray(LENGTH_BYTES, end);
      this.held = this.held.subarray(end);
      this.onMessage(message);
    }
  }
}
