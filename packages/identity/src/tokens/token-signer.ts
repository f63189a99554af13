// Tokens, local mode: the supervisor's ES256 key, its public half as a JWKS, and the service account tokens it signs.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { calculateJwkThumbprint, exportJWK, type JSONWebKeySet, SignJWT } from 'jose';
import { formatSpiffeId } from '../spiffe-id.js';
import { writeFileAtomic } from '../write-file-atomic.js';

/** `iss` of local mode's tokens. */
export const LOCAL_TOKEN_ISSUER = 'lateen-local';
/** `aud` that Citadel wants unless told otherwise. */
export const DEFAULT_TOKEN_AUDIENCE = 'istio-ca';

export interface TokenSigner {
  readonly privateKey: KeyObject;
  readonly keyId: string;
  /** The public key, for Citadel's `--token-key`. */
  readonly jwks: JSONWebKeySet;
}

export interface ServiceAccountTokenClaims {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Set for a pod's token. */
  readonly podName?: string;
  readonly audience?: string;
  readonly issuer?: string;
  /** One hour unless given. */
  readonly ttlSeconds?: number;
  /** Now unless given. */
  readonly issuedAt?: Date;
}

/**
 * Reads the signing key, or makes it on first use (P-256, PKCS#8 PEM, mode 0600, written atomically). Without a file the
 * key lives in memory only.
 * @throws Error naming the file when it is not such a key or others may read it
 */
export async function createTokenSigner(keyFile?: string): Promise<TokenSigner> {
  const privateKey = keyFile === undefined ? generateKey() : await readOrMakeKey(keyFile);
  const publicJwk = await exportJWK(createPublicKey(privateKey));
  const keyId = await calculateJwkThumbprint(publicJwk);
  return { privateKey, keyId, jwks: { keys: [{ ...publicJwk, kid: keyId, alg: 'ES256', use: 'sig' }] } };
}

/** Signs a token with the claims of a Kubernetes service account token. */
export function signServiceAccountToken(signer: TokenSigner, claims: ServiceAccountTokenClaims): Promise<string> {
  const { namespace, serviceAccount, podName } = claims;
  formatSpiffeId({ trustDomain: 'cluster.local', namespace, serviceAccount }); // refuses names that are none
  const issuedAt = Math.floor((claims.issuedAt ?? new Date()).getTime() / 1000);
  return new SignJWT({
    'kubernetes.io': {
      namespace,
      serviceaccount: { name: serviceAccount },
      ...(podName === undefined ? {} : { pod: { name: podName } }),
    },
  })
    .setProtectedHeader({ alg: 'ES256', kid: signer.keyId })
    .setIssuer(claims.issuer ?? LOCAL_TOKEN_ISSUER)
    .setSubject(`system:serviceaccount:${namespace}:${serviceAccount}`)
    .setAudience([claims.audience ?? DEFAULT_TOKEN_AUDIENCE])
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(issuedAt + (claims.ttlSeconds ?? 3600))
    .sign(signer.privateKey);
}

function generateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

async function readOrMakeKey(file: string): Promise<KeyObject> {
  let pem: string;
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) {
      throw new Error(
        `token signing key ${file} may be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it`,
      );
    }
    pem = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const key = generateKey();
    await writeFileAtomic(file, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    return key;
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw new Error(`token signing key ${file} is damaged: ${(error as Error).message}; restore or remove it`, {
      cause: error,
    });
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new Error(`token signing key ${file} is not a P-256 key; restore or remove it`);
  }
  return key;
}
