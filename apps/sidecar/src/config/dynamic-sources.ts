// Bootstrap: where listeners and clusters come from, from `dynamic_resources`, and whether every source that is named is there.

import type { Bootstrap } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { ConfigSource } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type ResourceSource, readResourceSource } from './files/resource-source.js';
import { findSourceClashes } from './store/clashes.js';
import { clusterReferences, listenerReferences, type References } from './store/references.js';
import { EMPTY_STATE } from './store/resource-state.js';
import { checkConfigSource, durationMs, type ProblemCollector } from './validate/field-checks.js';

export interface DynamicSources {
  /** Undefined where the bootstrap file has all of them. */
  readonly listeners: ResourceSource | undefined;
  readonly clusters: ResourceSource | undefined;
  /** How long a resource waits for what it refers to. */
  readonly initialFetchTimeoutMs: number;
}

/** As Envoy's default of `initial_fetch_timeout`. */
const DEFAULT_INITIAL_FETCH_TIMEOUT_MS = 15_000;

/** Undefined where nothing is dynamic. */
export function readDynamicSources({ dynamicResources }: Bootstrap, out: ProblemCollector): DynamicSources | undefined {
  if (dynamicResources === undefined) return undefined;
  const { ldsConfig, cdsConfig, adsConfig } = dynamicResources;
  for (const [field, source] of [
    ['lds_config', ldsConfig],
    ['cds_config', cdsConfig],
  ] as const) {
    if (source === undefined) continue;
    checkConfigSource(source, `dynamic_resources.${field}`, out);
    if (source.configSourceSpecifier.case === 'ads' && adsConfig === undefined) {
      out.add('dynamic_resources.ads_config', `is required by ${field}`);
    }
  }
  return {
    listeners: readResourceSource(ldsConfig),
    clusters: readResourceSource(cdsConfig),
    initialFetchTimeoutMs: Math.max(fetchTimeoutMs(ldsConfig), fetchTimeoutMs(cdsConfig)),
  };
}

function fetchTimeoutMs(source: ConfigSource | undefined): number {
  return source?.initialFetchTimeout === undefined
    ? DEFAULT_INITIAL_FETCH_TIMEOUT_MS
    : durationMs(source.initialFetchTimeout);
}

/** Static resources may take routes, endpoints and secrets from elsewhere: each name from one source that exists. */
export function checkStaticSources(
  resources: { readonly clusters: readonly Cluster[]; readonly listeners: readonly Listener[] },
  hasAds: boolean,
  pathOf: (resource: Cluster | Listener) => string,
  out: ProblemCollector,
): void {
  if (!hasAds) {
    const check = (resource: Cluster | Listener, references: References) => {
      const { routes, secrets, endpoints } = references;
      const sources = [...routes.values(), ...secrets.values(), ...(endpoints === undefined ? [] : [endpoints.source])];
      if (sources.includes('ads')) {
        out.add(pathOf(resource), 'takes something by ADS, but there is no dynamic_resources.ads_config');
      }
    };
    for (const cluster of resources.clusters) check(cluster, clusterReferences(cluster));
    for (const listener of resources.listeners) check(listener, listenerReferences(listener));
  }
  for (const { resourceName, message } of findSourceClashes(resources, EMPTY_STATE)) {
    const owner = [...resources.clusters, ...resources.listeners].find(({ name }) => name === resourceName);
    if (owner !== undefined) out.add(pathOf(owner), message);
  }
}
