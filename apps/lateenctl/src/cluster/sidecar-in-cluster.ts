// Cluster: the admin API of a pod's sidecar, which listens on the pod's loopback address only: by a port-forward.

import type { AdminPod } from '../mesh/sidecar-admin.js';
import type { PortForwards } from './port-forward.js';

const ADMIN_PORT = 15_000;

export async function sidecarInCluster(
  { forwards }: { readonly forwards: PortForwards },
  pod: Pick<AdminPod, 'name' | 'namespace' | 'address'>,
): Promise<AdminPod> {
  const { name, namespace } = pod;
  const endpoint = await forwards.open(async () => ({ namespace, name }), ADMIN_PORT);
  return { ...pod, admin: { ...endpoint, failure: () => forwards.failure?.message } };
}
