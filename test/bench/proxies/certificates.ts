// Benchmark: a root and two workload certificates as files, for the mTLS hop. They carry a SPIFFE id (for the sidecar) and a
// DNS name (nginx and node:https verify by name).

import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

export interface CertificateFiles {
  readonly root: string;
  readonly client: { readonly chain: string; readonly key: string; readonly spiffeId: string };
  readonly server: {
    readonly chain: string;
    readonly key: string;
    readonly spiffeId: string;
    readonly dnsName: string;
  };
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

function pemOfPkcs8(bytes: ArrayBuffer): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

/** Makes the files in `directory`. */
export async function createCertificateFiles(directory: string): Promise<CertificateFiles> {
  mkdirSync(directory, { recursive: true });
  const crypto = webcrypto;
  x509.cryptoProvider.set(crypto);
  const validity = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };
  const rootKeys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'O=bench',
    ...validity,
    signingAlgorithm: ALGORITHM,
    keys: rootKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const write = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const issue = async (name: string) => {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const spiffeId = `spiffe://cluster.local/ns/bench/sa/${name}`;
    const dnsName = `${name}.bench.local`;
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8)))
        .toString('hex')
        .replace(/^[89a-f]/, '1'),
      subject: `CN=${name}`,
      issuer: root.subject,
      ...validity,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: rootKeys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension([
          { type: 'url', value: spiffeId },
          { type: 'dns', value: dnsName },
        ]),
      ],
    });
    return {
      chain: write(`${name}-chain.pem`, leaf.toString('pem')),
      key: write(`${name}-key.pem`, pemOfPkcs8(await crypto.subtle.exportKey('pkcs8', keys.privateKey))),
      spiffeId,
      dnsName,
    };
  };
  return {
    root: write('root.pem', root.toString('pem')),
    client: await issue('client'),
    server: await issue('server'),
  };
}
