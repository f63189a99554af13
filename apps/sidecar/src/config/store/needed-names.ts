// Store: which endpoints, routes and secrets are referred to: what to subscribe, and what may be forgotten.

import { TYPE_URL } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ConfigProblem } from '../../data-plane.js';
import { describeSource, type ResourceSource, sourceKey } from '../files/resource-source.js';
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

function keep<T>(map: ReadonlyMap<string, T>, names: NamedSources): ReadonlyMap<string, T> {
  for (const name of map.keys()) {
    if (!names.has(name)) return new Map([...map].filter(([held]) => names.has(held)));
  }
  return map;
}

/**
 * Resources are known by name alone, so a name cannot come from two sources: the listener or cluster that names the second
 * one is at fault.
 */
export function findSourceClashes(
  statics: Pick<StaticResources, 'clusters' | 'listeners'>,
  state: ResourceState,
): ConfigProblem[] {
  const first = new Map<string, ResourceSource>();
  const problems: ConfigProblem[] = [];
  const check = (message: Cluster | Listener, resourceType: string) => {
    const { routes, secrets, endpoints } = referencesOf(message);
    const all: [kind: string, name: string, source: ResourceSource | 'local' | 'static'][] = [
      ...[...routes].map(([name, source]) => ['route configuration', name, source] as [string, string, ResourceSource]),
      ...[...secrets].map(([name, source]) => ['secret', name, source] as [string, string, ResourceSource]),
    ];
    if (endpoints !== undefined) all.push(['endpoint set', endpoints.name, endpoints.source]);
    for (const [kind, name, source] of all) {
      if (source === 'local' || source === 'static') continue;
      const known = first.get(`${kind}\n${name}`);
      if (known === undefined) first.set(`${kind}\n${name}`, source);
      else if (sourceKey(known) !== sourceKey(source)) {
        const text = `${kind} ${JSON.stringify(name)} comes from ${describeSource(known)} elsewhere, and from ${describeSource(source)} here; use one source, or two names`;
        problems.push({ resourceType, resourceName: message.name, path: '', message: text });
      }
    }
  };
  for (const cluster of statics.clusters) check(cluster, TYPE_URL.cluster);
  for (const listener of statics.listeners) check(listener, TYPE_URL.listener);
  for (const { value } of state[TYPE_URL.cluster].values()) check(value, TYPE_URL.cluster);
  for (const { value } of state[TYPE_URL.listener].values()) check(value, TYPE_URL.listener);
  return problems;
}
