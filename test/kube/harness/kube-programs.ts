// Test cluster: where the built programs are, and whether there can be a cluster at all.

import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface KubePrograms {
  /** Kubernetes's programs in one; its first argument names which. */
  readonly kube: string;
  /** Nodes, containers and namespaces. */
  readonly machine: string;
  readonly coredns: string;
  /** Stock kubectl, of the version of the API server. */
  readonly kubectl: string;
  /** Where clusters keep their files: a memory file system that ends with the namespaces. */
  readonly state: string;
}

/**
 * The programs that `npm run test:kube` built. Undefined where there is no cluster and its tests are skipped, which is said loudly.
 *
 * @throws Error in CI
 */
export function requireKubePrograms(): KubePrograms | undefined {
  const programs = process.env.LATEEN_KUBE_PROGRAMS;
  const state = process.env.LATEEN_KUBE_STATE;
  if (programs !== undefined && state !== undefined) {
    const kube = join(programs, 'kube');
    const kubectl = join(programs, 'kubectl');
    if (!existsSync(kubectl)) symlinkSync('kube', kubectl);
    return { kube, kubectl, machine: join(programs, 'machine'), coredns: join(programs, 'coredns'), state };
  }
  const reason =
    'no test cluster: run these tests with `npm run test:kube`, which builds Kubernetes and makes its namespaces';
  if (process.env.CI === 'true') throw new Error(reason);
  console.error(`\nSKIPPED: ${reason}\n`);
  return undefined;
}
