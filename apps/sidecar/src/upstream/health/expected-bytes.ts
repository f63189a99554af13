// Health checks: whether bytes that come hold what is expected: each part after the one before it, with anything between.

/** As Envoy: parts have to come in their order, not one right after the other. */
export class ExpectedBytes {
  private next = 0;
  /** The end of what came: the part that is looked for may have begun there. */
  private held = Buffer.alloc(0);

  constructor(private readonly parts: readonly Buffer[]) {}

  get complete(): boolean {
    return this.next === this.parts.length;
  }

  /** The bytes are copied where they are needed later. */
  add(bytes: Uint8Array): void {
    let rest = Buffer.concat([this.held, bytes]);
    for (; this.next < this.parts.length; this.next++) {
      const part = this.parts[this.next]!;
      const at = rest.indexOf(part);
      if (at < 0) {
        this.held = Buffer.from(rest.subarray(Math.max(0, rest.length - part.length + 1)));
        return;
      }
      rest = rest.subarray(at + part.length);
    }
  }
}
