// An intermediate of somebody else's: what is taken, and what each of the four files is refused for, by its name.
import type { KeyObject, webcrypto } from 'node:crypto';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { createKeyAndCsr } from '../issuance/certificate-request.js';
import { formatSpiffeId } from '../spiffe-id.js';
import { identityFromPem, readCertificates } from '../workload-identity.js';
import { createCertificateIssuer, createRootCertificate, publicKeyOf } from './authority-certificates.js';
import { PluggedInError, type PluggedInFiles, readPluggedIn } from './plugged-in.js';
import { generateSigningKey, importSigningKey, type SigningKeyType, signingAlgorithmOf } from './signing-keys.js';
import { engine, x509 } from './x509-engine.js';

interface Made {
  readonly key: KeyObject;
  readonly keyPem: string;
  readonly certPem: string;
}

interface MakeOptions {
  readonly name: string;
  readonly issuer?: Made;
  readonly keyType?: SigningKeyType;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly usages?: number;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions?: readonly x509.Extension[];
}

const HOUR_MS = 3_600_000;
let serial = 1;

async function make(options: MakeOptions): Promise<Made> {
  const key = await generateSigningKey(options.keyType ?? 'ecdsa-p256');
  const signer = options.issuer?.key ?? key;
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const { ca = true, usages = x509.KeyUsageFlags.keyCertSign } = options;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: (serial++).toString(16).padStart(4, '0'),
      subject: `CN=${options.name}`,
      issuer: options.issuer === undefined ? `CN=${options.name}` : new X509Name(options.issuer).subject,
      notBefore: options.notBefore ?? new Date(Date.now() - HOUR_MS),
      notAfter: options.notAfter ?? new Date(Date.now() + HOUR_MS),
      publicKey: new x509.PublicKey(publicKey),
      signingKey: (await importSigningKey(signer)) as webcrypto.CryptoKey,
      signingAlgorithm: signingAlgorithmOf(signer).signature,
      extensions: [
        new x509.BasicConstraintsExtension(ca, options.pathLength, true),
        new x509.KeyUsagesExtension(usages, true),
        ...(options.extensions ?? []),
      ],
    },
    engine,
  );
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { key, keyPem, certPem: `${certificate.toString('pem')}\n` };
}

class X509Name {
  readonly subject: string;
  constructor({ certPem }: Made) {
    this.subject = new x509.X509Certificate(certPem).subject;
  }
}

const trustDomain = 'cluster.local';
let root: Made;
let middle: Made;
let signing: Made;
let good: PluggedInFiles;

beforeAll(async () => {
  root = await make({ name: 'root', keyType: 'rsa-2048' });
  middle = await make({ name: 'middle', issuer: root, pathLength: 1 });
  signing = await make({ name: 'signing', issuer: middle, pathLength: 0 });
  good = {
    caCert: signing.certPem,
    caKey: signing.keyPem,
    rootCert: root.certPem,
    certChain: signing.certPem + middle.certPem + root.certPem,
  };
});

describe('is taken', () => {
  it('with intermediates of other key types between itself and the root, and signs what peers accept', async () => {
    const authority = await readPluggedIn(good, { trustDomain });
    const subjects = authority.chainPem.map((pem) => new X509Certificate(pem).subject);
    expect(subjects).toEqual(['CN=signing', 'CN=middle', 'CN=root']);
    const { keyPem } = await createKeyAndCsr();
    const spiffeId = formatSpiffeId({ trustDomain, namespace: 'a', serviceAccount: 'b' });
    const issuer = await createCertificateIssuer(authority, authority.notAfter);
    const issued = await issuer.issue({ publicKey: publicKeyOf(keyPem), spiffeId, ttlSeconds: 24 * 3600 });
    expect(issued.notAfter.getTime()).toBe(authority.notAfter.getTime());
    const certChainPem = issued.certPem + authority.chainPem.join('');
    expect(identityFromPem({ keyPem, certChainPem, rootsPem: authority.bundlePem }).spiffeId).toBe(spiffeId);
  });

  it('as a root that signs itself, and with more roots than its own, of which its own comes first', async () => {
    const self = await createRootCertificate({ trustDomain, ttlSeconds: 3600 });
    const authority = await readPluggedIn(
      { caCert: self.certPem, caKey: self.keyPem, rootCert: root.certPem + self.certPem, certChain: '' },
      { trustDomain },
    );
    expect(authority.chainPem).toEqual([self.certPem]);
    expect(readCertificates(authority.bundlePem).map(String)).toEqual([self.certPem, root.certPem]);
  });

  it('with name constraints that leave room for the trust domain', async () => {
    const named = await constrained('cluster.local');
    await expect(readPluggedIn(named, { trustDomain })).resolves.toBeDefined();
  });
});

