// Tokens: what the signer makes the verifier takes; anything else it refuses, and says why.
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from './token-signer.js';
import { verifyServiceAccountToken } from './token-verifier.js';

let directory: string;
let signer: TokenSigner;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-tokens-'));
  signer = await createTokenSigner(join(directory, 'key.pem'));
});
afterAll(() => rm(directory, { recursive: true }));

const claims = { namespace: 'default', serviceAccount: 'reviews', podName: 'reviews-v1-0' };

describe('service account tokens', () => {
  it('are accepted from their signer', async () => {
    const token = await signServiceAccountToken(signer, claims);
    const identity = await verifyServiceAccountToken(token, { keys: signer.jwks });
    expect(identity).toMatchObject(claims);
    expect(identity.expiresAt.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
  });

  it('are refused with the reason', async () => {
    const check = (token: string) => verifyServiceAccountToken(token, { keys: signer.jwks });
    const stranger = await createTokenSigner();
    const longAgo = new Date(Date.now() - 3_700_000);
    const soon = new Date(Date.now() + 600_000);
    await expect(check(await signServiceAccountToken(stranger, claims))).rejects.toMatchObject({ code: 'signature' });
    await expect(check(await signServiceAccountToken(signer, { ...claims, issuedAt: longAgo }))).rejects.toMatchObject({
      code: 'expired',
    });
    await expect(check(await signServiceAccountToken(signer, { ...claims, issuedAt: soon }))).rejects.toMatchObject({
      code: 'not-yet-valid',
    });
    await expect(check(await signServiceAccountToken(signer, { ...claims, audience: 'x' }))).rejects.toMatchObject({
      code: 'audience',
    });
    await expect(check(await signServiceAccountToken(signer, { ...claims, issuer: 'x' }))).rejects.toMatchObject({
      code: 'issuer',
    });
    const body = {
      iss: 'lateen-local',
      aud: 'istio-ca',
      sub: 'system:serviceaccount:default:reviews',
      exp: Math.floor(Date.now() / 1000) + 60,
    };
    await expect(check(new UnsecuredJWT(body).encode())).rejects.toMatchObject({ code: 'malformed' });
    const secret = new TextEncoder().encode(JSON.stringify(signer.jwks.keys[0]));
    const symmetric = await new SignJWT(body).setProtectedHeader({ alg: 'HS256' }).sign(secret);
    await expect(check(symmetric)).rejects.toMatchObject({ code: 'malformed' });
    const sign = (changes: object) =>
      new SignJWT({ ...body, ...changes })
        .setProtectedHeader({ alg: 'ES256', kid: signer.keyId })
        .sign(signer.privateKey);
    await expect(check(await sign({ exp: undefined }))).rejects.toMatchObject({ code: 'malformed' });
    for (const sub of ['reviews', 'system:serviceaccount:default', 'system:serviceaccount:default:a/b', 'a:b:c:d']) {
      await expect(check(await sign({ sub }))).rejects.toMatchObject({ code: 'subject' });
    }
    await expect(check(await sign({ 'kubernetes.io': { namespace: 'other' } }))).rejects.toMatchObject({
      code: 'subject',
    });
    await expect(check('x'.repeat(20_000))).rejects.toMatchObject({ code: 'malformed' });
    await expect(check('')).rejects.toMatchObject({ code: 'malformed' });
  });

  it('tolerate a minute of clock difference', async () => {
    const justExpired = new Date(Date.now() - 3_630_000);
    const token = await signServiceAccountToken(signer, { ...claims, issuedAt: justExpired });
    await expect(verifyServiceAccountToken(token, { keys: signer.jwks })).resolves.toMatchObject(claims);
  });
});

describe('createTokenSigner', () => {
  it('keeps its key, private to its owner', async () => {
    const file = join(directory, 'key.pem');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await createTokenSigner(file)).keyId).toBe(signer.keyId);
  });

  it('refuses a damaged or readable key and leaves the file alone', async () => {
    const file = join(directory, 'damaged.pem');
    await writeFile(file, 'nonsense', { mode: 0o600 });
    await expect(createTokenSigner(file)).rejects.toThrow(/damaged\.pem is damaged/);
    expect(await readFile(file, 'utf8')).toBe('nonsense');
    await chmod(file, 0o644);
    await expect(createTokenSigner(file)).rejects.toThrow(/chmod 600/);
  });
});
