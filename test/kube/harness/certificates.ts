// Test cluster: the certificate authority of a cluster, and what it issues to servers and users.

import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

/** Paths of PEM files. */
export interface KeyPairFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface Subject {
  /** The user's name, or the server's. */
  readonly commonName: string;
  /** The user's groups. */
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses of a server; none makes it a client's certificate. */
  readonly hosts?: readonly string[];
}

export interface ClusterAuthority {
  readonly certificate: string;
  readonly key: string;
  /** Issues a certificate and writes it as NAME.crt and NAME.key. */
  issue(name: string, subject: Subject): Promise<KeyPairFiles>;
}

/** Makes an authority of its own; its files are NAME.crt and NAME.key in `directory`. */
export async function createAuthority(directory: string, name: string): Promise<ClusterAuthority> {
  mkdirSync(directory, { recursive: true });
  x509.cryptoProvider.set(webcrypto);
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    ...validity(),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const files = await writePair(directory, name, certificate, keys);
  return {
    ...files,
    issue: async (leafName, subject) => {
      const leafKeys = await newKeys();
      const hosts = subject.hosts ?? [];
      const usage = hosts.length > 0 ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: [
          ...(subject.organizations ?? []).map((organization) => ({ O: [organization] })),
          { CN: [subject.commonName] },
        ],
        issuer: certificate.subject,
        ...validity(),
        signingAlgorithm: ALGORITHM,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([usage]),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
          ...(hosts.length > 0 ? [new x509.SubjectAlternativeNameExtension(hosts.map(hostName))] : []),
        ],
      });
      return writePair(directory, leafName, leaf, leafKeys);
    },
  };
}

/** A key pair without a certificate, for the tokens of service accounts. @returns paths of NAME.key and NAME.pub */
export async function createSigningKey(
  directory: string,
  name: string,
): Promise<{ readonly privateKey: string; readonly publicKey: string }> {
  const keys = await newKeys();
  const publicKey = join(directory, `${name}.pub`);
  const bytes = await webcrypto.subtle.exportKey('spki', keys.publicKey);
  writeFileSync(publicKey, `${x509.PemConverter.encode(bytes, 'PUBLIC KEY')}\n`);
  return { privateKey: await writeKey(directory, name, keys), publicKey };
}

const hostName = (host: string) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host });
const newKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
type KeyPair = Awaited<ReturnType<typeof newKeys>>;
const serialNumber = () => `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex')}`;
const validity = () => ({ notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 7 * DAY_MS) });

async function writePair(
  directory: string,
  name: string,
  certificate: x509.X509Certificate,
  keys: KeyPair,
): Promise<KeyPairFiles> {
  const path = join(directory, `${name}.crt`);
  writeFileSync(path, `${certificate.toString('pem')}\n`);
  return { certificate: path, key: await writeKey(directory, name, keys) };
}

async function writeKey(directory: string, name: string, keys: KeyPair): Promise<string> {
  const path = join(directory, `${name}.key`);
  const bytes = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  writeFileSync(path, `${x509.PemConverter.encode(bytes, 'PRIVATE KEY')}\n`, { mode: 0o600 });
  return path;
}
