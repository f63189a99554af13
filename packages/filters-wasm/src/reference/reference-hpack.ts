// Test support: HPACK in the plainest form, strings and arrays, to compare the core with.
import { CODE_LENGTHS, STATIC_TABLE } from '../http2/h2-tables.js';

export type Field = readonly [name: string, value: string];

/** Codes as strings of 0 and 1, by symbol. */
const CODES: string[] = [];
{
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= 256; symbol++) {
      if (CODE_LENGTHS[symbol] === length) CODES[symbol] = (code++).toString(2).padStart(length, '0');
    }
  }
}
const SYMBOLS = new Map(CODES.map((code, symbol) => [code, symbol]));

/** The block cannot be decoded. */
export class CompressionError extends Error {}
/** More fields than the core takes. */
export class FloodError extends Error {}

/** Latin-1 text by the Huffman code. */
export function huffman(text: string): Buffer {
  let bits = [...text].map((char) => CODES[char.charCodeAt(0)]).join('');
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

function unhuffman(bytes: Buffer): string {
  let text = '';
  let code = '';
  for (const byte of bytes) {
    for (const bit of byte.toString(2).padStart(8, '0')) {
      code += bit;
      const symbol = SYMBOLS.get(code);
      if (symbol === undefined) continue;
      if (symbol === 256) throw new CompressionError('end of string');
      text += String.fromCharCode(symbol);
      code = '';
    }
  }
  if (code.length > 7 || code.includes('0')) throw new CompressionError('padding');
  return text;
}

/** An integer with a prefix of `bits`, below the flags of `first`. */
export function hpackInteger(value: number, bits: number, first: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.from([first | value]);
  const bytes = [first | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** A string, by the Huffman code or as it is. */
export function hpackString(text: string, coded: boolean): Buffer {
  const bytes = coded ? huffman(text) : Buffer.from(text, 'latin1');
  return Buffer.concat([hpackInteger(bytes.length, 7, coded ? 0x80 : 0), bytes]);
}

/** The decoder of one connection. */
export class ReferenceDecoder {
  private table: Field[] = [];
  private maxSize = 4096;
  private limit = 4096;
  private mustUpdate = false;

  /** Size as RFC 7541, 4.1 counts it. */
  get size(): number {
    return this.table.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  }

  setLimit(limit: number): void {
    this.limit = limit;
    if (this.maxSize > limit) this.mustUpdate = true;
  }

  /** The fields of a block; throws CompressionError or FloodError. */
  decode(block: Buffer): Field[] {
    const fields: Field[] = [];
    let at = 0;
    const integer = (bits: number): number => {
      const most = 2 ** bits - 1;
      let value = block[at++]! & most;
      if (value < most) return value;
      for (let power = 0; power < 4; power++) {
        if (at >= block.length) throw new CompressionError('integer');
        const byte = block[at++]!;
        value += (byte & 127) * 128 ** power;
        if (byte < 128) return value;
      }
      throw new CompressionError('long integer');
    };
    const string = (): string => {
      if (at >= block.length) throw new CompressionError('no string');
      const coded = block[at]! >= 128;
      const length = integer(7);
      if (at + length > block.length) throw new CompressionError('short string');
      at += length;
      const bytes = block.subarray(at - length, at);
      return coded ? unhuffman(bytes) : bytes.toString('latin1');
    };
    const entry = (index: number): Field => {
      const found = index <= 61 ? STATIC_TABLE[index - 1] : this.table[index - 62];
      if (found === undefined) throw new CompressionError('index');
      return found;
    };
    while (at < block.length) {
      const first = block[at]!;
      if (first >= 32 && first < 64) {
        const size = integer(5);
        if (fields.length > 0 || size > this.limit) throw new CompressionError('size');
        this.maxSize = size;
        this.mustUpdate = false;
        this.evict(size);
        continue;
      }
      if (fields.length === 0 && this.mustUpdate) throw new CompressionError('no change of size');
      if (fields.length === 1024) throw new FloodError();
      if (first >= 128) {
        fields.push(entry(integer(7)));
        continue;
      }
      const adds = first >= 64;
      const index = integer(adds ? 6 : 4);
      const name = index > 0 ? entry(index)[0] : string();
      const field: Field = [name, string()];
      fields.push(field);
      if (!adds) continue;
      const size = name.length + field[1].length + 32;
      this.evict(this.maxSize - size);
      if (size <= this.maxSize) this.table.unshift(field);
    }
    return fields;
  }

  private evict(size: number): void {
    while (this.size > Math.max(size, 0)) this.table.pop();
  }
}
