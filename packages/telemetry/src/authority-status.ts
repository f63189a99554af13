// What Citadel answers at /ca/status, and `lateenctl ca status` shows. Scripts read the shapes (`-o json`): add to them, take nothing away.

/** A certificate of an authority, for people. */
export interface AuthorityCertificate {
  readonly id: string;
  readonly subject: string;
  readonly key: string;
  /** ISO 8601, as all times here. */
  readonly notBefore: string;
  readonly notAfter: string;
}

/** A rotation of the root that is under way. */
export interface Rotation {
  /** The step that is being done. */
  readonly step: 'make' | 'distribute' | 'issue' | 'remove';
  /** Ids of the roots. */
  readonly from: string;
  readonly to: string;
  /** How long a step waits at most for those who have not followed. */
  readonly graceSeconds: number;
  readonly requestedBy: string;
  readonly startedAt: string;
  readonly stepSince: string;
}

/** A rotation that is over. */
export interface PastRotation {
  readonly outcome: 'completed' | 'rolled back';
  readonly from: string;
  readonly to: string;
  readonly requestedBy: string;
  readonly startedAt: string;
  readonly endedAt: string;
}

/** How the authority stands. */
export interface AuthorityStatus {
  readonly source: 'own root' | 'plugged-in CA';
  /** Whether a passphrase protects the key at rest. */
  readonly encrypted: boolean;
  /** The certificate that signs. */
  readonly signing: AuthorityCertificate;
  /** The trusted roots; the first is the one that certificates lead to. */
  readonly roots: readonly AuthorityCertificate[];
  /** In a cluster: the replica that writes the root and the trust bundles; '' while none does. */
  readonly writer?: string | undefined;
  /** What is wrong with what the authority is kept in, as it is now; the last good one serves. */
  readonly problem?: string | undefined;
  readonly rotation?: Rotation | undefined;
  /** Workloads that a step waits for, some of them by name. */
  readonly waitingFor?: { readonly count: number; readonly names: readonly string[] } | undefined;
  readonly last?: PastRotation | undefined;
}
