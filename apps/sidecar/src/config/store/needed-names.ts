// Store: which endpoints, routes and secrets are referred to: what to subscribe, and what may be forgotten.

import { TYPE_URL } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { StaticResources } from './assemble-config.js';
import { clusterReferences, listenerReferences, type References } from './references.js';
import type { ResourceEntry, ResourceState } from './resource-state.js';

export interface NeededNames {
  readonly endpoints: ReadonlySet<string>;
  readonly routes: ReadonlySet<string>;
  /** Only those that come from the control plane. */
  readonly secrets: ReadonlySet<string>;
}

/** @param maps accepted and active listeners and clusters: what is in effect stays subscribed until it is replaced */
export function collectNeeded(
  statics: StaticResources,
  maps: readonly ReadonlyMap<string, ResourceEntry<Cluster | Listener>>[],
): NeededNames {
  const endpoints = new Set<string>();
  const routes = new Set<string>();
  const secrets = new Set<string>();
  const add = (references: References) => {
    if (references.endpoints !== undefined) endpoints.add(references.endpoints);
    for (const name of references.routes) routes.add(name);
    for (const [name, source] of references.secrets) if (source === 'ads') secrets.add(name);
  };
  for (const message of [...statics.clusters, ...statics.listeners]) add(referencesOf(message));
  for (const map of maps) for (const { value } of map.values()) add(referencesOf(value));
  return { endpoints, routes, secrets };
}

function referencesOf(message: Cluster | Listener): References {
  return message.$typeName === 'envoy.config.cluster.v3.Cluster'
    ? clusterReferences(message)
    : listenerReferences(message);
}

/** What nothing refers to any more is forgotten; the subscription for it has ended. */
export function dropUnneeded(state: ResourceState, needed: NeededNames): ResourceState {
  const endpoints = keep(state[TYPE_URL.endpoint], needed.endpoints);
  const routes = keep(state[TYPE_URL.route], needed.routes);
  const secrets = keep(state[TYPE_URL.secret], needed.secrets);
  return { ...state, [TYPE_URL.endpoint]: endpoints, [TYPE_URL.route]: routes, [TYPE_URL.secret]: secrets };
}

function keep<T>(map: ReadonlyMap<string, T>, names: ReadonlySet<string>): ReadonlyMap<string, T> {
  for (const name of map.keys()) {
    if (!names.has(name)) return new Map([...map].filter(([held]) => names.has(held)));
  }
  return map;
}
