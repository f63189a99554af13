// Store: which endpoints, routes and secrets are referred to: what to subscribe, and what may be forgotten.

import { TYPE_URL } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ResourceSource } from '../files/resource-source.js';
import type { StaticResources } from './assemble-config.js';
import { clusterReferences, listenerReferences, type References } from './references.js';
import type { ResourceEntry, ResourceState } from './resource-state.js';

/** Names with the source that each comes from. */
export type NamedSources = ReadonlyMap<string, ResourceSource>;

export interface NeededNames {
  readonly endpoints: NamedSources;
  readonly routes: NamedSources;
  /** Without the own identity's and those of the bootstrap file. */
  readonly secrets: NamedSources;
}

/** @param maps accepted and active listeners and clusters: what is in effect stays subscribed until it is replaced */
export function collectNeeded(
  statics: StaticResources,
  maps: readonly ReadonlyMap<string, ResourceEntry<Cluster | Listener>>[],
): NeededNames {
  const endpoints = new Map<string, ResourceSource>();
  const routes = new Map<string, ResourceSource>();
  const secrets = new Map<string, ResourceSource>();
  const put = (map: Map<string, ResourceSource>, name: string, source: ResourceSource) => {
    if (!map.has(name)) map.set(name, source);
  };
  const add = (references: References) => {
    if (references.endpoints !== undefined) put(endpoints, references.endpoints.name, references.endpoints.source);
    for (const [name, source] of references.routes) put(routes, name, source);
    for (const [name, source] of references.secrets) {
      if (source !== 'local' && source !== 'static') put(secrets, name, source);
    }
  };
  for (const message of [...statics.clusters, ...statics.listeners]) add(referencesOf(message));
  for (const map of maps) for (const { value } of map.values()) add(referencesOf(value));
  return { endpoints, routes, secrets };
}

export function referencesOf(message: Cluster | Listener): References {
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

function keep<T>(map: ReadonlyMap<string, T>, names: NamedSources): ReadonlyMap<string, T> {
  for (const name of map.keys()) {
    if (!names.has(name)) return new Map([...map].filter(([held]) => names.has(held)));
  }
  return map;
}
