// Builds one table as bytes whose inner offsets are relative to its start.

/** A growing little-endian buffer. Every allocation is aligned to 8 bytes. */
export class BlobWriter {
  #bytes = Buffer.alloc(4096);
  #end = 0;
  readonly #texts = new Map<string, number>();

  get length(): number {
    return this.#end;
  }

  /** Room of so many zero bytes; its relative offset. */
  reserve(bytes: number): number {
    const at = this.#end;
    this.#end += (bytes + 7) & ~7;
    if (this.#end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.#end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }

  int(at: number, value: number): void {
    this.#bytes.writeInt32LE(value, at);
  }

  addBits(at: number, bits: number): void {
    this.#bytes.writeInt32LE(this.#bytes.readInt32LE(at) | bits, at);
  }

  float(at: number, value: number): void {
    this.#bytes.writeDoubleLE(value, at);
  }

  /** Places bytes once for each different content. */
  content(content: Buffer): number {
    if (content.length === 0) return 0;
    const key = content.toString('latin1');
    const known = this.#texts.get(key);
    if (known !== undefined) return known;
    const at = this.reserve(content.length);
    this.#bytes.set(content, at);
    this.#texts.set(key, at);
    return at;
  }

  /** Writes offset and length of a text to two neighbouring fields. */
  text(at: number, text: string): void {
    const content = Buffer.from(text, 'utf8');
    this.int(at, this.content(content));
    this.int(at + 4, content.length);
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }
}
