// Builds one table as bytes whose inner offsets are relative to its start.

interface WorkingMemory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly ints: Int32Array;
  readonly buffer: Buffer;
}

function workingMemory(length: number): WorkingMemory {
  const bytes = new Uint8Array(length);
  return { bytes, ints: new Int32Array(bytes.buffer), buffer: Buffer.from(bytes.buffer) };
}

/** Working memory that finished writers gave back, zeroed: a snapshot compiles thousands of tables. */
const spare: WorkingMemory[] = [];

/** A growing little-endian buffer. Every allocation is aligned to 8 bytes. */
export class BlobWriter {
  #memory = spare.pop() ?? workingMemory(16_384);
  #ints = this.#memory.ints;
  #end = 0;
  /** Made when first needed: most records of a snapshot have no text. */
  #texts: Map<string, { readonly at: number; readonly length: number }> | undefined;
  #shared: Map<string, number> | undefined;

  get length(): number {
    return this.#end;
  }

  /** Room of so many zero bytes; its relative offset. */
  reserve(bytes: number): number {
    const at = this.#end;
    this.#end += (bytes + 7) & ~7;
    if (this.#end > this.#memory.bytes.length) this.#grow();
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
    this.#memory.buffer.writeDoubleLE(value, at);
  }

  long(at: number, value: bigint): void {
    this.#memory.buffer.writeBigInt64LE(value, at);
  }

  /** Puts bytes into room that was reserved. */
  place(at: number, content: Uint8Array): void {
    this.#memory.bytes.set(content, at);
  }

  /** Places bytes; their relative offset. */
  content(content: Uint8Array): number {
    const at = this.reserve(content.length);
    this.#memory.bytes.set(content, at);
    return at;
  }

  /** Places what `make` makes once for each key; its relative offset. */
  shared(key: string, make: () => Uint8Array): number {
    this.#shared ??= new Map();
    let at = this.#shared.get(key);
    if (at === undefined) {
      at = this.content(make());
      this.#shared.set(key, at);
    }
    return at;
  }

  /** Writes offset and length of a text to two neighbouring fields; the text itself once for each different one. */
  text(field: number, text: string): void {
    this.#texts ??= new Map();
    let place = this.#texts.get(text);
    if (place === undefined) {
      const length = Buffer.byteLength(text, 'utf8');
      place = { at: this.reserve(length), length };
      this.#memory.buffer.write(text, place.at, 'utf8');
      this.#texts.set(text, place);
    }
    this.int(field, place.at);
    this.int(field + 4, place.length);
  }

  /** A copy of just the bytes used, because tables are kept. The writer must not be used after this. */
  finish(): Uint8Array {
    const { bytes } = this.#memory;
    const used = bytes.slice(0, this.#end);
    bytes.fill(0, 0, this.#end);
    if (spare.length < 4) spare.push(this.#memory);
    return used;
  }

  #grow(): void {
    const larger = workingMemory(Math.max(this.#end, this.#memory.bytes.length * 2));
    larger.bytes.set(this.#memory.bytes);
    this.#memory = larger;
    this.#ints = larger.ints;
  }
}
