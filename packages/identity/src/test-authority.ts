// For tests of every package: a certificate authority in memory that hands out workload identities.

import {
  createRootCertificate,
  issueWorkloadCertificate,
  publicKeyOf,
  type RootCertificate,
} from './authority/index.js';
import { createKeyAndCsr } from './issuance/certificate-request.js';
import { formatSpiffeId, type SpiffeIdParts } from './spiffe-id.js';
import { identityFromPem, StaticIdentity, type WorkloadIdentity } from './workload-identity.js';

export interface TestIdentityOptions extends Omit<SpiffeIdParts, 'trustDomain'> {
  readonly dnsNames?: readonly string[];
  /** One hour unless given. */
  readonly ttlSeconds?: number;
  /** Clock of the authority, to make certificates that have expired or are not valid yet. */
  readonly now?: Date;
}

/**
 * A root of its own for each test. A second TestAuthority with the same trust domain is a stranger with the right names;
 * one with another trust domain is a foreign mesh.
 */
export class TestAuthority {
  private constructor(
    readonly trustDomain: string,
    readonly root: RootCertificate,
  ) {}

  static async create(trustDomain = 'cluster.local'): Promise<TestAuthority> {
    return new TestAuthority(trustDomain, await createRootCertificate({ trustDomain, ttlSeconds: 24 * 3600 }));
  }

  /** PEM of the root. */
  get rootsPem(): string {
    return this.root.certPem;
  }

  /** Key, certificate and roots of one workload. */
  async issue(options: TestIdentityOptions): Promise<WorkloadIdentity> {
    const { keyPem } = await createKeyAndCsr();
    const issued = await issueWorkloadCertificate({
      root: this.root,
      publicKey: publicKeyOf(keyPem),
      spiffeId: formatSpiffeId({ trustDomain: this.trustDomain, ...options }),
      dnsNames: options.dnsNames,
      ttlSeconds: options.ttlSeconds ?? 3600,
      now: options.now,
    });
    return identityFromPem({ keyPem, certChainPem: issued.certPem + this.root.certPem, rootsPem: this.root.certPem });
  }

  /** As `issue`, ready for `grpcServerCredentials` and its like. */
  async source(options: TestIdentityOptions): Promise<StaticIdentity> {
    return new StaticIdentity(await this.issue(options));
  }
}

export * from './test-web-authority.js';
