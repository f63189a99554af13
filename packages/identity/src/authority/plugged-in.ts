// Authority: an intermediate of somebody else's, as Istio's `cacerts`: reads the four files and finds what is wrong with them.

import type { KeyObject, X509Certificate } from 'node:crypto';
import { formatSpiffeId } from '../spiffe-id.js';
import { mergeRoots, readCertificates } from '../workload-identity.js';
import { createCertificateIssuer, publicKeyOf } from './authority-certificates.js';
import { PassphraseError, readPrivateKey } from './encrypted-key.js';
import { chainProblem } from './probe-handshake.js';
import { generateSigningKey, signingAlgorithmOf } from './signing-keys.js';
import { x509 } from './x509-engine.js';

/** Names of the files, as in Istio. */
export const PLUGGED_IN_FILE = {
  caCert: 'ca-cert.pem',
  caKey: 'ca-key.pem',
  rootCert: 'root-cert.pem',
  certChain: 'cert-chain.pem',
} as const;

/** Contents of the files. */
export type PluggedInFiles = Readonly<Record<keyof typeof PLUGGED_IN_FILE, string>>;

export interface PluggedInAuthority {
  /** PKCS#8, not encrypted: it stays in memory. */
  readonly keyPem: string;
  /** The certificate that signs. */
  readonly certPem: string;
  /** What follows a leaf: the certificate that signs, those above it, the root. */
  readonly chainPem: readonly string[];
  /** Every root; that of the chain first. */
  readonly bundlePem: string;
  /** When the first certificate of the chain ends. */
  readonly notAfter: Date;
}

/** What is wrong with the files, all of it; each problem names its file. */
export class PluggedInError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('; '));
    this.name = 'PluggedInError';
  }
}

const PROBE_TTL_SECONDS = 300;

/**
 * Reads and checks an intermediate: the key is the certificate's, every certificate of the way to a root may sign (CA, key
 * usage, path length) and is valid now, and a certificate that it signs for a workload of the trust domain is accepted in
 * a TLS handshake (which is where name constraints show).
 * @throws PluggedInError
 */
export async function readPluggedIn(
  files: PluggedInFiles,
  options: { readonly trustDomain: string; readonly passphrase?: string | undefined },
): Promise<PluggedInAuthority> {
  const problems: string[] = [];
  const certificatesOf = (file: 'caCert' | 'rootCert' | 'certChain') => readAll(file, files[file], problems);
  const [ca, roots, chain] = [certificatesOf('caCert'), certificatesOf('rootCert'), certificatesOf('certChain')];
  const key = readKey(files.caKey, options.passphrase, problems);
  const signing = ca[0];
  if (signing === undefined || key === undefined || roots.length === 0) throw new PluggedInError(problems);
  const { caCert, caKey, rootCert } = PLUGGED_IN_FILE;
  if (!signing.checkPrivateKey(key)) problems.push(`${caKey} is not the key of the certificate in ${caCert}`);
  for (const root of roots) {
    if (!root.ca || !signedBy(root, root)) problems.push(`${rootCert}: ${nameOf(root)} is not a self-signed authority`);
  }
  const path = pathToRoot(signing, [...ca.slice(1), ...chain], roots, problems);
  if (path !== undefined) checkPath(path, problems);
  if (problems.length > 0 || path === undefined) throw new PluggedInError(problems);

  const root = path.at(-1) as X509Certificate;
  const notAfter = new Date(Math.min(...path.map((certificate) => Date.parse(certificate.validTo))));
  const authority = {
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certPem: signing.toString(),
    chainPem: path.map((certificate) => certificate.toString()),
    bundlePem: mergeRoots(root.toString(), ...roots.map(String)),
    notAfter,
  };
  await proveUsable(authority, options.trustDomain);
  return authority;
}

function readAll(file: 'caCert' | 'rootCert' | 'certChain', pem: string, problems: string[]): X509Certificate[] {
  const name = PLUGGED_IN_FILE[file];
  try {
    const certificates = readCertificates(pem);
    // The chain may be empty where the root itself signed the intermediate.
    if (certificates.length === 0 && file !== 'certChain') problems.push(`${name} has no PEM block "CERTIFICATE"`);
    return certificates;
  } catch (error) {
    problems.push(`${name} has a block that is not a certificate (${(error as Error).message})`);
    return [];
  }
}

