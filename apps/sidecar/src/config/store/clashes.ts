// Store: names that would mean two things: a resource that the bootstrap file has as well, or one that two sources give.

import { TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ConfigProblem } from '../../data-plane.js';
import { describeSource, type ResourceSource, sourceKey } from '../files/resource-source.js';
import type { StaticResources } from './assemble-config.js';
import { referencesOf } from './needed-names.js';
import type { ResourceChange, ResourceState } from './resource-state.js';

/** Listeners and clusters of an update that the bootstrap file has, which stay. */
export function findStaticClashes(statics: StaticResources, { typeUrl, upserts }: ResourceChange): ConfigProblem[] {
  const names =
    typeUrl === TYPE_URL.listener
      ? statics.listenerNames
      : typeUrl === TYPE_URL.cluster
        ? statics.clusterNames
        : undefined;
  if (names === undefined) return [];
  return upserts
    .filter(({ name }) => names.has(name))
    .map(({ name }) => ({
      resourceType: typeUrl,
      resourceName: name,
      path: 'name',
      message: 'the bootstrap file has one of this name, which stays',
    }));
}

/** Those that a batch brought; the bootstrap file's were looked for at the start. */
export function findNewSourceClashes(
  statics: StaticResources,
  next: ResourceState,
  good: ResourceState,
): ConfigProblem[] {
  if (next[TYPE_URL.cluster] === good[TYPE_URL.cluster] && next[TYPE_URL.listener] === good[TYPE_URL.listener])
    return [];
  return findSourceClashes(statics, next).filter(({ resourceType, resourceName }) => {
    const typeUrl = resourceType as XdsTypeUrl;
    return next[typeUrl].get(resourceName)?.value !== good[typeUrl].get(resourceName)?.value;
  });
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
