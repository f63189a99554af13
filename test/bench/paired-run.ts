// Benchmark: runs every proxy of a scenario in turn, several rounds, so that the machine's noise meets all of them alike.

import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { cpuUs, rssMiB } from './cpu-usage.js';
import { type LoadResult, runLoad } from './load.js';
import { LOAD_CPU, type ProxyKind, type Scenario, type Topology } from './scenarios.js';

export interface BenchResult {
  readonly scenario: string;
  readonly title: string;
  readonly proxy: string;
  readonly cpuUsPerRequest: { readonly min: number; readonly median: number; readonly max: number };
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssMiB: number;
  /** This proxy's CPU over nginx's in the same round: min, median, max. Absent without nginx. */
  readonly ratioToNginx?: { readonly min: number; readonly median: number; readonly max: number };
  readonly goalRatio: number;
  readonly failures: number;
  readonly rounds: number;
}

export interface RunOptions {
  readonly workDir: string;
  readonly proxies: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
}

interface Sample extends LoadResult {
  readonly cpuUsPerRequest: number;
  readonly rssMiB: number;
}

const round = (value: number, digits = 2) => Number(value.toFixed(digits));

function spread(values: readonly number[]): { min: number; median: number; max: number } {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (position: number) => round(sorted[position] ?? Number.NaN);
  return { min: at(0), median: at(Math.floor(sorted.length / 2)), max: at(sorted.length - 1) };
}

async function sample(topology: Topology, seconds: number, connections: number): Promise<Sample> {
  const before = cpuUs(topology.measured);
  const load = await runLoad({ url: topology.url, headers: topology.headers, seconds, connections, cpus: LOAD_CPU });
  const used = cpuUs(topology.measured) - before;
  return {
    ...load,
    cpuUsPerRequest: used / load.requests / topology.hops,
    rssMiB: rssMiB(topology.measured) / topology.hops,
  };
}

/** All rounds of one scenario; one result for each proxy. */
export async function runPaired(scenario: Scenario, options: RunOptions): Promise<BenchResult[]> {
  const samples = new Map<string, Sample[]>(options.proxies.map((proxy) => [proxy, []]));
  for (let index = 0; index < options.rounds; index++) {
    for (const proxy of options.proxies) {
      const directory = mkdtempSync(join(options.workDir, `${scenario.key}-${proxy}-`));
      const topology = await scenario.start(proxy as ProxyKind, directory);
      try {
        await sample(topology, 3, options.connections); // warm-up: compilers, pools, caches
        const taken = await sample(topology, options.seconds, options.connections);
        samples.get(proxy)?.push(taken);
        console.error(
          `(${scenario.key}) round ${index + 1}/${options.rounds} ${proxy}: ${taken.cpuUsPerRequest.toFixed(2)} us/request, ` +
            `${taken.rps.toFixed(0)}/s, p99 ${taken.p99Ms.toFixed(2)} ms, ${taken.failures} failures`,
        );
      } finally {
        await topology.stop();
      }
    }
  }
  const nginx = samples.get('nginx') ?? [];
  return options.proxies.map((proxy) => {
    const taken = samples.get(proxy) ?? [];
    const ratios = taken.flatMap((one, index) => {
      const peer = nginx[index];
      return peer === undefined ? [] : [one.cpuUsPerRequest / peer.cpuUsPerRequest];
    });
    return {
      scenario: scenario.key,
      title: scenario.title,
      proxy,
      cpuUsPerRequest: spread(taken.map((one) => one.cpuUsPerRequest)),
      rps: spread(taken.map((one) => one.rps)).median,
      p50Ms: spread(taken.map((one) => one.p50Ms)).median,
      p99Ms: spread(taken.map((one) => one.p99Ms)).median,
      rssMiB: spread(taken.map((one) => one.rssMiB)).median,
      ...(ratios.length > 0 ? { ratioToNginx: spread(ratios) } : {}),
      goalRatio: scenario.goalRatio,
      failures: taken.reduce((sum, one) => sum + one.failures, 0),
      rounds: taken.length,
    };
  });
}
