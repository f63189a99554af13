// Store: whether what a listener or a cluster refers to is there.

import { TYPE_URL } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { clusterReferences, listenerReferences, type References } from './references.js';
import type { ResourceState } from './resource-state.js';

/** What is known besides the state itself. */
export interface KnownSecrets {
  readonly local: ReadonlyMap<string, unknown>;
  readonly static: ReadonlyMap<string, unknown>;
}

export function isClusterReady(cluster: Cluster, state: ResourceState, secrets: KnownSecrets): boolean {
  const references = clusterReferences(cluster);
  if (references.endpoints !== undefined && !state[TYPE_URL.endpoint].has(references.endpoints.name)) return false;
  return hasReferences(references, state, secrets);
}

export function isListenerReady(listener: Listener, state: ResourceState, secrets: KnownSecrets): boolean {
  return hasReferences(listenerReferences(listener), state, secrets);
}

function hasReferences(references: References, state: ResourceState, secrets: KnownSecrets): boolean {
  for (const name of references.routes.keys()) if (!state[TYPE_URL.route].has(name)) return false;
  for (const [name, source] of references.secrets) {
    const known = source === 'local' ? secrets.local : source === 'static' ? secrets.static : state[TYPE_URL.secret];
    if (!known.has(name)) return false;
  }
  return true;
}
