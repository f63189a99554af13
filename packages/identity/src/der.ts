// Encoding: the few pieces of ASN.1 DER that a certificate check and a signing request need; strict and bounded.

/** Thrown for bytes that are not DER or not what was expected at that place. */
export class DerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DerError';
  }
}

export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: its tag and where its content stands in the bytes that it was read from. */
export interface DerElement {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads the element at `offset`, which must end at or before `limit`. Only one-byte tags and definite, minimal lengths
 * are taken, as DER wants them.
 * @throws DerError
 */
export function readDerElement(bytes: Uint8Array, offset: number, limit: number): DerElement {
  if (offset + 2 > limit) throw new DerError(`element at ${offset} is cut off`);
  const tag = bytes[offset] as number;
  if ((tag & 0x1f) === 0x1f) throw new DerError(`element at ${offset} has a tag of several bytes`);
  let length = bytes[offset + 1] as number;
  let start = offset + 2;
  if (length >= 0x80) {
    const lengthBytes = length & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 3) throw new DerError(`element at ${offset} has a length form not allowed`);
    if (start + lengthBytes > limit) throw new DerError(`length at ${offset} is cut off`);
    length = 0;
    for (let index = 0; index < lengthBytes; index++) length = length * 256 + (bytes[start + index] as number);
    if (length < 0x80 || length < 256 ** (lengthBytes - 1)) throw new DerError(`length at ${offset} is not minimal`);
    start += lengthBytes;
  }
  if (start + length > limit) throw new DerError(`element at ${offset} is longer than what contains it`);
  return { tag, start, end: start + length };
}

/** Reads the element at `offset` and demands its tag. @throws DerError */
export function expectDerElement(bytes: Uint8Array, offset: number, limit: number, tag: number): DerElement {
  const element = readDerElement(bytes, offset, limit);
  if (element.tag !== tag) {
    throw new DerError(`expected tag 0x${tag.toString(16)} at ${offset}, found 0x${element.tag.toString(16)}`);
  }
  return element;
}

/** Writes one element around the concatenation of `parts`. */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const lengthBytes: number[] = [];
  if (length < 0x80) {
    lengthBytes.push(length);
  } else {
    for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) lengthBytes.unshift(rest % 256);
    lengthBytes.unshift(0x80 | lengthBytes.length);
  }
  const out = new Uint8Array(1 + lengthBytes.length + length);
  out[0] = tag;
  out.set(lengthBytes, 1);
  let offset = 1 + lengthBytes.length;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** Wraps DER in PEM with the given label, for example "CERTIFICATE REQUEST". */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** Every PEM block with the given label, in order, as DER. Text between blocks is skipped. */
export function decodePemBlocks(label: string, text: string): Buffer[] {
  const block = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*)-----END ${label}-----`, 'g');
  return [...text.matchAll(block)].map((match) => Buffer.from((match[1] as string).replace(/\s+/g, ''), 'base64'));
}