function readKey(pem: string, passphrase: string | undefined, problems: string[]): KeyObject | undefined {
  const name = PLUGGED_IN_FILE.caKey;
  try {
    const key = readPrivateKey(pem, passphrase);
    signingAlgorithmOf(key);
    return key;
  } catch (error) {
    const reason = (error as Error).message;
    problems.push(error instanceof PassphraseError ? `${name} ${reason}` : `${name} cannot be used: ${reason}`);
    return undefined;
  }
}

/** From the certificate that signs up to one of the roots, both included. */
function pathToRoot(
  signing: X509Certificate,
  above: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  problems: string[],
): X509Certificate[] | undefined {
  const path = [signing];
  for (;;) {
    const last = path.at(-1) as X509Certificate;
    if (roots.some((root) => same(root, last))) return path;
    const root = roots.find((candidate) => signedBy(last, candidate));
    if (root !== undefined) return [...path, root];
    const issuer = above.find((candidate) => signedBy(last, candidate) && !path.some((each) => same(each, candidate)));
    if (issuer === undefined) {
      problems.push(
        `${PLUGGED_IN_FILE.certChain} does not lead from ${nameOf(signing)} to a root of ${PLUGGED_IN_FILE.rootCert}: ` +
          `nobody in these files signed ${nameOf(last)}, whose issuer is ${oneLine(last.issuer)}`,
      );
      return undefined;
    }
    path.push(issuer);
  }
}

function checkPath(path: readonly X509Certificate[], problems: string[]): void {
  const now = Date.now();
  for (const [below, certificate] of path.entries()) {
    const where = fileOf(path, below);
    const problem = (text: string) => problems.push(`${where}: ${nameOf(certificate)} ${text}`);
    const { validFrom, validTo } = certificate;
    if (now < Date.parse(validFrom)) problem(`is not valid before ${validFrom}`);
    if (now > Date.parse(validTo)) problem(`has expired on ${validTo}`);
    const parsed = new x509.X509Certificate(certificate.raw);
    if (!certificate.ca) problem('is not the certificate of an authority (no CA:TRUE in its basic constraints)');
    const usages = parsed.getExtension(x509.KeyUsagesExtension)?.usages;
    if (usages !== undefined && (usages & x509.KeyUsageFlags.keyCertSign) === 0)
      problem('may not sign certificates (its key usage lacks keyCertSign)');
    const limit = parsed.getExtension(x509.BasicConstraintsExtension)?.pathLength;
    if (limit !== undefined && limit < below)
      problem(`allows ${limit} authorities below itself (pathlen), and there are ${below}`);
    try {
      signingAlgorithmOf(certificate.publicKey);
    } catch (error) {
      problem(`has a key that is not taken: ${(error as Error).message}`);
    }
  }
}

function fileOf(path: readonly X509Certificate[], index: number): string {
  if (index === 0) return PLUGGED_IN_FILE.caCert;
  return index === path.length - 1 ? PLUGGED_IN_FILE.rootCert : PLUGGED_IN_FILE.certChain;
}

/** Signs a certificate as for a workload, and shows it in a handshake as peers would see it. */
async function proveUsable(authority: PluggedInAuthority, trustDomain: string): Promise<void> {
  const keyPem = (await generateSigningKey('ecdsa-p256')).export({ type: 'pkcs8', format: 'pem' }).toString();
  const spiffeId = formatSpiffeId({ trustDomain, namespace: 'istio-system', serviceAccount: 'citadel' });
  const issuer = await createCertificateIssuer(authority, authority.notAfter);
  const leaf = await issuer.issue({ publicKey: publicKeyOf(keyPem), spiffeId, ttlSeconds: PROBE_TTL_SECONDS });
  const problem = await chainProblem({
    keyPem,
    certChainPem: leaf.certPem + authority.chainPem.slice(0, -1).join(''),
    rootsPem: authority.bundlePem,
  });
  if (problem === undefined) return;
  throw new PluggedInError([
    `certificates that ${PLUGGED_IN_FILE.caCert} signs for ${spiffeId} are not accepted by TLS: ${problem}; look at the ` +
      'name constraints and extended key usages of the authorities',
  ]);
}

function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function same(one: X509Certificate, other: X509Certificate): boolean {
  return one.raw.equals(other.raw);
}

function nameOf(certificate: X509Certificate): string {
  return `certificate "${oneLine(certificate.subject ?? '')}"`;
}

function oneLine(name: string): string {
  return name.trim().replace(/\n/g, ', ');
}
