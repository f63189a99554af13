// Store: puts static resources and those in effect together to what the data path takes.

import { TYPE_URL } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { DataPlaneConfig, TlsSecret } from '../../data-plane.js';
import { tlsSecretOf, watchedDirectoryOf } from '../files/secret-files.js';
import { clusterReferences, listenerReferences } from './references.js';
import type { ResourceEntry, ResourceState } from './resource-state.js';

/** What the bootstrap file says, for the life of the process. */
export interface StaticResources {
  readonly listeners: readonly Listener[];
  readonly listenerNames: ReadonlySet<string>;
  readonly clusters: readonly Cluster[];
  readonly clusterNames: ReadonlySet<string>;
  readonly secrets: ReadonlyMap<string, TlsSecret>;
  /** Those of them whose files are followed. */
  readonly watchedSecrets: readonly Secret[];
}

export function createStaticResources(resources: {
  readonly listeners: readonly Listener[];
  readonly clusters: readonly Cluster[];
  readonly secrets: readonly Secret[];
}): StaticResources {
  const secrets = new Map<string, TlsSecret>();
  for (const secret of resources.secrets) {
    const value = tlsSecretOf(secret);
    if (value !== undefined) secrets.set(secret.name, value);
  }
  return {
    listeners: resources.listeners,
    listenerNames: new Set(resources.listeners.map(({ name }) => name)),
    clusters: resources.clusters,
    clusterNames: new Set(resources.clusters.map(({ name }) => name)),
    secrets,
    watchedSecrets: resources.secrets.filter((secret) => watchedDirectoryOf(secret) !== undefined),
  };
}

/** Secrets whose files are followed: those that came by SDS, and what has a watched directory. */
export function followedSecrets(
  statics: StaticResources,
  state: ResourceState,
  clusters: ReadonlyMap<string, ResourceEntry<Cluster>>,
  listeners: ReadonlyMap<string, ResourceEntry<Listener>>,
): Secret[] {
  return [
    ...statics.watchedSecrets,
    ...valuesOf(state[TYPE_URL.secret]),
    ...[...statics.clusters, ...valuesOf(clusters)].flatMap((cluster) => clusterReferences(cluster).fileSecrets),
    ...[...statics.listeners, ...valuesOf(listeners)].flatMap((listener) => listenerReferences(listener).fileSecrets),
  ];
}

export interface AssembleInput {
  readonly statics: StaticResources;
  /** The own identity, by secret name. */
  readonly local: ReadonlyMap<string, TlsSecret>;
  readonly state: ResourceState;
  /** In effect. */
  readonly clusters: ReadonlyMap<string, ResourceEntry<Cluster>>;
  readonly listeners: ReadonlyMap<string, ResourceEntry<Listener>>;
  /** Endpoints that were found by DNS. */
  readonly discoveredOf?: ((cluster: Cluster) => ClusterLoadAssignment | undefined) | undefined;
}

export function assembleConfig({
  statics,
  local,
  state,
  clusters,
  listeners,
  discoveredOf,
}: AssembleInput): DataPlaneConfig {
  const secrets = new Map<string, TlsSecret>();
  const put = (message: Secret) => {
    const secret = tlsSecretOf(message);
    if (secret !== undefined) secrets.set(message.name, secret);
  };
  for (const message of followedSecrets(statics, state, clusters, listeners)) put(message);
  // The bootstrap file's take the place of the control plane's.
  for (const [name, secret] of statics.secrets) secrets.set(name, secret);
  for (const message of statics.watchedSecrets) put(message);
  for (const [name, secret] of local) secrets.set(name, secret);
  const allClusters = [...statics.clusters, ...valuesOf(clusters)];
  const discovered = new Map<string, ClusterLoadAssignment>();
  for (const cluster of allClusters) {
    const assignment = discoveredOf?.(cluster);
    if (assignment !== undefined) discovered.set(cluster.name, assignment);
  }
  return {
    discovered,
    listeners: [...statics.listeners, ...valuesOf(listeners)],
    routes: valueMap(state[TYPE_URL.route]),
    clusters: allClusters,
    endpoints: valueMap(state[TYPE_URL.endpoint]),
    secrets,
  };
}

function valuesOf<T>(entries: ReadonlyMap<string, ResourceEntry<T>>): T[] {
  return [...entries.values()].map(({ value }) => value);
}

const valueMaps = new WeakMap<object, ReadonlyMap<string, unknown>>();

/** The same map for the same entries, so that an update of one type leaves the others recognisably unchanged. */
function valueMap<T>(entries: ReadonlyMap<string, ResourceEntry<T>>): ReadonlyMap<string, T> {
  let map = valueMaps.get(entries) as ReadonlyMap<string, T> | undefined;
  if (map === undefined) {
    map = new Map([...entries].map(([name, { value }]) => [name, value]));
    valueMaps.set(entries, map);
  }
  return map;
}
