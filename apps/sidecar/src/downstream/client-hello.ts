// Downstream, TLS inspector: reads server name and ALPN from a ClientHello (RFC 8446, section 4.1.2) with strict bounds.

export interface ClientHello {
  /** Lower case; empty where the client sent none. */
  readonly serverName: string;
  readonly applicationProtocols: readonly string[];
}

export type ClientHelloResult =
  | { readonly kind: 'need-more' }
  | { readonly kind: 'plaintext' }
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'hello'; readonly hello: ClientHello };

/** The largest ClientHello that is looked at, records included. */
export const MAX_CLIENT_HELLO_BYTES = 16 * 1024;

const RECORD_HANDSHAKE = 22;
const RECORD_HEADER_BYTES = 5;
const MAX_RECORD_BYTES = 16 * 1024;
const HANDSHAKE_CLIENT_HELLO = 1;
const HANDSHAKE_HEADER_BYTES = 4;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const NAME_TYPE_HOST = 0;
const MAX_SERVER_NAME_BYTES = 255;

const NEED_MORE: ClientHelloResult = { kind: 'need-more' };
const PLAINTEXT: ClientHelloResult = { kind: 'plaintext' };

class Malformed extends Error {}

/** Reads numbers and vectors inside fixed bounds; every overrun is `Malformed`. */
class Reader {
  constructor(
    private readonly bytes: Uint8Array,
    private offset: number,
    private readonly end: number,
  ) {}

  get remaining(): number {
    return this.end - this.offset;
  }

  uint8(): number {
    if (this.offset >= this.end) throw new Malformed('ends inside a field');
    return this.bytes[this.offset++] as number;
  }

  uint16(): number {
    return this.uint8() * 256 + this.uint8();
  }

  skip(count: number): void {
    if (count > this.remaining) throw new Malformed('ends inside a field');
    this.offset += count;
  }

  /** A reader of the next `count` bytes, which are passed over here. */
  vector(count: number): Reader {
    const start = this.offset;
    this.skip(count);
    return new Reader(this.bytes, start, this.offset);
  }

  /** The rest, as printable ASCII without spaces. */
  text(what: string): string {
    let text = '';
    while (this.offset < this.end) {
      const byte = this.bytes[this.offset++] as number;
      if (byte <= 0x20 || byte >= 0x7f) throw new Malformed(`${what} has a byte that is not printable`);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  rest(): string {
    let text = '';
    while (this.offset < this.end) text += String.fromCharCode(this.bytes[this.offset++] as number);
    return text;
  }
}

/**
 * Looks at the first bytes of a connection. Anything whose first byte is not a TLS handshake record is plaintext; what
 * starts like one must be a whole, well-formed ClientHello.
 */
export function parseClientHello(bytes: Uint8Array): ClientHelloResult {
  if (bytes.length === 0) return NEED_MORE;
  if (bytes[0] !== RECORD_HANDSHAKE) return PLAINTEXT;
  try {
    const message = joinRecords(bytes);
    if (message === undefined) {
      if (bytes.length >= MAX_CLIENT_HELLO_BYTES) throw new Malformed(`is larger than ${MAX_CLIENT_HELLO_BYTES} bytes`);
      return NEED_MORE;
    }
    return { kind: 'hello', hello: readHello(new Reader(message, HANDSHAKE_HEADER_BYTES, message.length)) };
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'malformed', reason: `ClientHello ${error.message}` };
    throw error;
  }
}

/** The handshake message out of one or more records; `undefined` while it is incomplete. */
function joinRecords(bytes: Uint8Array): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  let gathered = 0;
  let wanted = Number.POSITIVE_INFINITY;
  for (let offset = 0; gathered < wanted; ) {
    if (offset < bytes.length && bytes[offset] !== RECORD_HANDSHAKE) throw new Malformed('is cut by another record');
    if (offset + 1 < bytes.length && bytes[offset + 1] !== 3) throw new Malformed('has a record of an unknown version');
    if (offset + RECORD_HEADER_BYTES > bytes.length) return undefined;
    const length = (bytes[offset + 3] as number) * 256 + (bytes[offset + 4] as number);
    if (length === 0 || length > MAX_RECORD_BYTES) throw new Malformed('has a record of a forbidden length');
    offset += RECORD_HEADER_BYTES;
    const part = bytes.subarray(offset, Math.min(offset + length, bytes.length));
    parts.push(part);
    gathered += part.length;
    if (wanted === Number.POSITIVE_INFINITY) wanted = messageLength(parts);
    if (gathered >= wanted) break;
    if (offset + length > bytes.length) return undefined;
    offset += length;
  }
  const message = new Uint8Array(gathered);
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  if (gathered > wanted) throw new Malformed('is followed by another message in its record');
  return message;
}

