// Debug API: everything that the present snapshot is made of, from which who asks can make the same one.

import type { MeshSnapshot, SnapshotInput } from '@lateen/translate';

export function describeMesh({
  meshConfig,
  namespaces,
  services,
  workloads,
  tokenKeys,
  configsByKind,
}: MeshSnapshot): SnapshotInput {
  return { meshConfig, namespaces, services, workloads, tokenKeys, configs: [...configsByKind.values()].flat() };
}
