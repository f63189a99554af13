// Identity: the sidecar's own key and certificate, as the secrets `default` and `ROOTCA`, kept fresh for as long as it runs.

import { CertificateClient, type CertificateClientStatus, type WorkloadIdentity } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { TlsSecret } from '../data-plane.js';

/** Names that stand for the own identity in TLS contexts, as Istio's. */
export const OWN_CERTIFICATE = 'default';
export const OWN_ROOTS = 'ROOTCA';

export interface OwnIdentityOptions {
  readonly citadelAddress: string;
  readonly tokenFile: string;
  readonly rootCertFile: string;
  readonly trustDomain: string;
  /** Key and certificate are kept here, readable by this user only. */
  readonly stateDir: string;
  /** Share of a certificate's life that is left when it is renewed, between 0 and 1. */
  readonly gracePeriodRatio: number;
  readonly logger: Logger;
}

/** The certificate client as a source of secrets. */
export class OwnIdentity {
  readonly source: CertificateClient;
  readonly #listeners = new Set<() => void>();

  constructor(options: OwnIdentityOptions) {
    this.source = new CertificateClient({
      citadelAddress: options.citadelAddress,
      tokenFile: options.tokenFile,
      rootCertFile: options.rootCertFile,
      directory: options.stateDir,
      trustDomain: options.trustDomain,
      gracePeriodRatio: options.gracePeriodRatio,
      logger: options.logger,
    });
    this.source.subscribe(() => {
      for (const listener of this.#listeners) listener();
    });
  }

  /** Resolves when a stored certificate is in place; a first one from Citadel comes later, as a change. */
  start(): Promise<void> {
    return this.source.start();
  }

  stop(): Promise<void> {
    return this.source.stop();
  }

  get current(): WorkloadIdentity | undefined {
    return this.source.current;
  }

  get status(): CertificateClientStatus {
    return this.source.status;
  }

  /** By SDS name; empty until there is a certificate. */
  get secrets(): ReadonlyMap<string, TlsSecret> {
    const identity = this.source.current;
    if (identity === undefined) return new Map();
    return new Map<string, TlsSecret>([
      [
        OWN_CERTIFICATE,
        { kind: 'certificate', certificateChainPem: identity.certChainPem, privateKeyPem: identity.keyPem },
      ],
      [OWN_ROOTS, { kind: 'validation', trustedCaPem: identity.rootsPem }],
    ]);
  }

  /** Calls `listener` at each renewal. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }
}
