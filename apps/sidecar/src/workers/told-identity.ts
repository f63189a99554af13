// Workers: the proxy's own identity as a worker knows it: it comes with the secrets from the first process, which alone asks for it.

import { type IdentitySource, identityFromPem, type WorkloadIdentity } from '@lateen/identity';
import type { TlsSecret } from '../data-plane.js';
import { OWN_CERTIFICATE, OWN_ROOTS } from '../identity/own-identity.js';

export class ToldIdentity implements IdentitySource {
  #current: WorkloadIdentity | undefined;
  readonly #listeners = new Set<(identity: WorkloadIdentity) => void>();

  get current(): WorkloadIdentity | undefined {
    return this.#current;
  }

  subscribe(listener: (identity: WorkloadIdentity) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes the identity that is among these secrets, where there is one. */
  take(secrets: ReadonlyMap<string, TlsSecret>): void {
    const [own, roots] = [secrets.get(OWN_CERTIFICATE), secrets.get(OWN_ROOTS)];
    if (own?.kind !== 'certificate' || roots?.kind !== 'validation') return;
    const { certificateChainPem: certChainPem, privateKeyPem: keyPem } = own;
    if (this.#current?.certChainPem === certChainPem && this.#current.rootsPem === roots.trustedCaPem) return;
    this.#current = identityFromPem({ certChainPem, keyPem, rootsPem: roots.trustedCaPem });
    for (const listener of [...this.#listeners]) listener(this.#current);
  }
}
