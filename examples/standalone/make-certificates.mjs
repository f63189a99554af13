// Examples: writes a root and a certificate for each site of tls-termination.yaml into `certificates/` beside this file.
//
//   node examples/standalone/make-certificates.mjs [DIRECTORY]

import { webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// The library belongs to the package that makes the mesh's certificates.
const fromIdentity = createRequire(new URL('../../packages/identity/package.json', import.meta.url));
fromIdentity('reflect-metadata');
const x509 = fromIdentity('@peculiar/x509');

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAYS = 365;
const SITES = { site: ['site.example.test'], api: ['api.example.test', '*.api.example.test'] };

const directory = process.argv[2] ?? fileURLToPath(new URL('./certificates', import.meta.url));
mkdirSync(directory, { recursive: true });
x509.cryptoProvider.set(webcrypto);
const { subtle } = webcrypto;
const notBefore = new Date(Date.now() - 3_600_000);
const notAfter = new Date(notBefore.getTime() + DAYS * 86_400_000);
// A serial number is positive: its first byte stays below 0x80.
const serialNumber = () =>
  `1${Buffer.from(webcrypto.getRandomValues(new Uint8Array(8)))
    .toString('hex')
    .slice(1)}`;

const rootKeys = await subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
const root = await x509.X509CertificateGenerator.createSelfSigned({
  ...{ serialNumber: serialNumber(), name: 'O=Example root', notBefore, notAfter, signingAlgorithm: ALGORITHM },
  keys: rootKeys,
  extensions: [
    new x509.BasicConstraintsExtension(true, 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
  ],
});
writeFileSync(join(directory, 'root.pem'), `${root.toString('pem')}\n`);

for (const [name, dnsNames] of Object.entries(SITES)) {
  const keys = await subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const leaf = await x509.X509CertificateGenerator.create({
    ...{ serialNumber: serialNumber(), subject: `CN=${dnsNames[0]}`, issuer: root.subject, notBefore, notAfter },
    ...{ signingAlgorithm: ALGORITHM, publicKey: keys.publicKey, signingKey: rootKeys.privateKey },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value }))),
    ],
  });
  const key = Buffer.from(await subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g).join('\n')}\n-----END PRIVATE KEY-----\n`;
  writeFileSync(join(directory, `${name}.pem`), `${leaf.toString('pem')}\n`);
  writeFileSync(join(directory, `${name}-key.pem`), keyPem, { mode: 0o600 });
}
console.log(`wrote certificates for ${Object.values(SITES).flat().join(', ')} to ${directory}`);
