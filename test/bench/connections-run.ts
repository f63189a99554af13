// Benchmark (f): thousands of connections at a fixed rate, and the memory of an idle one.

import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../harness/free-port.js';
import { holdIdleConnections } from './idle-connections.js';
import { type FixedRateLoad, runFixedRate } from './measure/h2load.js';
import { cpuUs, pssKiB, rssMiB } from './measure/process-usage.js';
import { rotated, type Spread, spread } from './measure/statistics.js';
import { type Backend, LOAD_CPU, type ProxyKind, startBackend, startProxy } from './proxies/start-proxy.js';
import { type BenchResult, goalOutcome } from './result.js';
import type { ConnectionsScenario } from './scenarios.js';

export interface ConnectionsRunOptions {
  readonly workDir: string;
  readonly proxies: readonly ProxyKind[];
  readonly rounds: number;
}

interface ConnectionsSample extends FixedRateLoad {
  readonly cpuUsPerRequest: number;
  readonly rssMiB: number;
  readonly idleConnectionKiB: number;
}

/** h2load lets all connections send together once a period, so the measured time must hold whole periods. */
const PERIODS = 3;
const MIN_LOAD_SECONDS = 6;
/** After connections opened or closed: until garbage and delayed frees are gone. */
const SETTLE_MS = 1500;

/** Open files that one process may have here. */
function openFileLimit(): number {
  const text = execFileSync('sh', ['-c', 'ulimit -n']).toString().trim();
  return text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text);
}

/** Why the scenario cannot run here, if so. */
export function connectionsUnavailable({ connections }: ConnectionsScenario): string | undefined {
  const limit = openFileLimit();
  const needed = connections + 2000; // the proxy's own, and its connections to the backend
  return limit >= needed ? undefined : `a process may open ${limit} files here, and ${needed} are needed (ulimit -n)`;
}

/** All rounds; one result for each proxy. Proxies run one at a time, since each holds so much. */
export async function runConnections(
  scenario: ConnectionsScenario,
  options: ConnectionsRunOptions,
): Promise<BenchResult[]> {
  const kinds = scenario.proxies.filter((kind) => options.proxies.includes(kind));
  const rounds: Map<ProxyKind, ConnectionsSample>[] = [];
  for (let index = 0; index < options.rounds; index++) {
    const directory = mkdtempSync(join(options.workDir, `${scenario.key}-`));
    const backend = await startBackend(directory, { count: 1, bodyBytes: 1024, manyConnections: true });
    const round = new Map<ProxyKind, ConnectionsSample>();
    try {
      for (const kind of rotated(kinds, index)) {
        const sample = await measure(scenario, kind, directory, backend);
        round.set(kind, sample);
        console.error(
          `(${scenario.key}) round ${index + 1}/${options.rounds} ${kind}: p99 ${sample.p99Ms.toFixed(1)} ms, ` +
            `${sample.idleConnectionKiB.toFixed(1)} KiB an idle connection, ${sample.failures} failures`,
        );
      }
    } finally {
      await backend.process.stop();
    }
    rounds.push(round);
  }
  return kinds.map((kind) => summarize(scenario, kind, kinds, rounds));
}

async function measure(
  scenario: ConnectionsScenario,
  kind: ProxyKind,
  directory: string,
  backend: Backend,
): Promise<ConnectionsSample> {
  const listenPort = await freePort();
  const options = { name: `round-${listenPort}`, listenPort, backendPorts: backend.ports, manyConnections: true };
  const proxy = await startProxy(kind, directory, options);
  try {
    const load = (connections: number, seconds: number, warmUpSeconds: number, rps: number) =>
      runFixedRate({
        url: `http://127.0.0.1:${listenPort}/`,
        headers: [],
        seconds,
        warmUpSeconds,
        connections,
        rps,
        cpus: LOAD_CPU,
      });
    await load(64, 2, 1, 2000); // warm: what is allotted once should not count for the connections
    await delay(SETTLE_MS);
    const before = pssKiB([proxy.pid]);
    const release = await holdIdleConnections(listenPort, scenario.connections);
    await delay(SETTLE_MS);
    const idleConnectionKiB = (pssKiB([proxy.pid]) - before) / scenario.connections;
    release();
    await delay(SETTLE_MS);
    const periodSeconds = Math.ceil(scenario.connections / scenario.rps);
    const seconds = Math.max(MIN_LOAD_SECONDS, PERIODS * periodSeconds);
    const warmUpSeconds = Math.max(2, periodSeconds);
    const cpuBefore = cpuUs([proxy.pid]);
    const loaded = await load(scenario.connections, seconds, warmUpSeconds, scenario.rps);
    const used = cpuUs([proxy.pid]) - cpuBefore;
    const served = loaded.requests * ((seconds + warmUpSeconds) / seconds);
    return { ...loaded, cpuUsPerRequest: used / served, rssMiB: rssMiB([proxy.pid]), idleConnectionKiB };
  } finally {
    await proxy.stop();
  }
}

function summarize(
  scenario: ConnectionsScenario,
  kind: ProxyKind,
  kinds: readonly ProxyKind[],
  rounds: readonly Map<ProxyKind, ConnectionsSample>[],
): BenchResult {
  const of = (round: Map<ProxyKind, ConnectionsSample>, which: ProxyKind) => round.get(which) as ConnectionsSample;
  const taken = rounds.map((round) => of(round, kind));
  const p99Ratio: Record<string, Spread> = {};
  for (const peer of kinds) {
    if (peer !== kind) p99Ratio[peer] = spread(rounds.map((round) => of(round, kind).p99Ms / of(round, peer).p99Ms));
  }
  const idleConnectionKiB = spread(taken.map((one) => one.idleConnectionKiB));
  const timeouts = taken.reduce((sum, one) => sum + one.timeouts, 0);
  const failures = taken.reduce((sum, one) => sum + one.failures, 0);
  const ratio = p99Ratio[scenario.p99Goal.peer];
  const goals = [
    ...(ratio === undefined
      ? []
      : [goalOutcome(`p99 / ${scenario.p99Goal.peer}`, scenario.p99Goal.atMost, ratio.median)]),
    goalOutcome('time-outs and failures', 0, Math.max(timeouts, failures)),
    goalOutcome('KiB an idle connection', scenario.idleKiBGoal, idleConnectionKiB.median),
  ];
  return {
    scenario: scenario.key,
    title: scenario.title,
    proxy: kind,
    cpuUsPerRequest: spread(taken.map((one) => one.cpuUsPerRequest)),
    rps: spread(taken.map((one) => one.rps)).median,
    p50Ms: spread(taken.map((one) => one.p50Ms)).median,
    p99Ms: spread(taken.map((one) => one.p99Ms)).median,
    latencyAt: `${scenario.rps} requests/s`,
    rssMiB: spread(taken.map((one) => one.rssMiB)).median,
    p99Ratio,
    idleConnectionKiB,
    timeouts,
    failures,
    rounds: taken.length,
    goals: kind === 'sidecar' ? goals : [],
  };
}
