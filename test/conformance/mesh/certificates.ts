// Conformance, step 2: the certificates of a case, by name: issued once, and put where its YAML names them.

import { createHash, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestAuthority, TestWebAuthority } from '@lateen/identity/testing';
import type { CertificateOfCase } from '../case-tls.js';

/** A certificate with its key, in PEM. */
export interface IssuedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

/** The authority of the mesh, by which proxies have their own certificates. */
const MESH = 'mesh';
const OF_CERTIFICATES = ['cert', 'key', 'hash', 'spki'];
const OF_AUTHORITIES = ['roots', 'crl'];
const FILE = '-file';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What one case has. */
export class CaseCertificates {
  private readonly files = new Set<string>();

  constructor(
    private readonly directory: string,
    private readonly certificates: ReadonlyMap<string, IssuedCertificate>,
    /** By authority: its root, and the list of what it has revoked. */
    private readonly authorities: ReadonlyMap<string, { readonly roots: string; readonly crl: string }>,
  ) {}

  /** @throws Error where the case has no such certificate */
  pair(name: string): IssuedCertificate {
    const found = this.certificates.get(name);
    if (found === undefined) throw new Error(`there is no certificate ${name}; add it under \`certificates\``);
    return found;
  }

  /** PEM of an authority's root. @throws Error where the case has no such authority */
  roots(authority: string): string {
    return this.authority(authority).roots;
  }

  /** The name of whoever showed this certificate; of strangers what it says of them. */
  nameOf(raw: Buffer | undefined): string {
    if (raw === undefined) return 'nobody';
    const shown = new X509Certificate(raw);
    for (const [name, { certPem }] of this.certificates) {
      if (new X509Certificate(certPem).serialNumber === shown.serialNumber) return name;
    }
    return shown.subjectAltName ?? shown.subject;
  }

  /** What `<NAME:PART>` stands for: in base64, as Secrets have it, or with `-file` the path of a file. */
  text(name: string, part: string): string {
    if (part.endsWith(FILE)) return this.file(name, part.slice(0, -FILE.length));
    if (part === 'hash') return new X509Certificate(this.pair(name).certPem).fingerprint256;
    if (part === 'spki') return keyHashOf(this.pair(name).certPem);
    return base64(this.pem(name, part));
  }

  private pem(name: string, part: string): string {
    if (part === 'roots') return this.roots(name);
    if (part === 'crl') return this.authority(name).crl;
    const { certPem, keyPem } = this.pair(name);
    return part === 'cert' ? certPem : keyPem;
  }

  private file(name: string, part: string): string {
    const path = join(this.directory, `${name}-${part}.pem`);
    const content = this.pem(name, part);
    if (this.directory === '') return path;
    if (!this.files.has(path)) writeFileSync(path, content);
    this.files.add(path);
    return path;
  }

  private authority(name: string) {
    const found = this.authorities.get(name);
    if (found === undefined) throw new Error(`no certificate is of authority ${name}; add one under \`certificates\``);
    return found;
  }
}

/** Whether `<NAME:PART>` is something of a certificate or of an authority. */
export function isCertificatePart(part: string): boolean {
  return [...OF_CERTIFICATES, ...OF_AUTHORITIES].includes(part.replace(/-file$/, ''));
}

function keyHashOf(certPem: string): string {
  const der = new X509Certificate(certPem).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64');
}

/** Issues what cases ask for; what several, or the mutants of one, ask for alike is issued once. */
export class CertificateIssuer {
  private readonly authorities = new Map<string, Promise<TestWebAuthority>>();
  private readonly issued = new Map<string, Promise<IssuedCertificate>>();

  constructor(private readonly mesh: TestAuthority) {}

  /** @param directory where files are written; left out: nowhere */
  async forCase(wanted: readonly CertificateOfCase[], directory = ''): Promise<CaseCertificates> {
    const certificates = new Map<string, IssuedCertificate>();
    for (const each of wanted) certificates.set(each.name, await this.issue(each));
    const authorities = new Map<string, { roots: string; crl: string }>();
    for (const name of new Set(wanted.map(({ authority }) => authority))) {
      if (name === MESH) {
        authorities.set(name, { roots: this.mesh.rootsPem, crl: '' });
        continue;
      }
      const authority = await this.authority(name);
      const revoked = wanted.filter((each) => each.authority === name && each.revoked);
      const serials = revoked.map((each) => new X509Certificate(certificates.get(each.name)!.certPem).serialNumber);
      authorities.set(name, { roots: authority.rootsPem, crl: await authority.revoke(serials) });
    }
    return new CaseCertificates(directory, certificates, authorities);
  }

  private authority(name: string): Promise<TestWebAuthority> {
    const known = this.authorities.get(name);
    if (known !== undefined) return known;
    const created = TestWebAuthority.create(name);
    this.authorities.set(name, created);
    return created;
  }

  private issue(wanted: CertificateOfCase): Promise<IssuedCertificate> {
    const key = JSON.stringify(wanted);
    const known = this.issued.get(key);
    if (known !== undefined) return known;
    const made = wanted.authority === MESH ? this.ofWorkload(wanted) : this.ofHost(wanted);
    this.issued.set(key, made);
    return made;
  }

  private async ofHost({ authority, dnsNames, uris, subject, key }: CertificateOfCase): Promise<IssuedCertificate> {
    return (await this.authority(authority)).issue({ dnsNames, uris, subject, key });
  }

  /** Of the mesh a certificate is for a service account, `NAMESPACE/NAME` in the place of its subject. */
  private async ofWorkload({ subject }: CertificateOfCase): Promise<IssuedCertificate> {
    const [namespace = '', serviceAccount = ''] = subject.split('/');
    const { certChainPem, keyPem } = await this.mesh.issue({ namespace, serviceAccount });
    return { certPem: certChainPem, keyPem };
  }
}
