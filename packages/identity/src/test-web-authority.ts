// For tests of every package: an authority of certificates for hosts and their clients, as the web has them.

import { randomBytes, type webcrypto } from 'node:crypto';
import { ECDSA_SHA256, engine, P256, x509 } from './authority/x509-engine.js';

const RSA_2048 = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2048,
};

export interface WebCertificateOptions {
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly emails?: readonly string[];
  readonly uris?: readonly string[];
  /** The common name; the first name unless given. */
  readonly subject?: string;
  readonly key?: 'ecdsa' | 'rsa';
  /** One day from now unless given. */
  readonly notAfter?: Date;
}

/** A certificate with its key, in PEM. */
export interface WebCertificate {
  readonly certPem: string;
  readonly keyPem: string;
  /** Hexadecimal, upper case, as Node and OpenSSL print it. */
  readonly serial: string;
}

const DAY_MS = 24 * 3600 * 1000;

export class TestWebAuthority {
  private constructor(
    private readonly keys: webcrypto.CryptoKeyPair,
    private readonly certificate: x509.X509Certificate,
  ) {}

  static async create(name: string): Promise<TestWebAuthority> {
    const keys = await engine.subtle.generateKey(P256, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned(
      {
        serialNumber: randomSerial(),
        name: [{ CN: [name] }],
        notBefore: new Date(Date.now() - DAY_MS),
        notAfter: new Date(Date.now() + 2 * DAY_MS),
        signingAlgorithm: ECDSA_SHA256,
        keys,
        extensions: [
          new x509.BasicConstraintsExtension(true, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
          await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, engine),
        ],
      },
      engine,
    );
    return new TestWebAuthority(keys, certificate);
  }

  /** PEM of the root. */
  get rootsPem(): string {
    return `${this.certificate.toString('pem')}\n`;
  }

  async issue(options: WebCertificateOptions): Promise<WebCertificate> {
    const { dnsNames = [], ipAddresses = [], emails = [], uris = [], key = 'ecdsa' } = options;
    const keys = (await engine.subtle.generateKey(key === 'rsa' ? RSA_2048 : P256, true, [
      'sign',
      'verify',
    ])) as webcrypto.CryptoKeyPair;
    const names = [
      ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
      ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
      ...emails.map((value) => ({ type: 'email' as const, value })),
      ...uris.map((value) => ({ type: 'url' as const, value })),
    ];
    const serialNumber = randomSerial();
    const certificate = await x509.X509CertificateGenerator.create(
      {
        serialNumber,
        subject: [{ CN: [options.subject ?? names[0]?.value ?? 'nobody'] }],
        issuer: this.certificate.subjectName,
        notBefore: new Date(Date.now() - DAY_MS),
        notAfter: options.notAfter ?? new Date(Date.now() + DAY_MS),
        signingAlgorithm: ECDSA_SHA256,
        publicKey: keys.publicKey,
        signingKey: this.keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          await x509.AuthorityKeyIdentifierExtension.create(this.certificate.publicKey, false, engine),
          ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
        ],
      },
      engine,
    );
    const pkcs8 = await engine.subtle.exportKey('pkcs8', keys.privateKey);
    return {
      certPem: `${certificate.toString('pem')}\n`,
      keyPem: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
      serial: serialNumber.toUpperCase(),
    };
  }

  /** PEM of a list that revokes these. */
  async revoke(serials: readonly string[]): Promise<string> {
    const list = await x509.X509CrlGenerator.create(
      {
        issuer: this.certificate.subjectName,
        thisUpdate: new Date(Date.now() - DAY_MS),
        nextUpdate: new Date(Date.now() + DAY_MS),
        signingAlgorithm: ECDSA_SHA256,
        signingKey: this.keys.privateKey,
        // With a reason: an empty list of extensions, which the library writes without one, BoringSSL does not take.
        entries: serials.map((serialNumber) => ({
          serialNumber,
          revocationDate: new Date(Date.now() - DAY_MS),
          reason: x509.X509CrlReason.keyCompromise,
        })),
      },
      engine,
    );
    return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`;
  }
}

function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
