// Benchmark (h): a proxy on ADS in a mesh of N services: start to ready, memory above a bare Node process, table compilation.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { adsBootstrap } from '../../harness/ads-bootstrap.js';
import { startControlPlane } from '../../harness/control-plane.js';
import { freePort } from '../../harness/free-port.js';
import { httpGet } from '../../harness/http-get.js';
import { cpuUs, pssKiB, rssMiB } from '../measure/process-usage.js';
import { rotated, spread } from '../measure/statistics.js';
import { bootstrapCommand, PROXY_CPU } from '../proxies/start-proxy.js';
import { type BenchResult, goalOutcome } from '../result.js';
import { meshSnapshot } from './mesh-resources.js';

export interface ConfigurationScenario {
  readonly key: string;
  readonly title: string;
  readonly services: number;
  /** MiB of PSS above a bare Node process. */
  readonly pssGoalMiB: number;
  readonly readyGoalMs: number;
  /** CPU milliseconds to compile the tables in a fresh process. */
  readonly tablesGoalMs: number;
}

const configurationScenario = (key: string, services: number, pssGoalMiB: number): ConfigurationScenario => ({
  key,
  title: `configuration of ${services.toLocaleString('en')} services with 10 endpoints each, by ADS`,
  services,
  pssGoalMiB,
  readyGoalMs: 400,
  tablesGoalMs: 200,
});

export const CONFIGURATION_SCENARIOS: readonly ConfigurationScenario[] = [
  configurationScenario('h-100', 100, 40),
  configurationScenario('h-1k', 1000, 80),
];

type Kind = 'envoy' | 'sidecar';

interface Sample {
  readonly readyMs: number;
  readonly readyCpuMs: number;
  readonly pssMiB: number;
  readonly rssMiB: number;
  readonly nodePssMiB: number;
  readonly tableCompileMs: number | undefined;
}

const COMPILE_ONCE = fileURLToPath(new URL('./compile-once.js', import.meta.url));
const READY_LIMIT_MS = 30_000;
const POLL_MS = 5;
/** After readiness, until garbage and delayed work of the start are gone. */
const SETTLE_MS = 2000;

async function isReady(adminPort: number): Promise<boolean> {
  try {
    return (await httpGet(`http://127.0.0.1:${adminPort}/ready`)).status === 200;
  } catch {
    return false; // it does not listen yet
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** PSS of a Node process that does nothing, beside the same other processes. */
async function barePssMiB(): Promise<number> {
  const child = spawn('taskset', ['-c', PROXY_CPU, process.execPath, '-e', 'setInterval(() => {}, 1 << 30)']);
  try {
    await delay(SETTLE_MS);
    return pssKiB([child.pid ?? 0]) / 1024;
  } finally {
    await end(child);
  }
}

async function measure(kind: Kind, services: number, directory: string): Promise<Sample> {
  const control = await startControlPlane();
  const adminPort = await freePort();
  control.publish(meshSnapshot(services, await freePort()));
  const path = join(directory, `${kind}.json`);
  writeFileSync(path, JSON.stringify(adsBootstrap({ apiType: 'DELTA_GRPC', controlPort: control.port, adminPort })));
  const argv = bootstrapCommand(kind, path);
  if (kind === 'sidecar') argv.push('--state-dir', mkdtempSync(join(directory, 'state-')));
  const startedAt = performance.now();
  const child = spawn('taskset', ['-c', PROXY_CPU, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    while (!(await isReady(adminPort))) {
      if (child.exitCode !== null) throw new Error(`${kind} ended with ${child.exitCode} before it was ready`);
      if (performance.now() - startedAt > READY_LIMIT_MS) throw new Error(`${kind} is not ready`);
      await delay(POLL_MS);
    }
    const readyMs = performance.now() - startedAt;
    const readyCpuMs = cpuUs([child.pid ?? 0]) / 1000;
    if (control.nacks.length > 0) throw new Error(`${kind} refused its configuration: ${control.nacks[0]}`);
    await delay(SETTLE_MS);
    const pid = child.pid ?? 0;
    const nodePssMiB = await barePssMiB();
    const compile = () =>
      // As a sidecar starts: with optimizing held off (packages/telemetry/src/held-optimizer.ts).
      Number(execFileSync('taskset', ['-c', PROXY_CPU, process.execPath, '--no-opt', COMPILE_ONCE, String(services)]));
    return {
      readyMs,
      readyCpuMs,
      pssMiB: pssKiB([pid]) / 1024,
      rssMiB: rssMiB([pid]),
      nodePssMiB,
      tableCompileMs: kind === 'sidecar' ? compile() : undefined,
    };
  } finally {
    await end(child);
    control.stop();
  }
}

/** All rounds; one result for Envoy and one for the sidecar, as far as they are chosen. */
export async function runConfiguration(
  scenario: ConfigurationScenario,
  options: { readonly workDir: string; readonly proxies: readonly string[]; readonly rounds: number },
): Promise<BenchResult[]> {
  const kinds = (['envoy', 'sidecar'] as const).filter((kind) => options.proxies.includes(kind));
  const samples = new Map<Kind, Sample[]>(kinds.map((kind) => [kind, []]));
  for (let index = 0; index < options.rounds; index++) {
    const directory = mkdtempSync(join(options.workDir, `${scenario.key}-`));
    for (const kind of rotated(kinds, index)) {
      const sample = await measure(kind, scenario.services, directory);
      samples.get(kind)?.push(sample);
      const { readyMs, pssMiB, nodePssMiB } = sample;
      console.error(
        `(${scenario.key}) round ${index + 1}/${options.rounds} ${kind}: ready after ${readyMs.toFixed(0)} ms, ` +
          `${pssMiB.toFixed(1)} MiB (a bare node ${nodePssMiB.toFixed(1)})`,
      );
    }
  }
  return kinds.map((kind) => summarize(scenario, kind, samples.get(kind) ?? []));
}

function summarize(scenario: ConfigurationScenario, kind: Kind, taken: readonly Sample[]): BenchResult {
  const pssAboveNodeMiB = spread(taken.map((one) => one.pssMiB - one.nodePssMiB));
  const readyMs = spread(taken.map((one) => one.readyMs));
  const compiles = taken.flatMap(({ tableCompileMs }) => (tableCompileMs === undefined ? [] : [tableCompileMs]));
  return {
    scenario: scenario.key,
    title: scenario.title,
    proxy: kind,
    rssMiB: spread(taken.map((one) => one.rssMiB)).median,
    pssMiB: spread(taken.map((one) => one.pssMiB)),
    pssAboveNodeMiB,
    readyMs,
    readyCpuMs: spread(taken.map((one) => one.readyCpuMs)),
    ...(compiles.length > 0 ? { tableCompileMs: spread(compiles) } : {}),
    failures: 0,
    rounds: taken.length,
    goals:
      kind === 'sidecar'
        ? [
            goalOutcome('PSS above a bare Node process, MiB', scenario.pssGoalMiB, pssAboveNodeMiB.median),
            goalOutcome('start to ready, ms', scenario.readyGoalMs, readyMs.median),
            goalOutcome('tables compiled, CPU ms', scenario.tablesGoalMs, spread(compiles).median),
          ]
        : [],
  };
}
