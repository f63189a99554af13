// Resolve: where pods and endpoints are, REGION/ZONE/SUBZONE, as Istio reads it off labels.

import type { StringMap } from '../../model.js';
import { NODE_LABEL } from './preferred-place.js';

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** A locality in one label; `.` stands for `/`, which a label may not have. */
const LOCALITY_LABEL = 'istio-locality';
/** In this order. Kubernetes gives a node the first two, and since 1.35 its pods as well. */
const TOPOLOGY_LABELS = [
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.istio.io/subzone',
] as const;
const CLUSTER_LABEL = 'topology.istio.io/cluster';
const CLUSTER_ID = 'Kubernetes';

/** `REGION/ZONE/SUBZONE` of a workload; empty where its labels do not say. */
export function localityOfLabels(labels: StringMap): string {
  const whole = labels[LOCALITY_LABEL] ?? '';
  if (whole !== '') return whole.includes('/') ? whole : whole.replaceAll('.', '/');
  const parts = TOPOLOGY_LABELS.map((label) => labels[label] ?? '');
  return parts.every((part) => part === '') ? '' : parts.join('/');
}

/** The parts of `REGION/ZONE/SUBZONE`; those that are missing are empty. */
export function parseLocality(text: string): Locality {
  const [region = '', zone = '', subZone = ''] = text.split('/');
  return { region, zone, subZone };
}

/** Whether a locality is of those that a rule means: `*` is any, as is a part that the rule leaves out. */
export function isLocalityIn(locality: Locality, rule: string): boolean {
  const { region, zone, subZone } = parseLocality(rule);
  const fits = (part: string, wanted: string) => wanted === '*' || wanted === '' || part === wanted;
  const fitsRegion = region === '*' || region === locality.region;
  return fitsRegion && fits(locality.zone, zone) && fits(locality.subZone, subZone);
}

/** How far an endpoint is: 0 the same subzone, 1 the same zone, 2 the same region, 3 another region. */
export function distanceOf(from: Locality, to: Locality): number {
  if (from.region !== to.region) return 3;
  if (from.zone !== to.zone) return 2;
  return from.subZone === to.subZone ? 0 : 1;
}

/** Labels with those of locality and node over them, as Istio adds them to proxies and endpoints before it compares labels. */
export function withTopologyLabels(labels: StringMap, locality: string, node = ''): StringMap {
  const { region, zone, subZone } = parseLocality(locality);
  const topology = [region, zone, subZone].map((part, index) => [TOPOLOGY_LABELS[index]!, part] as const);
  return {
    ...labels,
    ...Object.fromEntries(topology.filter(([, part]) => part !== '')),
    ...(node === '' ? {} : { [NODE_LABEL]: node }),
    [CLUSTER_LABEL]: CLUSTER_ID,
  };
}
