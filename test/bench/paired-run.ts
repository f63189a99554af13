// Benchmark: the proxies of a scenario side by side in every round, loaded by turns in short slices, so that the machine's
// changes of speed meet all of them alike.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FixedRateLoad, runFixedRate, runFullSpeedHttp2 } from './measure/h2load.js';
import { cpuUs, rssMiB } from './measure/process-usage.js';
import { cpuUsPerRequest, rotated, roundRatio, type Slice, type Spread, spread } from './measure/statistics.js';
import { type FullSpeedLoad, runFullSpeed } from './measure/wrk.js';
import { LOAD_CPU, type ProxyKind, startBackend } from './proxies/start-proxy.js';
import { type BenchResult, goalOutcome } from './result.js';
import type { Scenario, Topology } from './scenarios.js';

export interface RunOptions {
  readonly workDir: string;
  readonly proxies: readonly ProxyKind[];
  readonly rounds: number;
  /** One-second slices for each proxy in a round. */
  readonly slices: number;
  readonly connections: number;
}

/** What one proxy did in one round. */
interface ProxyRound {
  readonly slices: (Slice & { readonly load: FullSpeedLoad })[];
  readonly fixedRate: FixedRateLoad[];
  rssMiB: number;
}

const SLICE_SECONDS = 1;
/** Until compilers, pools and caches are warm; on a machine that is slow or busy that takes longer than some seconds. */
const WARM_UP_REQUESTS = 30_000;
const WARM_UP_NEW_CONNECTIONS = 5000;
const MAX_WARM_UP_SECONDS = 15;
const FIXED_RATE_SLICES = 3;
/** Share of the slowest proxy's throughput that all of them are offered when latency is measured. */
const BELOW_SATURATION = 0.4;

/** All rounds of one scenario; one result for each proxy. */
export async function runPaired(scenario: Scenario, options: RunOptions): Promise<BenchResult[]> {
  const kinds = scenario.proxies.filter((kind) => options.proxies.includes(kind));
  const rounds: Map<ProxyKind, ProxyRound>[] = [];
  for (let index = 0; index < options.rounds; index++) {
    const round = await runRound(scenario, kinds, options);
    rounds.push(round);
    const shown = [...round].map(([kind, { slices }]) => `${kind} ${cpuUsPerRequest(slices).toFixed(2)}`);
    console.error(`(${scenario.key}) round ${index + 1}/${options.rounds}, us/request: ${shown.join(', ')}`);
  }
  return kinds.map((kind) => summarize(scenario, kind, kinds, rounds));
}

async function runRound(
  scenario: Scenario,
  kinds: readonly ProxyKind[],
  options: RunOptions,
): Promise<Map<ProxyKind, ProxyRound>> {
  const directory = mkdtempSync(join(options.workDir, `${scenario.key}-`));
  const backend = await startBackend(directory, scenario.backend);
  const running = new Map<ProxyKind, Topology>();
  const round = new Map<ProxyKind, ProxyRound>(kinds.map((kind) => [kind, { slices: [], fixedRate: [], rssMiB: 0 }]));
  const of = <T>(map: Map<ProxyKind, T>, kind: ProxyKind) => map.get(kind) as T;
  try {
    for (const kind of kinds) running.set(kind, await scenario.start(kind, directory, backend));
    const connections = scenario.http2?.connections ?? options.connections;
    const bodyFile = scenario.requestBody === undefined ? undefined : join(directory, 'request-body');
    if (bodyFile !== undefined) writeFileSync(bodyFile, scenario.requestBody ?? '', 'latin1');
    const load = (kind: ProxyKind, seconds: number) => {
      const { url } = of(running, kind);
      const asked = { url, headers: scenario.headers, seconds, connections, bodyFile, cpus: LOAD_CPU };
      return scenario.http2 === undefined ? runFullSpeed(asked) : runFullSpeedHttp2(asked, scenario.http2.streams);
    };
    const warmUpRequests = scenario.newConnections ? WARM_UP_NEW_CONNECTIONS : WARM_UP_REQUESTS;
    for (const kind of kinds) {
      let served = 0;
      for (let second = 0; second < MAX_WARM_UP_SECONDS && served < warmUpRequests; second++) {
        served += (await load(kind, 1)).requests;
      }
      if (served < warmUpRequests) {
        console.error(
          `(${scenario.key}) ${kind}: only ${served} requests of warm-up; its figures may be those of cold code`,
        );
      }
    }
    for (let slice = 0; slice < options.slices; slice++) {
      for (const kind of rotated(kinds, slice)) {
        const { measured, hops } = of(running, kind);
        const before = cpuUs(measured);
        const loaded = await load(kind, SLICE_SECONDS);
        const used = (cpuUs(measured) - before) / hops;
        of(round, kind).slices.push({ cpuUs: used, requests: loaded.requests, load: loaded });
      }
    }
    for (const kind of kinds) {
      const { measured, hops } = of(running, kind);
      of(round, kind).rssMiB = rssMiB(measured) / hops;
    }
    if (!scenario.newConnections) {
      const slowest = Math.min(...[...round.values()].map(({ slices }) => fullSpeedRps(slices)));
      const rps = Math.max(connections, Math.round((slowest * BELOW_SATURATION) / 100) * 100);
      for (let slice = 0; slice < FIXED_RATE_SLICES; slice++) {
        for (const kind of rotated(kinds, slice)) {
          const { url } = of(running, kind);
          of(round, kind).fixedRate.push(await fixedRateSlice(url, scenario, connections, rps, bodyFile));
        }
      }
    }
    return round;
  } finally {
    for (const topology of running.values()) await topology.stop();
    await backend.process.stop();
  }
}

