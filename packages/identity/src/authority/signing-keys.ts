// Authority: the keys that sign certificates: which kinds there are, how they are made, and what each signs with.

import { generateKeyPair, type KeyObject, type webcrypto } from 'node:crypto';
import { promisify } from 'node:util';
import { engine } from './x509-engine.js';

const generate = promisify(generateKeyPair);

/** Kinds of keys that an authority may have. */
export const SIGNING_KEY_TYPES = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type SigningKeyType = (typeof SIGNING_KEY_TYPES)[number];

const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;

/** Makes a private key. */
export async function generateSigningKey(type: SigningKeyType): Promise<KeyObject> {
  switch (type) {
    case 'ecdsa-p256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'ecdsa-p384':
      return (await generate('ec', { namedCurve: 'P-384' })).privateKey;
    default:
      return (await generate('rsa', { modulusLength: Number(type.slice('rsa-'.length)) })).privateKey;
  }
}

/** How Web Crypto calls a key and what it signs with. */
export interface SigningAlgorithm {
  readonly key: webcrypto.EcKeyImportParams | webcrypto.RsaHashedImportParams;
  readonly signature: { readonly name: string; readonly hash: string };
  /** For people: "ECDSA P-256", "RSA 4096". */
  readonly label: string;
}

/** @throws Error for a key that is none of P-256, P-384 and RSA of 2048 to 8192 bits */
export function signingAlgorithmOf(key: KeyObject): SigningAlgorithm {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength !== undefined) {
    if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS) {
      throw new Error(`an RSA key must have ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits, not ${modulusLength}`);
    }
    const name = 'RSASSA-PKCS1-v1_5';
    return { key: { name, hash: 'SHA-256' }, signature: { name, hash: 'SHA-256' }, label: `RSA ${modulusLength}` };
  }
  const curve = namedCurve === 'prime256v1' ? 'P-256' : namedCurve === 'secp384r1' ? 'P-384' : undefined;
  if (key.asymmetricKeyType === 'ec' && curve !== undefined) {
    const hash = curve === 'P-256' ? 'SHA-256' : 'SHA-384';
    return {
      key: { name: 'ECDSA', namedCurve: curve },
      signature: { name: 'ECDSA', hash },
      label: `ECDSA ${curve}`,
    };
  }
  const what = namedCurve ?? key.asymmetricKeyType ?? 'of no known type';
  throw new Error(`a key that signs certificates must be P-256, P-384 or RSA, not ${what}`);
}

/** The key as Web Crypto wants it, for signing. */
export function importSigningKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  return engine.subtle.importKey('pkcs8', der, signingAlgorithmOf(key).key, false, ['sign']);
}
