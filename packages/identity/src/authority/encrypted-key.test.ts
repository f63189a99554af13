// Keys at rest: what is written can be read by us and by others, with the right passphrase only.
import { createPrivateKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { encryptPrivateKey, isEncryptedPrivateKey, PassphraseError, readPrivateKey } from './encrypted-key.js';
import { generateSigningKey } from './signing-keys.js';

it('keeps a key under a passphrase, as OpenSSL reads it', async () => {
  const key = await generateSigningKey('ecdsa-p384');
  const pem = await encryptPrivateKey(key, 'correct horse');
  expect(isEncryptedPrivateKey(pem)).toBe(true);
  // OpenSSL's own reader, not ours.
  expect(createPrivateKey({ key: pem, passphrase: 'correct horse' }).equals(key)).toBe(true);
  expect(() => readPrivateKey(pem, 'wrong')).toThrow(PassphraseError);
  expect(() => readPrivateKey(pem, undefined)).toThrow(/is encrypted, and no passphrase was given/);
});

it('reads a key that is not encrypted, whatever the passphrase', async () => {
  const key = await generateSigningKey('ecdsa-p256');
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  expect(isEncryptedPrivateKey(pem)).toBe(false);
  expect(readPrivateKey(pem, 'any').equals(key)).toBe(true);
});
