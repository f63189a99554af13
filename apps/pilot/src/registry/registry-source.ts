// Registry: what a source of it is to the snapshot: the supervisor of local mode, or a cluster's API server.

import type { NamedCredential } from '@lateen/translate';
import type { Registry } from './registry-store.js';

/** A Secret that configuration names. */
export type CredentialName = NamedCredential;

export interface RegistrySource {
  /** Undefined before there is a first one. */
  readonly current: Registry | undefined;
  /** Why there is none. */
  missing(): string | undefined;
  /**
   * Which Secrets are asked for from now on. Returns which of them are not known yet, and will be told by a change; a
   * snapshot without them would take away what gateways have.
   */
  follow(names: readonly CredentialName[]): string | undefined;
  /** Resolves when everything that was taken is stored. */
  close(): Promise<void>;
}
