// Identity: waits for the first certificate.

import type { IdentitySource, WorkloadIdentity } from '@lateen/identity';

/** Resolves as soon as the source has an identity. */
export function firstIdentity(source: IdentitySource): Promise<WorkloadIdentity> {
  if (source.current !== undefined) return Promise.resolve(source.current);
  return new Promise((resolve) => {
    const unsubscribe = source.subscribe((identity) => {
      unsubscribe();
      resolve(identity);
    });
  });
}
