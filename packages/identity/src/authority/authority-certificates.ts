// Authority: makes the root and signs workload certificates. Decides nothing about who may have one.

import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import type { SpiffeId } from '../spiffe-id.js';
import { generateSigningKey, importSigningKey, type SigningKeyType, signingAlgorithmOf } from './signing-keys.js';
import { engine, x509 } from './x509-engine.js';

export interface RootCertificate {
  readonly keyPem: string;
  readonly certPem: string;
}

export interface CreateRootOptions {
  readonly trustDomain: string;
  readonly ttlSeconds: number;
  /** P-256 unless given. */
  readonly keyType?: SigningKeyType;
  readonly now?: Date;
}

export interface IssueOptions {
  readonly root: RootCertificate;
  /** The subject's public key; take it from a request that was checked (`readCsr`). */
  readonly publicKey: KeyObject;
  readonly spiffeId: SpiffeId;
  /** DNS names beside it, for servers whose clients know no SPIFFE ids, such as an API server. */
  readonly dnsNames?: readonly string[] | undefined;
  readonly ttlSeconds: number;
  readonly now?: Date;
}

export interface IssuedCertificate {
  readonly certPem: string;
  /** Hexadecimal, upper case, as Node and OpenSSL print it. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Peers' clocks may be behind by this much; a certificate that lives shorter is back-dated by half its life. */
export const MAX_BACK_DATE_SECONDS = 120;

/** Makes a self-signed root (CA, path length 0, keyCertSign and cRLSign) with an organization of the trust domain. */
export async function createRootCertificate(options: CreateRootOptions): Promise<RootCertificate> {
  const privateKey = await generateSigningKey(options.keyType ?? 'ecdsa-p256');
  const algorithm = signingAlgorithmOf(privateKey);
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const keys = {
    privateKey: await importSigningKey(privateKey),
    publicKey: await engine.subtle.importKey('spki', spki, algorithm.key, true, ['verify']),
  };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerial(),
      name: [{ O: [options.trustDomain] }],
      ...validity(options.ttlSeconds, options.now),
      signingAlgorithm: algorithm.signature,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, engine),
      ],
    },
    engine,
  );
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { keyPem, certPem: `${certificate.toString('pem')}\n` };
}

/** A root or intermediate made ready for signing: parsed once, used for many certificates. */
export interface CertificateIssuer {
  /**
   * Signs a workload certificate: empty subject, the SPIFFE id as its only URI, names critical, client and server use. It ends
   * no later than its issuers. @throws Error where one of these has ended
   */
  issue(options: Omit<IssueOptions, 'root'>): Promise<IssuedCertificate>;
}

/**
 * Parses the signing key and its certificate.
 * @param latest where those above the certificate end earlier than itself: the end of the first of them
 * @throws Error when either cannot be read
 */
export async function createCertificateIssuer(root: RootCertificate, latest?: Date): Promise<CertificateIssuer> {
  const rootCertificate = new x509.X509Certificate(root.certPem);
  const privateKey = createPrivateKey(root.keyPem);
  const signingKey = await importSigningKey(privateKey);
  const signingAlgorithm = signingAlgorithmOf(privateKey).signature;
  const authorityKeyId = await x509.AuthorityKeyIdentifierExtension.create(rootCertificate.publicKey, false, engine);
  const end = Math.min(rootCertificate.notAfter.getTime(), latest?.getTime() ?? Number.POSITIVE_INFINITY);
  return {
    issue: async ({ publicKey, spiffeId, dnsNames = [], ttlSeconds, now }) => {
      if ((now?.getTime() ?? Date.now()) >= end)
        throw new Error(`the authority's own certificates ended at ${new Date(end).toISOString()}`);
      const dates = validity(ttlSeconds, now, new Date(end));
      const spki = new x509.PublicKey(publicKey.export({ type: 'spki', format: 'der' }));
      const serialNumber = randomSerial();
      const certificate = await x509.X509CertificateGenerator.create(
        {
          serialNumber,
          issuer: rootCertificate.subjectName,
          ...dates,
          signingAlgorithm,
          publicKey: spki,
          signingKey,
          extensions: [
            new x509.BasicConstraintsExtension(false, undefined, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
            new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
            await x509.SubjectKeyIdentifierExtension.create(spki, false, engine),
            authorityKeyId,
            // RFC 5280, section 4.2.1.6: critical where the subject is empty.
            new x509.SubjectAlternativeNameExtension(
              [{ type: 'url', value: spiffeId }, ...dnsNames.map((value) => ({ type: 'dns', value }) as const)],
              true,
            ),
          ],
        },
        engine,
      );
      return { certPem: `${certificate.toString('pem')}\n`, serial: serialNumber.toUpperCase(), ...dates };
    },
  };
}

/** Signs one certificate; for many, keep a `createCertificateIssuer`. */
export async function issueWorkloadCertificate(options: IssueOptions): Promise<IssuedCertificate> {
  const issuer = await createCertificateIssuer(options.root);
  return issuer.issue(options);
}

/** The public key of a PKCS#8 private key PEM. */
export function publicKeyOf(keyPem: string): KeyObject {
  return createPublicKey(keyPem);
}

/** Whole seconds, as certificates have them; never beyond what was asked for, nor beyond the issuer's own end. */
function validity(ttlSeconds: number, now = new Date(), latest?: Date): { notBefore: Date; notAfter: Date } {
  const nowSeconds = now.getTime() / 1000;
  const backDate = Math.min(MAX_BACK_DATE_SECONDS, ttlSeconds / 2);
  const notAfter = Math.floor(nowSeconds + ttlSeconds) * 1000;
  return {
    notBefore: new Date(Math.floor(nowSeconds - backDate) * 1000),
    notAfter: new Date(latest === undefined ? notAfter : Math.min(notAfter, latest.getTime())),
  };
}

/** 128 random bits; the first bit is 0 and the first byte not, so that the number is positive and of full length. */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