/** Length of the whole handshake message once its header is there, infinity before. */
function messageLength(parts: readonly Uint8Array[]): number {
  const header: number[] = [];
  for (const part of parts) {
    for (let index = 0; index < part.length && header.length < HANDSHAKE_HEADER_BYTES; index++) {
      header.push(part[index] as number);
    }
  }
  if (header.length > 0 && header[0] !== HANDSHAKE_CLIENT_HELLO) throw new Malformed('is another handshake message');
  if (header.length < HANDSHAKE_HEADER_BYTES) return Number.POSITIVE_INFINITY;
  const [, high, middle, low] = header as [number, number, number, number];
  const length = HANDSHAKE_HEADER_BYTES + high * 65_536 + middle * 256 + low;
  if (length > MAX_CLIENT_HELLO_BYTES) throw new Malformed(`is larger than ${MAX_CLIENT_HELLO_BYTES} bytes`);
  return length;
}

function readHello(reader: Reader): ClientHello {
  if (reader.uint8() !== 3) throw new Malformed('has an unknown version');
  reader.skip(1 + 32); // minor version, random
  const sessionIdBytes = reader.uint8();
  if (sessionIdBytes > 32) throw new Malformed('has a session id of more than 32 bytes');
  reader.skip(sessionIdBytes);
  const cipherBytes = reader.uint16();
  if (cipherBytes < 2 || cipherBytes % 2 !== 0)
    throw new Malformed('has a list of cipher suites of a forbidden length');
  reader.skip(cipherBytes);
  const compressionBytes = reader.uint8();
  if (compressionBytes < 1) throw new Malformed('names no compression method');
  reader.skip(compressionBytes);
  if (reader.remaining === 0) return { serverName: '', applicationProtocols: [] };
  const extensions = reader.vector(reader.uint16());
  if (reader.remaining !== 0) throw new Malformed('has bytes after its extensions');
  return readExtensions(extensions);
}

function readExtensions(extensions: Reader): ClientHello {
  let serverName = '';
  let applicationProtocols: string[] = [];
  const seen = new Set<number>();
  while (extensions.remaining > 0) {
    const type = extensions.uint16();
    const body = extensions.vector(extensions.uint16());
    if (seen.has(type)) throw new Malformed(`has extension ${type} twice`);
    seen.add(type);
    if (type === EXTENSION_SERVER_NAME) serverName = readServerName(body);
    else if (type === EXTENSION_ALPN) applicationProtocols = readProtocols(body);
  }
  return { serverName, applicationProtocols };
}

function readServerName(body: Reader): string {
  const list = body.vector(body.uint16());
  if (body.remaining !== 0) throw new Malformed('has bytes after its server name list');
  if (list.uint8() !== NAME_TYPE_HOST) throw new Malformed('has a server name of an unknown type');
  const length = list.uint16();
  if (length === 0 || length > MAX_SERVER_NAME_BYTES) throw new Malformed('has a server name of a forbidden length');
  const name = list.vector(length).text('server name').toLowerCase();
  if (list.remaining !== 0) throw new Malformed('has more than one server name');
  return name;
}

function readProtocols(body: Reader): string[] {
  const list = body.vector(body.uint16());
  if (body.remaining !== 0) throw new Malformed('has bytes after its protocol list');
  if (list.remaining === 0) throw new Malformed('has an empty protocol list');
  const protocols: string[] = [];
  while (list.remaining > 0) {
    const length = list.uint8();
    if (length === 0) throw new Malformed('has an empty protocol name');
    protocols.push(list.vector(length).rest());
  }
  return protocols;
}
