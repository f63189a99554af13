// Issuance: what stands in the certificates, and which requests are taken.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodePemBlocks, encodePem } from '../der.js';
import { createCsr, createKeyAndCsr } from '../issuance/certificate-request.js';
import { formatSpiffeId } from '../spiffe-id.js';
import { createCertificateIssuer, createRootCertificate } from './authority-certificates.js';
import { CsrError, readCsr } from './read-csr.js';
import { engine, x509 } from './x509-engine.js';

const spiffeId = formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'reviews' });

describe('workload certificates', () => {
  it('carry what SPIFFE asks for and verify against the root', async () => {
    const root = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600 });
    const { csrPem } = await createKeyAndCsr();
    const publicKey = await readCsr(csrPem);
    const issuer = await createCertificateIssuer(root);
    const now = new Date();
    const issued = await issuer.issue({ publicKey, spiffeId, ttlSeconds: 600, now });
    const leaf = new X509Certificate(issued.certPem);
    const rootCertificate = new X509Certificate(root.certPem);
    expect(leaf.checkIssued(rootCertificate) && leaf.verify(rootCertificate.publicKey)).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(rootCertificate.ca).toBe(true);
    expect(leaf.subject ?? '').toBe('');
    expect(leaf.subjectAltName).toBe(`URI:${spiffeId}`);
    expect(leaf.serialNumber).toBe(issued.serial);
    expect(leaf.serialNumber).toHaveLength(32);
    expect(Date.parse(leaf.validTo)).toBe(issued.notAfter.getTime());
    expect(issued.notAfter.getTime() - now.getTime()).toBeGreaterThan(598_000);
    expect(issued.notAfter.getTime() - now.getTime()).toBeLessThanOrEqual(600_000);
    expect(now.getTime() - issued.notBefore.getTime()).toBeGreaterThanOrEqual(120_000);
    const parsed = new x509.X509Certificate(issued.certPem);
    const san = parsed.getExtension(x509.SubjectAlternativeNameExtension);
    expect(san?.critical).toBe(true);
    expect(parsed.getExtension(x509.KeyUsagesExtension)?.usages).toBe(
      x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
    );
    expect(parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages).toEqual([
      x509.ExtendedKeyUsage.serverAuth,
      x509.ExtendedKeyUsage.clientAuth,
    ]);
    expect(parsed.getExtension(x509.SubjectKeyIdentifierExtension)).toBeTruthy();
    expect(parsed.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe(
      new x509.X509Certificate(root.certPem).getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    );
    const again = await issuer.issue({ publicKey, spiffeId, ttlSeconds: 600 });
    expect(again.serial).not.toBe(issued.serial);
  });

  it('live a few seconds where asked to, and never longer than the root', async () => {
    const root = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 100 });
    const publicKey = await readCsr((await createKeyAndCsr()).csrPem);
    const issuer = await createCertificateIssuer(root);
    const now = new Date();
    const short = await issuer.issue({ publicKey, spiffeId, ttlSeconds: 4, now });
    expect(short.notBefore.getTime()).toBeLessThan(now.getTime());
    expect(short.notAfter.getTime()).toBeGreaterThan(now.getTime() + 2_900);
    const long = await issuer.issue({ publicKey, spiffeId, ttlSeconds: 5_000, now });
    expect(long.notAfter.getTime()).toBe(Date.parse(new X509Certificate(root.certPem).validTo));
  });
});

async function csrOf(algorithm: RsaHashedKeyGenParams | EcKeyGenParams | { name: 'Ed25519' }, signing: object) {
  const keys = (await engine.subtle.generateKey(algorithm as EcKeyGenParams, true, [
    'sign',
    'verify',
  ])) as CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    { keys, name: 'CN=x', signingAlgorithm: signing as EcdsaParams },
    engine,
  );
  return request.toString('pem');
}
type CryptoKeyPair = Awaited<ReturnType<typeof engine.subtle.generateKey>> & { publicKey: never; privateKey: never };
type RsaHashedKeyGenParams = {
  name: 'RSASSA-PKCS1-v1_5';
  modulusLength: number;
  publicExponent: Uint8Array;
  hash: string;
};
type EcKeyGenParams = { name: 'ECDSA'; namedCurve: string };
type EcdsaParams = { name: 'ECDSA'; hash: string };
const rsa = (modulusLength: number) => ({
  name: 'RSASSA-PKCS1-v1_5' as const,
  modulusLength,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: 'SHA-256',
});

describe('readCsr', () => {
  it('takes what its own client writes, and what other tools write', async () => {
    expect((await readCsr((await createKeyAndCsr({ spiffeId })).csrPem)).asymmetricKeyType).toBe('ec');
    expect(
      (await readCsr(await csrOf({ name: 'ECDSA', namedCurve: 'P-384' }, { name: 'ECDSA', hash: 'SHA-384' })))
        .asymmetricKeyDetails?.namedCurve,
    ).toBe('secp384r1');
    expect((await readCsr(await csrOf(rsa(2048), rsa(2048)))).asymmetricKeyType).toBe('rsa');
    expect((await readCsr(await csrOf({ name: 'Ed25519' }, { name: 'Ed25519' }))).asymmetricKeyType).toBe('ed25519');
  });

  it('refuses weak and unusual keys', async () => {
    await expect(readCsr(await csrOf(rsa(1024), rsa(1024)))).rejects.toThrow(/2048/);
    await expect(
      readCsr(await csrOf({ name: 'ECDSA', namedCurve: 'P-521' }, { name: 'ECDSA', hash: 'SHA-512' })),
    ).rejects.toThrow(/secp521r1/);
  });

  it('refuses a request that another key signed', async () => {
    const mine = createPrivateKey((await createKeyAndCsr()).keyPem);
    const der = decodePemBlocks('CERTIFICATE REQUEST', createCsr(mine))[0]!;
    const theirs = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' });
    const stolen = Buffer.from(der);
    const at = stolen.indexOf(Buffer.from(theirs.subarray(0, 26)));
    theirs.copy(stolen, at);
    await expect(readCsr(encodePem('CERTIFICATE REQUEST', stolen))).rejects.toMatchObject({ code: 'signature' });
  });

  it.each([
    '',
    'hello',
    '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
    'x'.repeat(20_000),
  ])('refuses %.20j', async (text) => {
    await expect(readCsr(text)).rejects.toBeInstanceOf(CsrError);
  });
});