function fixedRateSlice(
  url: string,
  { headers, http2 }: Scenario,
  connections: number,
  rps: number,
  bodyFile: string | undefined,
) {
  const timing = { seconds: SLICE_SECONDS, warmUpSeconds: 1 };
  return runFixedRate({ url, headers, connections, rps, bodyFile, streams: http2?.streams, cpus: LOAD_CPU, ...timing });
}

function fullSpeedRps(slices: readonly Slice[]): number {
  return slices.reduce((sum, slice) => sum + slice.requests, 0) / (slices.length * SLICE_SECONDS);
}

function summarize(
  scenario: Scenario,
  kind: ProxyKind,
  kinds: readonly ProxyKind[],
  rounds: readonly Map<ProxyKind, ProxyRound>[],
): BenchResult {
  const taken = rounds.map((round) => round.get(kind) as ProxyRound);
  const cpuRatio: Record<string, Spread> = {};
  for (const peer of kinds) {
    if (peer === kind) continue;
    cpuRatio[peer] = spread(
      rounds.map((round) => roundRatio((round.get(kind) as ProxyRound).slices, (round.get(peer) as ProxyRound).slices)),
    );
  }
  const goals = kind === 'sidecar' ? scenario.cpuGoals : [];
  const fixed = taken.flatMap(({ fixedRate }) => fixedRate);
  const full = taken.flatMap(({ slices }) => slices.map(({ load }) => load));
  const latency: readonly { p50Ms: number; p99Ms: number }[] = fixed.length > 0 ? fixed : full;
  const offered = fixed.map(({ offeredRps }) => offeredRps);
  return {
    scenario: scenario.key,
    title: scenario.title,
    proxy: kind,
    cpuUsPerRequest: spread(taken.map(({ slices }) => cpuUsPerRequest(slices))),
    rps: spread(taken.map(({ slices }) => fullSpeedRps(slices))).median,
    p50Ms: spread(latency.map(({ p50Ms }) => p50Ms)).median,
    p99Ms: spread(latency.map(({ p99Ms }) => p99Ms)).median,
    latencyAt: offered.length > 0 ? `${spread(offered).median} requests/s` : 'full speed (not comparable)',
    rssMiB: spread(taken.map((one) => one.rssMiB)).median,
    cpuRatio,
    requests: taken.reduce((sum, { slices }) => slices.reduce((total, slice) => total + slice.requests, sum), 0),
    failures: [...full, ...fixed].reduce((sum, one) => sum + one.failures, 0),
    rounds: taken.length,
    goals: goals.flatMap(({ peer, atMost }) => {
      const ratio = cpuRatio[peer];
      return ratio === undefined ? [] : [goalOutcome(`CPU / ${peer}`, atMost, ratio.median)];
    }),
  };
}
