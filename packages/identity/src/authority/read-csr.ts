// Authority: reads a signing request. Its public key is used, and only after its signature proved possession; the names in
// it tell who tries to be somebody else.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { engine, x509 } from './x509-engine.js';

/** Why a request was refused; `code` is stable, for metrics and audit lines. */
export class CsrError extends Error {
  constructor(
    readonly code: 'malformed' | 'signature' | 'key',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CsrError';
  }
}

const OID_SUBJECT_ALT_NAME = '2.5.29.17';
const MAX_CSR_BYTES = 16 * 1024;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;

/** What a checked request asks for. */
export interface SigningRequest {
  readonly publicKey: KeyObject;
  readonly dnsNames: readonly string[];
  /** Every other subject alternative name, of any type, as text. */
  readonly names: readonly string[];
}

/** The public key of a request. @throws CsrError as `readSigningRequest` */
export async function readCsr(pem: string): Promise<KeyObject> {
  return (await readSigningRequest(pem)).publicKey;
}

/**
 * Reads a PKCS#10 request in PEM.
 * @throws CsrError when it cannot be parsed, is not signed by its own key, or the key is not RSA of 2048 to 8192 bits,
 *   P-256, P-384 or Ed25519
 */
export async function readSigningRequest(pem: string): Promise<SigningRequest> {
  if (pem.length > MAX_CSR_BYTES) throw new CsrError('malformed', `request is larger than ${MAX_CSR_BYTES} bytes`);
  let request: x509.Pkcs10CertificateRequest;
  let key: KeyObject;
  let names: Pick<SigningRequest, 'dnsNames' | 'names'>;
  try {
    const blocks = x509.PemConverter.decodeWithHeaders(pem);
    const block = blocks[0];
    if (blocks.length !== 1 || block?.type !== 'CERTIFICATE REQUEST') {
      throw new Error('expected exactly one PEM block "CERTIFICATE REQUEST"');
    }
    request = new x509.Pkcs10CertificateRequest(block.rawData);
    names = namesOf(request);
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
  } catch (error) {
    throw new CsrError('malformed', `request cannot be parsed: ${(error as Error).message}`, { cause: error });
  }
  checkKey(key);
  let valid: boolean;
  try {
    valid = await request.verify(engine);
  } catch (error) {
    throw new CsrError('signature', `request's signature cannot be checked: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!valid) throw new CsrError('signature', "request is not signed by its own key's private half");
  return { publicKey: key, ...names };
}

function namesOf(request: x509.Pkcs10CertificateRequest): Pick<SigningRequest, 'dnsNames' | 'names'> {
  const extensions = request.getExtensions(OID_SUBJECT_ALT_NAME);
  const all = extensions.flatMap(({ rawData }) => new x509.SubjectAlternativeNameExtension(rawData).names.items);
  return {
    dnsNames: all.filter(({ type }) => type === 'dns').map(({ value }) => value),
    names: all
      .filter(({ type }) => type !== 'dns')
      .map(({ type, value }) => (type === 'url' ? value : `${type}:${value}`)),
  };
}

function checkKey(key: KeyObject): void {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return;
    case 'ec':
      if (namedCurve === 'prime256v1' || namedCurve === 'secp384r1') return;
      throw new CsrError('key', `curve ${namedCurve} is not accepted; use P-256 or P-384`);
    case 'rsa':
      if (modulusLength !== undefined && modulusLength >= MIN_RSA_BITS && modulusLength <= MAX_RSA_BITS) return;
      throw new CsrError('key', `RSA keys must have ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits, not ${modulusLength}`);
    default:
      throw new CsrError('key', `key type ${key.asymmetricKeyType} is not accepted; use P-256, P-384, Ed25519 or RSA`);
  }
}
