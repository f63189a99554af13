// Transport: the present secrets by SDS name; TLS contexts are told when one that they use changes.

import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { readSubjectAltNames } from '@lateen/identity';
import { TYPE_URL } from '@lateen/xds-proto';
import { type ConfigProblem, ConfigRejected, type TlsSecret } from '../data-plane.js';

export interface Certificate {
  readonly chainPem: string;
  readonly keyPem: string;
  /** The first URI name, empty where there is none. */
  readonly principal: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export class SecretStore {
  private secrets: ReadonlyMap<string, TlsSecret> = new Map();
  private certificates = new Map<string, Certificate>();
  /** Grows with each change, so that contexts know that theirs is old. */
  version = 0;

  get current(): ReadonlyMap<string, TlsSecret> {
    return this.secrets;
  }

  /** Replaces all secrets. @throws ConfigRejected naming each that cannot be used; the previous ones stay */
  replace(secrets: ReadonlyMap<string, TlsSecret>): void {
    const problems: ConfigProblem[] = [];
    const certificates = new Map<string, Certificate>();
    for (const [name, secret] of secrets) {
      try {
        if (secret.kind === 'certificate') {
          const same = this.secrets.get(name) === secret ? this.certificates.get(name) : undefined;
          certificates.set(name, same ?? readCertificate(secret.certificateChainPem, secret.privateKeyPem));
        } else if (this.secrets.get(name) !== secret)
          createSecureContext({ ca: secret.trustedCaPem, crl: secret.crlPem });
      } catch (error) {
        const message = `cannot be used: ${(error as Error).message}`;
        problems.push({ resourceType: TYPE_URL.secret, resourceName: name, path: '', message });
      }
    }
    if (problems.length > 0) throw new ConfigRejected(problems);
    this.secrets = secrets;
    this.certificates = certificates;
    this.version++;
  }

  certificate(name: string): Certificate | undefined {
    return this.certificates.get(name);
  }

  trustedCa(name: string): string | undefined {
    const secret = this.secrets.get(name);
    return secret?.kind === 'validation' ? secret.trustedCaPem : undefined;
  }

  /** Certificates of the trust roots that are revoked. */
  revocations(name: string): string | undefined {
    const secret = this.secrets.get(name);
    return secret?.kind === 'validation' ? secret.crlPem : undefined;
  }
}

/** @throws Error where the pair cannot be used for TLS */
export function readCertificate(chainPem: string, keyPem: string): Certificate {
  createSecureContext({ cert: chainPem, key: keyPem });
  const leaf = new X509Certificate(chainPem);
  return {
    chainPem,
    keyPem,
    principal: readSubjectAltNames(leaf.raw).uris[0] ?? '',
    notBeforeMs: Date.parse(leaf.validFrom),
    notAfterMs: Date.parse(leaf.validTo),
  };
}
