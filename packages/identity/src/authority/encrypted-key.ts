// Authority: private keys at rest: PKCS#8, encrypted under a passphrase where there is one.

import { createCipheriv, createPrivateKey, type KeyObject, randomBytes, type ScryptOptions, scrypt } from 'node:crypto';
import { DER_TAG, encodeDer, encodePem } from '../der.js';

/** Thrown where a key cannot be read for want of the right passphrase; the key itself may be well. */
export class PassphraseError extends Error {
  constructor(
    readonly code: 'missing' | 'wrong',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'PassphraseError';
  }
}

// node:crypto's own export derives the key by PBKDF2 with 2048 rounds, which a stolen file would not withstand for long.
// OpenSSL reads scrypt only up to 32 MiB, hence N; p makes up for it (OWASP's pair of the same strength as N=2^17, p=1).
const SCRYPT: ScryptOptions & { N: number; r: number; p: number } = {
  N: 2 ** 14,
  r: 8,
  p: 5,
  maxmem: 64 * 1024 * 1024,
};
const KEY_BYTES = 32;
const SALT_BYTES = 16;
const IV_BYTES = 16;

// RFC 8018 (PBES2), RFC 7914 (scrypt), NIST (aes256-CBC).
const OID_PBES2 = Buffer.from('2a864886f70d01050d', 'hex');
const OID_SCRYPT = Buffer.from('2b06010401da47040b', 'hex');
const OID_AES256_CBC = Buffer.from('60864801650304012a', 'hex');
const LABEL = 'ENCRYPTED PRIVATE KEY';

/** True where the PEM holds a key that needs a passphrase. */
export function isEncryptedPrivateKey(pem: string): boolean {
  return pem.includes(`-----BEGIN ${LABEL}-----`) || /^Proc-Type: 4,ENCRYPTED/m.test(pem);
}

/** The key as PKCS#8 PEM under AES-256-CBC, with a key made of the passphrase by scrypt; `openssl pkcs8` reads it. */
export async function encryptPrivateKey(key: KeyObject, passphrase: string): Promise<string> {
  const [salt, iv] = [randomBytes(SALT_BYTES), randomBytes(IV_BYTES)];
  const cipher = createCipheriv('aes-256-cbc', await deriveKey(passphrase, salt), iv);
  const secret = key.export({ type: 'pkcs8', format: 'der' });
  const encrypted = Buffer.concat([cipher.update(secret), cipher.final()]);
  const { sequence, octetString } = DER_TAG;
  const kdf = encodeDer(
    sequence,
    objectId(OID_SCRYPT),
    encodeDer(sequence, encodeDer(octetString, salt), integer(SCRYPT.N), integer(SCRYPT.r), integer(SCRYPT.p)),
  );
  const scheme = encodeDer(sequence, objectId(OID_AES256_CBC), encodeDer(octetString, iv));
  const algorithm = encodeDer(sequence, objectId(OID_PBES2), encodeDer(sequence, kdf, scheme));
  return encodePem(LABEL, encodeDer(sequence, algorithm, encodeDer(octetString, encrypted)));
}

/**
 * Reads a private key in PEM.
 * @throws PassphraseError where it is encrypted and the passphrase is missing or wrong; Error where it is no private key
 */
export function readPrivateKey(pem: string, passphrase: string | undefined): KeyObject {
  if (!isEncryptedPrivateKey(pem)) return createPrivateKey(pem);
  if (passphrase === undefined) throw new PassphraseError('missing', 'is encrypted, and no passphrase was given');
  try {
    return createPrivateKey({ key: pem, passphrase });
  } catch (error) {
    throw new PassphraseError('wrong', 'cannot be decrypted with the passphrase that was given', { cause: error });
  }
}

function deriveKey(passphrase: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, KEY_BYTES, SCRYPT, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

function objectId(content: Uint8Array): Uint8Array {
  return encodeDer(DER_TAG.objectId, content);
}

/** A positive number of at most four bytes. */
function integer(value: number): Uint8Array {
  let hex = value.toString(16);
  if (hex.length % 2 === 1) hex = `0${hex}`;
  const bytes = Buffer.from(hex, 'hex');
  return encodeDer(DER_TAG.integer, (bytes[0] as number) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}
