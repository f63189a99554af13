// Distribution: whether every connected proxy has taken a change, for `lateenctl apply --wait` and `lateenctl wait`.

import type { DistributionReport, ProxyDistribution } from '@lateen/telemetry';
import { addressedHosts, type MeshSnapshot } from '@lateen/translate';
import { shortTypeName } from '@lateen/xds-proto';
import type { AdsClientStanding, AdsSubscriber } from '@lateen/xds-stream';
import type { Arrivals } from '../config/arrivals.js';
import type { ProxyStatus } from '../push/proxy-source.js';
import type { PublishedSnapshot } from '../snapshot/snapshot-builder.js';
import type { DistributionQuery } from './distribution-query.js';

export interface DistributionSources {
  readonly arrivals: Arrivals;
  /** Whether an object, by NAMESPACE/NAME, is held. */
  readonly holds: (typeUrl: string, name: string) => boolean;
  readonly snapshots: {
    readonly current: PublishedSnapshot | undefined;
    /** Newest change that was looked at. */
    readonly covered: number;
    missing(): string | undefined;
  };
  /** How the connected clients stand with a snapshot's revision. */
  readonly standings: (revision: number) => readonly AdsClientStanding[];
  readonly proxyIdOf: (client: AdsSubscriber) => string;
  readonly statuses: () => readonly ProxyStatus[];
  /** A supervisor that gives pods addresses for hosts is connected. */
  readonly addressesAreGiven: () => boolean;
}

/** What is known from one look to the next. */
export interface DistributionProgress {
  /** Change that has to be shown beside what the query names. */
  readonly atLeast: number;
  /** Revision of the first snapshot in which every host of a ServiceEntry has its addresses; they come as a change of their own. */
  addressed?: number;
}

/** Looks how far a change has come. */
export function lookAtDistribution(
  sources: DistributionSources,
  query: DistributionQuery,
  progress: DistributionProgress,
): DistributionReport {
  const { snapshots } = sources;
  const change = changeOf(sources, query, progress.atLeast);
  if (typeof change === 'string') return { complete: false, waitingFor: change, proxies: [] };
  const { current } = snapshots;
  if (current === undefined || snapshots.covered < change) {
    const waitingFor = snapshots.missing() ?? 'the next snapshot, which is about to be made';
    return { complete: false, waitingFor, proxies: [] };
  }
  const unaddressed = asksForHosts(query) && sources.addressesAreGiven() ? missingAddress(current.mesh) : undefined;
  if (unaddressed === undefined && asksForHosts(query)) progress.addressed ??= current.revision;
  // Where the change made no difference there is no snapshot of it, and the one before shows it too.
  const shown = proxiesAt(sources, query, Math.min(change, current.revision));
  const { addressed } = progress;
  const proxies = addressed === undefined ? shown : laterOf(shown, proxiesAt(sources, query, addressed));
  const waitingFor = unaddressed ?? absentProxy(query, proxies);
  const complete = waitingFor === undefined && proxies.every(({ state }) => state === 'taken');
  return { complete, ...(waitingFor === undefined ? {} : { waitingFor }), proxies };
}

/** Of a proxy that was named and is not connected nobody can say what it has. */
function absentProxy(
  { proxyIds, ownProxiesOnly }: DistributionQuery,
  proxies: readonly ProxyDistribution[],
): string | undefined {
  if (ownProxiesOnly === true) return undefined;
  const absent = proxyIds.find((named) => !proxies.some(({ proxyId }) => proxyId === named));
  return absent && `${absent}, which is not connected to pilot`;
}

/** Of two looks at the same proxies the one that is not taken yet. */
function laterOf(proxies: readonly ProxyDistribution[], others: readonly ProxyDistribution[]): ProxyDistribution[] {
  const byId = new Map(others.map((each) => [each.proxyId, each]));
  return proxies.map((each) => (each.state === 'taken' ? (byId.get(each.proxyId) ?? each) : each));
}

function asksForHosts({ configs }: DistributionQuery): boolean {
  return configs.some(({ typeUrl }) => kindOf(typeUrl) === 'ServiceEntry');
}

/** The change to be shown, or what has not come yet. */
function changeOf({ arrivals, holds }: DistributionSources, query: DistributionQuery, atLeast: number) {
  let change = atLeast;
  for (const { typeUrl, version } of query.configs) {
    const arrived = arrivals.changeOf(typeUrl, version);
    if (arrived === undefined) return `${kindOf(typeUrl)} of version ${version} from galley`;
    change = Math.max(change, arrived);
  }
  for (const { typeUrl, name } of query.absent) {
    const arrived = arrivals.newestOf(typeUrl);
    if (arrived === undefined || holds(typeUrl, name)) return `galley to say that ${kindOf(typeUrl)} ${name} is gone`;
    change = Math.max(change, arrived);
  }
  return change;
}

function kindOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.indexOf('/') + 1);
}

function proxiesAt(
  { standings, proxyIdOf, statuses }: DistributionSources,
  { proxyIds }: DistributionQuery,
  revision: number,
): ProxyDistribution[] {
  const faults = new Map(statuses().map((status) => [status.proxyId, status.faults]));
  // While a proxy reconnects it may have two streams: the newer one counts.
  const newest = new Map<string, AdsClientStanding>();
  for (const each of standings(revision)) {
    const proxyId = proxyIdOf(each.client);
    const other = newest.get(proxyId);
    if (other === undefined || other.client.connectedAtMs <= each.client.connectedAtMs) newest.set(proxyId, each);
  }
  return [...newest]
    .filter(([proxyId]) => proxyIds.length === 0 || proxyIds.includes(proxyId))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([proxyId, { standing }]): ProxyDistribution => {
      if (standing.state === 'taken') return { proxyId, state: 'taken' };
      if (standing.state === 'refused') {
        const reasons = standing.refusals.map(({ typeUrl, error }) => ({
          type: shortTypeName(typeUrl),
          reason: error,
        }));
        return { proxyId, state: 'refused', reasons };
      }
      const withheld = faults.get(proxyId) ?? [];
      if (withheld.length > 0) {
        return { proxyId, state: 'withheld', reasons: withheld.map(({ message }) => ({ type: '', reason: message })) };
      }
      return { proxyId, state: 'pending', pending: standing.typeUrls.map(shortTypeName) };
    });
}

/** Without interception a host of a ServiceEntry is called at an address that the supervisor has yet to give. */
function missingAddress(mesh: MeshSnapshot): string | undefined {
  const pods = mesh.workloads.filter(
    ({ gateway, serviceAddresses }) => !gateway && Object.keys(serviceAddresses).length > 0,
  );
  for (const { host, namespaces } of addressedHosts(mesh)) {
    const pod = pods.find(
      ({ namespace, serviceAddresses }) =>
        (namespaces.length === 0 || namespaces.includes(namespace)) && serviceAddresses[host] === undefined,
    );
    if (pod !== undefined) return `an address of ${pod.name}.${pod.namespace} for ${host} from the supervisor`;
  }
  return undefined;
}
