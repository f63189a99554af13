// Checkpoints: what passes for one, and the key's file.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompactSign } from 'jose';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Checkpoint, createCheckpointVerifier, signCheckpoint } from './checkpoint.js';
import { type OpenedCheckpointKey, openCheckpointKey } from './checkpoint-key.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-checkpoint-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const checkpoint = { chain: 'c', seq: 1, hash: 'h' } as Checkpoint;
const keyFile = () => join(directory, 'key.pem');

function open(passphrase?: string): Promise<OpenedCheckpointKey> {
  const jwksFile = join(directory, 'keys.json');
  return openCheckpointKey({ keyFile: keyFile(), jwksFile, passphrase, mayWrite: async () => undefined });
}

it('is known by its type and by a published key; nothing else that the key may have signed passes', async () => {
  const key = await open();
  const verify = createCheckpointVerifier(key.jwks);
  expect(await verify(await signCheckpoint(checkpoint, key))).toBeUndefined();
  const token = new CompactSign(Buffer.from('{}')).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: key.keyId });
  expect(await verify(await token.sign(key.privateKey))).toBe('it is signed as JWT');
  const secret = new CompactSign(Buffer.from('{}')).setProtectedHeader({ alg: 'HS256', kid: key.keyId });
  expect(await verify(await secret.sign(Buffer.alloc(32)))).toBe('its signature is not good');
  expect(await verify('nonsense')).toBe('its signature is not good');
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: key.keyId })).toString('base64url');
  expect(await verify(`${none}.e30.`)).toBe('its signature is not good');
});

it('has a key that is kept, encrypted once there is a passphrase, and never readable by others', async () => {
  const { keyId } = await open();
  expect((await open('secret')).keyId).toBe(keyId);
  expect(readFileSync(keyFile(), 'utf8')).toContain('ENCRYPTED');
  await expect(open()).rejects.toThrow('no passphrase was given');
  expect((await open('secret')).jwks.keys).toHaveLength(1);
  chmodSync(keyFile(), 0o644);
  await expect(open('secret')).rejects.toThrow('may be read by others');
  writeFileSync(join(directory, 'keys.json'), '{}');
  chmodSync(keyFile(), 0o600);
  await expect(open('secret')).rejects.toThrow('keys.json is damaged');
});
