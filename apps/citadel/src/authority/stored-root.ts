// Authority: one root as it was stored: reads and checks the pair of key and certificate, and protects the key where there is a passphrase.

import { type KeyObject, X509Certificate } from 'node:crypto';
import { rootId } from '@lateen/identity';
import { encryptPrivateKey, PassphraseError, readPrivateKey, signingAlgorithmOf } from '@lateen/identity/authority';

export interface StoredRoot {
  readonly id: string;
  readonly certificate: X509Certificate;
  readonly certPem: string;
  /** PKCS#8, not encrypted: it stays in memory. */
  readonly keyPem: string;
}

/** Text of a pair, and what people call its halves: a file, or a key of a Secret. */
export interface RootPair {
  readonly key: string;
  readonly keyName: string;
  readonly cert: string;
  readonly certName: string;
}

export const ADVICE = 'restore it from a backup';

export const hasExpired = ({ certificate }: StoredRoot): boolean => Date.parse(certificate.validTo) <= Date.now();

/** The root of a pair, which may have expired. @throws Error naming the half that cannot be used and what to do about it */
export function readRoot(pair: RootPair, passphrase: string | undefined): StoredRoot {
  const { keyName, certName } = pair;
  const key = readKey(pair.key, keyName, passphrase);
  const certificate = attempt(() => new X509Certificate(pair.cert), certName, `is not a certificate; ${ADVICE}`);
  if (!certificate.ca) throw new Error(`${certName} is not the certificate of an authority; ${ADVICE}`);
  if (!certificate.checkPrivateKey(key))
    throw new Error(`${certName} and ${keyName} do not belong together; restore the pair from a backup`);
  if (!certificate.verify(certificate.publicKey))
    throw new Error(`${certName} is not signed by its own key, so it is no root; ${ADVICE}`);
  return {
    id: rootId(certificate),
    certificate,
    certPem: certificate.toString(),
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** The key as it is stored. */
export async function protectKey(keyPem: string, passphrase: string | undefined): Promise<string> {
  return passphrase === undefined ? keyPem : encryptPrivateKey(readPrivateKey(keyPem, undefined), passphrase);
}

function readKey(pem: string, name: string, passphrase: string | undefined): KeyObject {
  try {
    const key = readPrivateKey(pem, passphrase);
    signingAlgorithmOf(key);
    return key;
  } catch (error) {
    const reason = (error as Error).message;
    if (error instanceof PassphraseError) {
      const advice =
        error.code === 'missing' ? 'give it with --ca-passphrase-file or LATEEN_CA_PASSPHRASE' : 'give the right one';
      throw new Error(`${name} ${reason}; ${advice}`, { cause: error });
    }
    throw new Error(`${name} is not a private key that can sign (${reason}); ${ADVICE}`, { cause: error });
  }
}

function attempt<T>(action: () => T, name: string, what: string): T {
  try {
    return action();
  } catch (error) {
    throw new Error(`${name} ${what} (${(error as Error).message})`, { cause: error });
  }
}
