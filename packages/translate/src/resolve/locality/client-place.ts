// Resolve: where a client is, as far as some configuration asks for it: which of its endpoints are near.

import type { TrafficPolicy } from '@lateen/istio-config';
import type { MeshSnapshot, StringMap } from '../../model.js';
import { configsOf } from '../../snapshot.js';
import { stableJson } from '../../stable-hash.js';
import { meshIndex, oncePerSnapshot } from '../mesh-index.js';
import { withTopologyLabels } from './locality.js';
import { SETTING_OF_PLACE } from './preferred-place.js';

/** A client's place. The same for all clients that nothing tells apart by where they are. */
export interface ClientPlace {
  /** `REGION/ZONE/SUBZONE`, or empty. */
  readonly locality: string;
  /** Those of its labels by which rules order endpoints. */
  readonly labels: StringMap;
  /** Equal keys mean equal places. */
  readonly key: string;
}

/** Of a client that nobody asks for its place. */
export const NOWHERE: ClientPlace = { locality: '', labels: {}, key: '' };

/** One entry of failoverPriority: `LABEL`, whose value is the client's, or `LABEL=VALUE`. */
export interface PriorityLabel {
  readonly label: string;
  /** Undefined: the client's. */
  readonly value: string | undefined;
}

/** As Istio: what has more than one `=` is a label alone. */
export function priorityLabels(failoverPriority: readonly string[]): readonly PriorityLabel[] {
  return failoverPriority.map((text) => {
    const parts = text.split('=');
    return { label: parts[0]!, value: parts.length === 2 ? parts[1] : undefined };
  });
}

/** Whether any policy asks where clients are, and by which labels endpoints are ordered. */
const askedFor = oncePerSnapshot((snapshot) => {
  const rules = configsOf(snapshot, 'DestinationRule').flatMap(({ spec }) => [spec, ...(spec.subsets ?? [])]);
  const policies = rules.flatMap(({ trafficPolicy }): Pick<TrafficPolicy, 'loadBalancer' | 'outlierDetection'>[] =>
    trafficPolicy === undefined ? [] : [trafficPolicy, ...(trafficPolicy.portLevelSettings ?? [])],
  );
  const preferred = new Set(meshIndex(snapshot).services.flatMap(({ prefers }) => prefers ?? []));
  const settings = [
    ...[...preferred].map((place) => SETTING_OF_PLACE[place]),
    snapshot.meshConfig.localityLbSetting,
    ...policies.map(({ loadBalancer }) => loadBalancer?.localityLbSetting),
  ];
  // Without shares only failover asks, and that is for those whose failures are noticed.
  const locality =
    preferred.size > 0 ||
    policies.some(({ outlierDetection }) => outlierDetection !== undefined) ||
    settings.some((setting) => (setting?.distribute?.length ?? 0) > 0);
  const labels = settings.flatMap((setting) => priorityLabels(setting?.failoverPriority ?? []));
  return { locality, labels: new Set(labels.filter(({ value }) => value === undefined).map(({ label }) => label)) };
});

/**
 * The place of a client.
 *
 * @param locality `REGION/ZONE/SUBZONE`, or empty
 * @param labels all labels of the client
 * @param node the machine that it is on; empty where there is only one
 */
export function resolveClientPlace(
  snapshot: MeshSnapshot,
  locality: string,
  labels: StringMap,
  node = '',
): ClientPlace {
  const asked = askedFor(snapshot);
  if (!asked.locality) return NOWHERE;
  const all = withTopologyLabels(labels, locality, node);
  const own = Object.fromEntries(Object.entries(all).filter(([label]) => asked.labels.has(label)));
  return { locality, labels: own, key: stableJson([locality, own]) };
}
