// Resolve: which endpoints a service itself wants called before others (Kubernetes's `trafficDistribution`).

import type { LocalityLbSetting } from '@lateen/istio-config';
import type { StringMap } from '../../model.js';

/** Endpoints that are preferred: those of the client's zone, or of its node and then of its zone. */
export type PreferredPlace = 'zone' | 'node';

/** Istio's annotation for Services of older clusters, and for ServiceEntries. */
const ANNOTATION = 'networking.istio.io/traffic-distribution';

const WORDS: Readonly<Record<string, PreferredPlace>> = {
  PreferClose: 'zone',
  PreferSameZone: 'zone',
  PreferSameNode: 'node',
};

/** As in Istio the field of the Service comes before the annotation, and other words mean nothing. */
export function preferredPlace(
  field: string | undefined,
  annotations: StringMap | undefined,
): PreferredPlace | undefined {
  return WORDS[field || (annotations?.[ANNOTATION] ?? '')];
}

const ZONE = ['topology.istio.io/network', 'topology.kubernetes.io/region', 'topology.kubernetes.io/zone'];

/** The label of the machine that a pod is on. */
export const NODE_LABEL = 'kubernetes.io/hostname';

/** The order that Istio makes of it. */
export const SETTING_OF_PLACE: Readonly<Record<PreferredPlace, LocalityLbSetting>> = {
  zone: { enabled: true, failoverPriority: ZONE },
  node: { enabled: true, failoverPriority: [...ZONE, 'topology.istio.io/subzone', NODE_LABEL] },
};
