// Builds one table as bytes whose inner offsets are relative to its start.

/** Working memory that finished writers gave back, zeroed: a snapshot compiles thousands of tables. */
const spare: Uint8Array<ArrayBuffer>[] = [];

/** A growing little-endian buffer. Every allocation is aligned to 8 bytes. */
export class BlobWriter {
  #bytes = spare.pop() ?? new Uint8Array(16_384);
  #ints = new Int32Array(this.#bytes.buffer);
  #buffer = Buffer.from(this.#bytes.buffer);
  #end = 0;
  readonly #texts = new Map<string, { readonly at: number; readonly length: number }>();

  readonly #shared = new Map<string, number>();

  get length(): number {
    return this.#end;
  }

  /** Room of so many zero bytes; its relative offset. */
  reserve(bytes: number): number {
    const at = this.#end;
    this.#end += (bytes + 7) & ~7;
    if (this.#end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#ints = new Int32Array(larger.buffer);
      this.#buffer = Buffer.from(larger.buffer);
    }
    return at;
  }

  /** `at` is a multiple of 4, as every field of the layouts is. */
  int(at: number, value: number): void {
    this.#ints[at >> 2] = value;
  }

  addBits(at: number, bits: number): void {
    this.#ints[at >> 2]! |= bits;
  }

  float(at: number, value: number): void {
    this.#buffer.writeDoubleLE(value, at);
  }

  long(at: number, value: bigint): void {
    this.#buffer.writeBigInt64LE(value, at);
  }

  /** Puts bytes into room that was reserved. */
  place(at: number, content: Uint8Array): void {
    this.#bytes.set(content, at);
  }

  /** Places bytes; their relative offset. */
  content(content: Uint8Array): number {
    const at = this.reserve(content.length);
    this.#bytes.set(content, at);
    return at;
  }

  /** Places what `make` makes once for each key; its relative offset. */
  shared(key: string, make: () => Uint8Array): number {
    let at = this.#shared.get(key);
    if (at === undefined) {
      at = this.content(make());
      this.#shared.set(key, at);
    }
    return at;
  }

  /** Writes offset and length of a text to two neighbouring fields; the text itself once for each different one. */
  text(field: number, text: string): void {
    let place = this.#texts.get(text);
    if (place === undefined) {
      const length = Buffer.byteLength(text, 'utf8');
      place = { at: this.reserve(length), length };
      this.#buffer.write(text, place.at, 'utf8');
      this.#texts.set(text, place);
    }
    this.int(field, place.at);
    this.int(field + 4, place.length);
  }

  /** A copy of just the bytes used, because tables are kept. The writer must not be used after this. */
  finish(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#end);
    this.#bytes.fill(0, 0, this.#end);
    if (spare.length < 4) spare.push(this.#bytes);
    return bytes;
  }
}