/** An intermediate that may only certify URIs of a host. */
async function constrained(host: string): Promise<PluggedInFiles> {
  // NameConstraints ::= SEQUENCE { [0] permittedSubtrees: SEQUENCE { base [6] IA5String } } (RFC 5280, section 4.2.1.10).
  const name = Buffer.concat([Buffer.of(0x86, host.length), Buffer.from(host)]);
  const subtree = Buffer.concat([Buffer.of(0x30, name.length), name]);
  const permitted = Buffer.concat([Buffer.of(0xa0, subtree.length), subtree]);
  const value = Buffer.concat([Buffer.of(0x30, permitted.length), permitted]);
  const made = await make({
    name: 'named',
    issuer: root,
    extensions: [new x509.Extension('2.5.29.30', true, value)],
  });
  return { ...good, caCert: made.certPem, caKey: made.keyPem, certChain: '' };
}

async function problems(changes: Partial<PluggedInFiles>): Promise<readonly string[]> {
  try {
    await readPluggedIn({ ...good, ...changes }, { trustDomain });
  } catch (error) {
    expect(error).toBeInstanceOf(PluggedInError);
    return (error as PluggedInError).problems;
  }
  return [];
}

describe('is refused', () => {
  it('for what is not a certificate or a key, all of it at once', async () => {
    expect(await problems({ caCert: '', caKey: 'nonsense', rootCert: 'nothing' })).toEqual([
      'ca-cert.pem has no PEM block "CERTIFICATE"',
      'root-cert.pem has no PEM block "CERTIFICATE"',
      expect.stringMatching(/^ca-key\.pem cannot be used: /),
    ]);
  });

  it('where the key is of another certificate', async () => {
    expect(await problems({ caKey: middle.keyPem })).toEqual([
      'ca-key.pem is not the key of the certificate in ca-cert.pem',
    ]);
  });

  it('where the chain does not lead to a root', async () => {
    expect(await problems({ certChain: '' })).toEqual([
      'cert-chain.pem does not lead from certificate "CN=signing" to a root of root-cert.pem: nobody in these files signed ' +
        'certificate "CN=signing", whose issuer is CN=middle',
    ]);
    const stranger = await make({ name: 'root' }); // of the same name
    expect((await problems({ rootCert: stranger.certPem }))[0]).toMatch(
      /nobody in these files signed .*"CN=root"|does not lead/,
    );
  });

  it('where an intermediate stands for the root', async () => {
    expect(await problems({ rootCert: middle.certPem })).toEqual([
      'root-cert.pem: certificate "CN=middle" is not a self-signed authority',
    ]);
  });

  it.each([
    ['not an authority', { ca: false }, /ca-cert\.pem: certificate "CN=bad" is not the certificate of an authority/],
    [
      'no use for signing',
      { usages: x509.KeyUsageFlags.digitalSignature },
      /bad" (may not sign|is not the certificate of an authority)/,
    ],
    ['expired', { notAfter: new Date(Date.now() - 1000) }, /ca-cert\.pem: certificate "CN=bad" has expired on/],
    ['not yet valid', { notBefore: new Date(Date.now() + 60_000) }, /is not valid before/],
  ] as const)('where it is %s', async (_what, options, message) => {
    const bad = await make({ name: 'bad', issuer: middle, ...options });
    expect((await problems({ caCert: bad.certPem, caKey: bad.keyPem }))[0]).toMatch(message);
  });

  it('where an authority above allows no other below itself', async () => {
    const short = await make({ name: 'short', issuer: root, pathLength: 0 });
    const below = await make({ name: 'below', issuer: short });
    expect(await problems({ caCert: below.certPem, caKey: below.keyPem, certChain: short.certPem })).toEqual([
      'cert-chain.pem: certificate "CN=short" allows 0 authorities below itself (pathlen), and there are 1',
    ]);
  });

  it('where name constraints exclude the trust domain', async () => {
    expect((await problems(await constrained('example.com')))[0]).toMatch(
      /certificates that ca-cert\.pem signs for spiffe:\/\/cluster\.local\/.* are not accepted by TLS: permitted subtree/,
    );
  });
});
