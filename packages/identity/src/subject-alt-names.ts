// Peer check: reads the names of a peer from its certificate's DER, never from a rendered text form.

import { DER_TAG, DerError, expectDerElement, readDerElement } from './der.js';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.js';

/** Thrown when a peer's certificate does not carry exactly one well-formed SPIFFE id. */
export class PeerIdentityError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PeerIdentityError';
  }
}

export interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** In the form in which people write them; IPv6 in full, in lower case. */
  readonly ipAddresses: readonly string[];
  readonly emails: readonly string[];
  /** How many names of other types there are. */
  readonly others: number;
}

const NO_NAMES: SubjectAltNames = { uris: [], dnsNames: [], ipAddresses: [], emails: [], others: 0 };
// A workload certificate is about 600 bytes; RSA chains with long names stay below this by far.
const MAX_CERTIFICATE_BYTES = 64 * 1024;
const MAX_NAMES = 256;
const TAG_VERSION = 0xa0;
const TAG_EXTENSIONS = 0xa3;
const TAG_EMAIL = 0x81;
const TAG_DNS = 0x82;
const TAG_URI = 0x86;
const TAG_IP = 0x87;

/**
 * Reads the subject alternative names of one certificate (RFC 5280, section 4.2.1.6) from its DER.
 * @throws DerError for malformed bytes, two extensions of this kind, or names that are not printable ASCII
 */
export function readSubjectAltNames(der: Uint8Array): SubjectAltNames {
  if (der.length > MAX_CERTIFICATE_BYTES)
    throw new DerError(`certificate is larger than ${MAX_CERTIFICATE_BYTES} bytes`);
  const certificate = expectDerElement(der, 0, der.length, DER_TAG.sequence);
  if (certificate.end !== der.length) throw new DerError('bytes follow the certificate');
  const tbs = expectDerElement(der, certificate.start, certificate.end, DER_TAG.sequence);
  let offset = tbs.start;
  const first = readDerElement(der, offset, tbs.end);
  if (first.tag === TAG_VERSION) offset = first.end;
  // Serial number, signature algorithm, issuer, validity, subject, public key.
  offset = expectDerElement(der, offset, tbs.end, DER_TAG.integer).end;
  for (let field = 0; field < 5; field++) offset = expectDerElement(der, offset, tbs.end, DER_TAG.sequence).end;
  let extensions: { start: number; end: number } | undefined;
  while (offset < tbs.end) {
    const element = readDerElement(der, offset, tbs.end);
    if (element.tag === TAG_EXTENSIONS) {
      if (extensions !== undefined) throw new DerError('certificate has two lists of extensions');
      extensions = expectDerElement(der, element.start, element.end, DER_TAG.sequence);
    }
    offset = element.end;
  }
  return extensions === undefined ? NO_NAMES : findNames(der, extensions.start, extensions.end);
}

function findNames(der: Uint8Array, start: number, end: number): SubjectAltNames {
  let names: SubjectAltNames | undefined;
  for (let offset = start; offset < end; ) {
    const extension = expectDerElement(der, offset, end, DER_TAG.sequence);
    offset = extension.end;
    const objectId = expectDerElement(der, extension.start, extension.end, DER_TAG.objectId);
    if (!isSubjectAltName(der, objectId.start, objectId.end)) continue;
    if (names !== undefined) throw new DerError('certificate has two subject alternative name extensions');
    let value = readDerElement(der, objectId.end, extension.end);
    if (value.tag === DER_TAG.boolean) value = readDerElement(der, value.end, extension.end);
    if (value.tag !== DER_TAG.octetString || value.end !== extension.end) {
      throw new DerError('subject alternative name extension is malformed');
    }
    names = readNames(der, value.start, value.end);
  }
  return names ?? NO_NAMES;
}

function readNames(der: Uint8Array, start: number, end: number): SubjectAltNames {
  const sequence = expectDerElement(der, start, end, DER_TAG.sequence);
  if (sequence.end !== end) throw new DerError('bytes follow the subject alternative names');
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const ipAddresses: string[] = [];
  const emails: string[] = [];
  let others = 0;
  for (let offset = sequence.start; offset < sequence.end; ) {
    const name = readDerElement(der, offset, sequence.end);
    offset = name.end;
    if (name.tag === TAG_URI) uris.push(printableAscii(der, name.start, name.end));
    else if (name.tag === TAG_DNS) dnsNames.push(printableAscii(der, name.start, name.end));
    else if (name.tag === TAG_EMAIL) emails.push(printableAscii(der, name.start, name.end));
    else if (name.tag === TAG_IP) ipAddresses.push(ipAddress(der.subarray(name.start, name.end)));
    else others++;
    if (uris.length + dnsNames.length + ipAddresses.length + emails.length + others > MAX_NAMES)
      throw new DerError(`more than ${MAX_NAMES} names`);
  }
  return { uris, dnsNames, ipAddresses, emails, others };
}

/** Four bytes or sixteen, as they are on the wire (RFC 5280, section 4.2.1.6). */
function ipAddress(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  if (octets.length !== 16) throw new DerError(`an address has ${octets.length} bytes`);
  const groups = Array.from({ length: 8 }, (_, index) =>
    (octets[index * 2]! * 256 + octets[index * 2 + 1]!).toString(16),
  );
  return groups.join(':');
}

/** 2.5.29.17 */
function isSubjectAltName(der: Uint8Array, start: number, end: number): boolean {
  return end - start === 3 && der[start] === 0x55 && der[start + 1] === 0x1d && der[start + 2] === 0x11;
}

function printableAscii(der: Uint8Array, start: number, end: number): string {
  for (let index = start; index < end; index++) {
    const byte = der[index] as number;
    if (byte <= 0x20 || byte >= 0x7f) throw new DerError('a name has a character that is not printable ASCII');
  }
  return Buffer.from(der.buffer, der.byteOffset + start, end - start).toString('latin1');
}

/**
 * The SPIFFE id of a verified peer, from the DER of its certificate (`getPeerCertificate().raw` or
 * `getPeerX509Certificate().raw`). Call it after every handshake, resumed ones included, and only where the chain was
 * verified (`socket.authorized`). Remembering results by fingerprint is the caller's business.
 * @throws PeerIdentityError unless the certificate has exactly one URI name and that is a SPIFFE id of the mesh's form
 */
export function parsePeerSpiffeId(der: Uint8Array): SpiffeId {
  let names: SubjectAltNames;
  try {
    names = readSubjectAltNames(der);
  } catch (error) {
    throw new PeerIdentityError(`the peer's certificate cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (names.uris.length !== 1) {
    throw new PeerIdentityError(`the peer's certificate has ${names.uris.length} URI names; exactly one is required`);
  }
  try {
    return parseSpiffeId(names.uris[0] as string).id;
  } catch (error) {
    throw new PeerIdentityError(`the peer's certificate names no SPIFFE id: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
