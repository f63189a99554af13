// Peers: answers about proxies, which each replica has for its own proxies only, joined to one.

import type { DistributionReport, ProxyDistribution } from '@lateen/telemetry';
import { type DistributionQuery, OWN_ONLY } from '../distribution/distribution-query.js';
import type { PeerAnswer, PeerPilot, PeerPilots } from './peer-pilots.js';

const ASK_MS = 5_000;
/** A proxy that is connected nowhere may be between two replicas. */
const LOOK_AGAIN_MS = 500;

/** A replica that could not be asked, and why. */
export interface Unasked {
  readonly name: string;
  readonly reason: string;
}

export interface Joined<T> {
  readonly value: T;
  readonly unasked: readonly Unasked[];
}

function own(path: string, query: URLSearchParams): string {
  const asked = new URLSearchParams(query);
  asked.set(OWN_ONLY, 'true');
  return `${path}?${asked}`;
}

async function askAll(
  peers: PeerPilots,
  path: string,
  timeoutMs: number,
): Promise<{ readonly answers: readonly (PeerAnswer & PeerPilot)[]; readonly unasked: readonly Unasked[] }> {
  const answers: (PeerAnswer & PeerPilot)[] = [];
  const unasked: Unasked[] = [];
  await Promise.all(
    peers.list().map(async (peer) => {
      try {
        answers.push({ ...peer, ...(await peers.get(peer, path, timeoutMs)) });
      } catch (error) {
        unasked.push({ name: peer.name, reason: (error as Error).message });
      }
    }),
  );
  return { answers: answers.sort((a, b) => (a.name < b.name ? -1 : 1)), unasked };
}

/** The proxies of all replicas. Of one that has just moved there may be two; the one that connected last counts. */
export async function joinedList<T extends { readonly proxyId: string; readonly connectedSince: string }>(
  peers: PeerPilots,
  path: string,
  ownList: readonly T[],
): Promise<Joined<readonly T[]>> {
  const { answers, unasked } = await askAll(peers, own(path, new URLSearchParams()), ASK_MS);
  const lists = answers.filter(({ status, body }) => status === 200 && Array.isArray(body));
  const newest = new Map<string, T>();
  for (const each of [...ownList, ...lists.flatMap(({ body }) => body as readonly T[])]) {
    const other = newest.get(each.proxyId);
    if (other === undefined || other.connectedSince < each.connectedSince) newest.set(each.proxyId, each);
  }
  return { value: [...newest.values()].sort((a, b) => (a.proxyId < b.proxyId ? -1 : 1)), unasked };
}

/** What the replica says that a proxy is connected to; undefined where it is connected to none of the others. */
export async function answerOfPeer(
  peers: PeerPilots,
  path: string,
  query: URLSearchParams,
): Promise<PeerAnswer | undefined> {
  const { answers } = await askAll(peers, own(path, query), ASK_MS);
  return answers.find(({ status }) => status === 200);
}

/** Where replicas differ, a proxy has moved from one to another: what it has taken at either of them it has. */
function joinedProxies(reports: readonly DistributionReport[]): readonly ProxyDistribution[] {
  const byId = new Map<string, ProxyDistribution>();
  for (const each of reports.flatMap(({ proxies }) => proxies)) {
    const other = byId.get(each.proxyId);
    if (other === undefined || other.state !== 'taken') byId.set(each.proxyId, each);
  }
  return [...byId.values()].sort((a, b) => (a.proxyId < b.proxyId ? -1 : 1));
}

function joinedReport(
  reports: readonly (DistributionReport & { readonly name: string })[],
  unasked: readonly Unasked[],
  proxyIds: readonly string[],
): DistributionReport {
  const proxies = joinedProxies(reports);
  const late = reports.find((report) => report.waitingFor !== undefined);
  const absent = proxyIds.find((named) => !proxies.some(({ proxyId }) => proxyId === named));
  const [silent] = unasked;
  const waitingFor =
    (late && `${late.name}: ${late.waitingFor}`) ??
    (silent && `${silent.name}, which cannot be asked: ${silent.reason}`) ??
    (absent && `${absent}, which is not connected to any replica of pilot`);
  const complete = waitingFor === undefined && proxies.every(({ state }) => state === 'taken');
  return { complete, ...(waitingFor === undefined ? {} : { waitingFor }), proxies };
}

/**
 * Waits until a change is everywhere, refused somewhere, or the time is over, at all replicas.
 *
 * @param ask waits at this one
 */
export async function joinedDistribution(
  peers: PeerPilots,
  path: string,
  params: URLSearchParams,
  query: DistributionQuery,
  ask: (query: DistributionQuery) => Promise<DistributionReport>,
  gone: AbortSignal,
): Promise<DistributionReport> {
  const endsAtMs = performance.now() + query.timeoutMs;
  for (;;) {
    const timeoutMs = Math.max(0, Math.round(endsAtMs - performance.now()));
    const left = new URLSearchParams(params);
    left.set('timeoutMs', String(timeoutMs));
    const [here, others] = await Promise.all([
      ask({ ...query, timeoutMs, ownProxiesOnly: true }),
      askAll(peers, own(path, left), timeoutMs + ASK_MS),
    ]);
    const there = others.answers.map(({ name, status, body }) =>
      status === 200
        ? { ...(body as DistributionReport), name }
        : { name, complete: false, waitingFor: JSON.stringify(body), proxies: [] },
    );
    const report = joinedReport([{ ...here, name: peers.self }, ...there], others.unasked, query.proxyIds);
    const isDecided = report.waitingFor === undefined && report.proxies.every(({ state }) => state !== 'pending');
    const leftMs = endsAtMs - performance.now();
    if (isDecided || leftMs <= 0 || gone.aborted) return report;
    await new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_AGAIN_MS, leftMs)));
  }
}
