// Resolve: which HealthCheck a client's cluster follows.

import { type ConfigObject, type HealthCheckSpec, hostMatches, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, StringMap } from '../../model.js';
import { configHash, configsOf } from '../../snapshot.js';
import { indexByNamespaceAndHost } from '../destination-rules.js';
import { isExportedTo, oncePerSnapshot } from '../mesh-index.js';

type Check = ConfigObject<'HealthCheck'>;

/** A HealthCheck as it holds for a cluster. */
export interface EffectiveHealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly spec: HealthCheckSpec;
  /** Equal hashes mean equal checks. */
  readonly hash: string;
}

/** The calls that a cluster is for. */
export interface CheckedCalls {
  readonly hostname: string;
  /** Of the service. */
  readonly namespace: string;
  readonly port: number;
  /** Undefined for the whole service. */
  readonly subset: string | undefined;
}

const checksByNamespace = oncePerSnapshot((snapshot) =>
  indexByNamespaceAndHost(configsOf(snapshot, 'HealthCheck'), snapshot.clusterDomain),
);

/** The checks that proxies of a namespace may follow. */
export function visibleHealthChecks(snapshot: MeshSnapshot, namespace: string): readonly Check[] {
  return configsOf(snapshot, 'HealthCheck').filter(({ metadata, spec }) =>
    isExportedTo(spec.exportTo, metadata.namespace, namespace),
  );
}

/**
 * The check for a client's calls: the client's namespace first, then the service's, then the root; in each the exact host
 * before wildcards, then the one that says more of caller, subset and port, then the oldest. Never several.
 */
export function resolveHealthCheck(
  snapshot: MeshSnapshot,
  client: { readonly namespace: string; readonly labels: StringMap },
  calls: CheckedCalls,
): EffectiveHealthCheck | undefined {
  for (const namespace of new Set([client.namespace, calls.namespace, snapshot.rootNamespace])) {
    const checks = checksByNamespace(snapshot).get(namespace);
    if (checks === undefined) continue;
    const patterns = [calls.hostname, ...checks.wildcards.filter((each) => hostMatches(each, calls.hostname))];
    for (const pattern of patterns) {
      const holding = (checks.byHost.get(pattern) ?? []).filter((check) => isFor(check, client, calls));
      const [best] = [...holding].sort((a, b) => precision(b) - precision(a));
      if (best === undefined) continue;
      return { namespace, name: best.metadata.name, spec: best.spec, hash: configHash(best) };
    }
  }
  return undefined;
}

function selects({ spec }: Check): boolean {
  return Object.keys(spec.workloadSelector?.matchLabels ?? {}).length > 0;
}

function isFor(
  check: Check,
  client: { readonly namespace: string; readonly labels: StringMap },
  { port, subset }: CheckedCalls,
): boolean {
  const { metadata, spec } = check;
  if (!isExportedTo(spec.exportTo, metadata.namespace, client.namespace)) return false;
  if (spec.port !== undefined && spec.port !== port) return false;
  if (spec.subset !== undefined && spec.subset !== subset) return false;
  if (!selects(check)) return true;
  // As a DestinationRule's, a selector is for callers of its own namespace.
  return metadata.namespace === client.namespace && selectorMatches(spec.workloadSelector?.matchLabels, client.labels);
}

function precision(check: Check): number {
  const { subset, port } = check.spec;
  return (selects(check) ? 4 : 0) + (subset === undefined ? 0 : 2) + (port === undefined ? 0 : 1);
}
