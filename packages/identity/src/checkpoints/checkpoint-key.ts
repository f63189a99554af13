// Checkpoints of audit logs: Citadel's key for them, on disk, and the public halves of all that it ever had.

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { calculateJwkThumbprint, exportJWK, type JSONWebKeySet, type JWK } from 'jose';
import { encryptPrivateKey, isEncryptedPrivateKey, readPrivateKey } from '../authority/encrypted-key.js';
import { writeFileAtomic } from '../write-file-atomic.js';
import type { CheckpointKey } from './checkpoint.js';

export interface CheckpointKeyOptions {
  /** PKCS#8 PEM, 0600; made where it is missing. */
  readonly keyFile: string;
  /** JWKS (0644) of the public keys, the older ones included, since what they signed lives on. */
  readonly jwksFile: string;
  /** Encrypts the key at rest. */
  readonly passphrase: string | undefined;
  /** @throws where this process may not write any more */
  readonly mayWrite: () => Promise<void>;
}

export interface OpenedCheckpointKey extends CheckpointKey {
  readonly jwks: JSONWebKeySet;
}

/** Reads the key, or makes one; whoever removes its file gets a new one, and the old one stays published. @throws Error naming the file */
export async function openCheckpointKey(options: CheckpointKeyOptions): Promise<OpenedCheckpointKey> {
  const { jwksFile, mayWrite } = options;
  const privateKey = await readOrMakeKey(options);
  const publicJwk = await exportJWK(createPublicKey(privateKey));
  const keyId = await calculateJwkThumbprint(publicJwk);
  const published = await readJwks(jwksFile);
  if (published.some(({ kid }) => kid === keyId)) return { privateKey, keyId, jwks: { keys: published } };
  const jwks = { keys: [...published, { ...publicJwk, kid: keyId, alg: 'ES256', use: 'sig' }] };
  await mayWrite();
  await writeFileAtomic(jwksFile, `${JSON.stringify(jwks, null, 2)}\n`, { mode: 0o644 });
  return { privateKey, keyId, jwks };
}

async function readOrMakeKey({ keyFile, passphrase, mayWrite }: CheckpointKeyOptions): Promise<KeyObject> {
  let pem: string;
  try {
    pem = await readFile(keyFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await mayWrite();
    await store(keyFile, privateKey, passphrase);
    return privateKey;
  }
  const { mode } = await stat(keyFile);
  if ((mode & 0o077) !== 0) {
    throw new Error(
      `${keyFile} may be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it, or remove it`,
    );
  }
  let key: KeyObject;
  try {
    key = readPrivateKey(pem, passphrase);
  } catch (error) {
    const advice = 'restore it, or remove it to sign with a new key from now on';
    throw new Error(`${keyFile} cannot be read (${(error as Error).message}); ${advice}`, { cause: error });
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new Error(`${keyFile} is not a P-256 key; restore or remove it`);
  }
  if (passphrase !== undefined && !isEncryptedPrivateKey(pem)) {
    await mayWrite();
    await store(keyFile, key, passphrase);
  }
  return key;
}

async function store(file: string, key: KeyObject, passphrase: string | undefined): Promise<void> {
  const pem =
    passphrase === undefined
      ? key.export({ type: 'pkcs8', format: 'pem' }).toString()
      : await encryptPrivateKey(key, passphrase);
  await writeFileAtomic(file, pem, { mode: 0o600 });
}

async function readJwks(file: string): Promise<JWK[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  try {
    const { keys } = JSON.parse(text) as JSONWebKeySet;
    if (Array.isArray(keys)) return keys;
  } catch {
    // said below
  }
  throw new Error(
    `${file} is damaged: no JSON with keys; restore it, or remove it: older checkpoints cannot be checked then`,
  );
}
