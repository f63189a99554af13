// Build: the endpoints of a cluster in localities with priorities and weights, as one client sees them (Istio's locality load
// balancing): fixed shares by `distribute`, else the nearest first where failures are noticed.

import type { LocalityLbSetting, MeshConfig, TrafficPolicy } from '@lateen/istio-config';
import type { StringMap } from '../../model.js';
import { type ClientPlace, priorityLabels } from '../../resolve/locality/client-place.js';
import { distanceOf, isLocalityIn, parseLocality, withTopologyLabels } from '../../resolve/locality/locality.js';
import { type PreferredPlace, SETTING_OF_PLACE } from '../../resolve/locality/preferred-place.js';

/** What is looked at of an endpoint. */
export interface PlacedEndpoint {
  readonly labels: StringMap;
  /** `REGION/ZONE/SUBZONE`, or empty. */
  readonly locality: string;
  readonly weight: number;
  /** The machine that it is on; left out where it is not known. */
  readonly node?: string;
}

/** Endpoints of one locality and priority. */
export interface LocalityGroup<Endpoint> {
  readonly locality: string;
  /** 0 is asked first; there is no gap below the last one. */
  readonly priority: number;
  readonly weight: number;
  readonly endpoints: readonly Endpoint[];
}

/** How endpoints are put into groups beyond their localities. */
export interface LocalityArrangement {
  readonly setting: LocalityLbSetting;
  readonly place: ClientPlace;
}

/** What the service itself prefers, where no rule says otherwise: then endpoints have an order in any case. */
function ownSettingOf({ loadBalancer }: TrafficPolicy, prefers: PreferredPlace | undefined) {
  return loadBalancer?.localityLbSetting !== undefined || prefers === undefined ? undefined : SETTING_OF_PLACE[prefers];
}

/** The rule's setting, else the service's, else the mesh's; undefined where it is turned off. */
function settingOf(
  policy: TrafficPolicy,
  mesh: MeshConfig,
  prefers: PreferredPlace | undefined,
): LocalityLbSetting | undefined {
  const { loadBalancer } = policy;
  const setting = ownSettingOf(policy, prefers) ?? loadBalancer?.localityLbSetting ?? mesh.localityLbSetting ?? {};
  return setting.enabled === false ? undefined : setting;
}

function isDistributed({ distribute = [] }: LocalityLbSetting): boolean {
  return distribute.length > 0;
}

/** How the endpoints of a cluster with this policy are arranged for a client; undefined: by their localities, all alike. */
export function arrangementOf(
  policy: TrafficPolicy,
  mesh: MeshConfig,
  place: ClientPlace,
  prefers?: PreferredPlace,
): LocalityArrangement | undefined {
  const setting = settingOf(policy, mesh, prefers);
  if (setting === undefined) return undefined;
  return isDistributed(setting) || isOrdered(policy, prefers) ? { setting, place } : undefined;
}

/** Without a preference of the service the nearest come first only where failures are noticed. */
function isOrdered(policy: TrafficPolicy, prefers: PreferredPlace | undefined): boolean {
  return policy.outlierDetection !== undefined || ownSettingOf(policy, prefers) !== undefined;
}

/** Whether the weights of localities count. As in Istio not for the failover that nobody asked for by name. */
export function isLocalityWeighted(policy: TrafficPolicy, mesh: MeshConfig, prefers?: PreferredPlace): boolean {
  const setting = settingOf(policy, mesh, prefers);
  if (setting === undefined) return false;
  const { failover = [], failoverPriority = [] } = setting;
  const isAsked = failover.length > 0 || failoverPriority.length > 0;
  return isDistributed(setting) || (isAsked && isOrdered(policy, prefers));
}

function sumOf(endpoints: readonly PlacedEndpoint[]): number {
  return endpoints.reduce((sum, { weight }) => sum + weight, 0);
}

/** Endpoints of a locality stand together; its weight is the sum of theirs. */
function byLocality<Endpoint extends PlacedEndpoint>(endpoints: readonly Endpoint[]): LocalityGroup<Endpoint>[] {
  const found = new Map<string, Endpoint[]>();
  for (const endpoint of endpoints) {
    const group = found.get(endpoint.locality);
    if (group) group.push(endpoint);
    else found.set(endpoint.locality, [endpoint]);
  }
  return [...found].map(([locality, group]) => ({ locality, priority: 0, weight: sumOf(group), endpoints: group }));
}

/** The endpoints of a cluster in groups. */
export function groupByLocality<Endpoint extends PlacedEndpoint>(
  endpoints: readonly Endpoint[],
  arrangement: LocalityArrangement | undefined,
): readonly LocalityGroup<Endpoint>[] {
  const groups = byLocality(endpoints);
  if (arrangement === undefined) return groups;
  const { setting, place } = arrangement;
  if (isDistributed(setting)) return distribute(groups, setting, place);
  const { failover = [], failoverPriority = [] } = setting;
  if (failoverPriority.length === 0) return withoutGaps(failOver(groups, failover, place));
  const ordered = orderByLabels(groups, failoverPriority, place);
  return withoutGaps(failover.length === 0 ? ordered : failOver(ordered, failover, place));
}

/** More exact targets come first, so that a wildcard means the rest. */
function targetsOf(to: Readonly<Record<string, number>>): readonly (readonly [string, number])[] {
  return Object.entries(to).sort(([a], [b]) => b.replace(/\*$/, '').length - a.replace(/\*$/, '').length);
}

/** The shares of the first entry that is for the client; what it does not name gets nothing. */
function distribute<Endpoint extends PlacedEndpoint>(
  groups: readonly LocalityGroup<Endpoint>[],
  { distribute: entries = [] }: LocalityLbSetting,
  place: ClientPlace,
): readonly LocalityGroup<Endpoint>[] {
  const client = parseLocality(place.locality);
  const entry = entries.find(({ from = '' }) => isLocalityIn(client, from));
  if (entry === undefined) return groups;
  const left = new Set(groups);
  const weights = new Map<LocalityGroup<Endpoint>, number>();
  for (const [target, share] of targetsOf(entry.to ?? {})) {
    const meant = [...left].filter(({ locality }) => isLocalityIn(parseLocality(locality), target));
    const total = meant.reduce((sum, { weight }) => sum + weight, 0);
    for (const group of meant) {
      left.delete(group);
      weights.set(group, Math.ceil((group.weight * share) / total));
    }
  }
  return groups.filter((group) => weights.has(group)).map((group) => ({ ...group, weight: weights.get(group)! }));
}

/** Distances that may be among endpoints whose labels differ alike: 0 to 4. */
const DISTANCES = 5;

/** The nearest first; of other regions the one that `failover` names before the rest. */
function failOver<Endpoint extends PlacedEndpoint>(
  groups: readonly LocalityGroup<Endpoint>[],
  failover: NonNullable<LocalityLbSetting['failover']>,
  place: ClientPlace,
): readonly LocalityGroup<Endpoint>[] {
  const client = parseLocality(place.locality);
  const rule = failover.find(({ from }) => (from ?? '') === client.region);
  return groups.map((group) => {
    const locality = parseLocality(group.locality);
    const distance = distanceOf(client, locality);
    const isElsewhere = distance === 3 && rule !== undefined && locality.region !== (rule.to ?? '');
    return { ...group, priority: group.priority * DISTANCES + (isElsewhere ? 4 : distance) };
  });
}

/** The more labels agree from the first on, the earlier an endpoint is asked. */
function orderByLabels<Endpoint extends PlacedEndpoint>(
  groups: readonly LocalityGroup<Endpoint>[],
  failoverPriority: readonly string[],
  place: ClientPlace,
): readonly LocalityGroup<Endpoint>[] {
  const wanted = priorityLabels(failoverPriority);
  // As in Istio a value that is given for a label holds wherever the label is named.
  const given = new Map(wanted.flatMap(({ label, value }) => (value === undefined ? [] : [[label, value] as const])));
  const wantedValue = (label: string) => given.get(label) ?? place.labels[label] ?? '';
  const priorityOf = ({ labels, locality, node }: Endpoint) => {
    const own = withTopologyLabels(labels, locality, node);
    const differs = wanted.findIndex(({ label }) => wantedValue(label) !== (own[label] ?? ''));
    return differs < 0 ? 0 : wanted.length - differs;
  };
  return groups.flatMap((group) => {
    const found = new Map<number, Endpoint[]>();
    for (const endpoint of group.endpoints) {
      const priority = priorityOf(endpoint);
      found.set(priority, [...(found.get(priority) ?? []), endpoint]);
    }
    return [...found]
      .sort(([a], [b]) => a - b)
      .map(([priority, endpoints]) => ({ ...group, priority, weight: sumOf(endpoints), endpoints }));
  });
}

/** Envoy's priorities begin at 0 and leave none out. */
function withoutGaps<Endpoint>(groups: readonly LocalityGroup<Endpoint>[]): readonly LocalityGroup<Endpoint>[] {
  const inUse = [...new Set(groups.map(({ priority }) => priority))].sort((a, b) => a - b);
  return groups.map((group) => ({ ...group, priority: inUse.indexOf(group.priority) }));
}
