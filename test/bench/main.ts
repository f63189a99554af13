// Benchmark entry: paired, repeated runs of each scenario against each proxy; writes the figures as JSON.
//
//   npm run bench -- --out FILE.json [--scenario a,b,c] [--proxies nginx,envoy,sidecar] [--rounds 3] [--slices 5]

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { obtainStockEnvoy } from '../harness/stock-envoy.js';
import { CONFIGURATION_SCENARIOS, runConfiguration } from './configuration/configuration-run.js';
import { connectionsUnavailable, runConnections } from './connections-run.js';
import { runPaired } from './paired-run.js';
import { PROXY_KINDS, type ProxyKind } from './proxies/start-proxy.js';
import { ensureSystemPrograms } from './proxies/system-programs.js';
import { formatReport } from './report.js';
import type { BenchResult } from './result.js';
import { CONNECTIONS_SCENARIOS, SCENARIOS } from './scenarios.js';

const KEYS = [...SCENARIOS, ...CONNECTIONS_SCENARIOS, ...CONFIGURATION_SCENARIOS].map((scenario) => scenario.key);

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    scenario: { type: 'string', default: KEYS.join(',') },
    proxies: { type: 'string', default: PROXY_KINDS.join(',') },
    rounds: { type: 'string', default: '3' },
    slices: { type: 'string', default: '5' },
    connections: { type: 'string', default: '64' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`npm run bench -- [--out FILE.json] [--scenario ${KEYS.join(',')}]`);
  console.log(`                 [--proxies ${PROXY_KINDS.join(',')}] [--rounds 3] [--slices 5] [--connections 64]`);
  console.log('A scenario key chooses those that begin with it: e stands for e-plain and e-tls.');
  process.exit(0);
}

function chosen<T extends string>(
  what: string,
  text: string,
  all: readonly T[],
  matches: (one: T, key: string) => boolean,
) {
  const keys = text.split(',');
  const unknown = keys.filter((key) => !all.some((one) => matches(one, key)));
  if (unknown.length > 0) {
    console.error(`unknown ${what} ${unknown.join(', ')}; there are ${all.join(', ')}`);
    process.exit(2);
  }
  return all.filter((one) => keys.some((key) => matches(one, key)));
}

function positive(name: 'rounds' | 'slices' | 'connections'): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${name} must be a whole number above 0, not ${values[name]}`);
  process.exit(2);
}

const wanted = chosen('scenario', values.scenario, KEYS, (one, key) => one === key || one.startsWith(`${key}-`));
let proxies: ProxyKind[] = chosen('proxy', values.proxies, PROXY_KINDS, (one, key) => one === key);
const options = { rounds: positive('rounds'), slices: positive('slices'), connections: positive('connections') };

// nginx is the backend too, and most goals are ratios to it.
const missing = ensureSystemPrograms(['nginx', 'wrk', 'h2load', ...(proxies.includes('haproxy') ? ['haproxy'] : [])]);
const needed = missing.filter((program) => program !== 'haproxy');
if (needed.length > 0) {
  console.error(
    `SKIPPED: the benchmark needs ${needed.join(' and ')}, which could not be installed from the system's packages.`,
  );
  console.error(
    'Install them (for example: apt-get install nginx-light wrk nghttp2-client) and run the command again.',
  );
  process.exit(process.env.CI === 'true' ? 0 : 2);
}
if (missing.includes('haproxy')) {
  console.error(
    "SKIPPED: haproxy could not be installed from the system's packages; it is left out of every scenario.",
  );
  proxies = proxies.filter((kind) => kind !== 'haproxy');
}
if (proxies.includes('envoy')) {
  const envoy = obtainStockEnvoy();
  if ('missing' in envoy) {
    console.error(`SKIPPED: no stock Envoy, it is left out of every scenario: ${envoy.missing}`);
    proxies = proxies.filter((kind) => kind !== 'envoy');
  }
}

const workDir = mkdtempSync(join(tmpdir(), 'lateen-bench-'));
const results: BenchResult[] = [];
const run = { workDir, proxies, ...options };

/** One scenario that fails does not take the hour of the others with it. */
async function collect(key: string, measure: () => Promise<BenchResult[]>): Promise<void> {
  if (!wanted.includes(key)) return;
  try {
    results.push(...(await measure()));
  } catch (error) {
    console.error(`FAILED: (${key}): ${(error as Error).message}`);
    process.exitCode = 1;
  }
}

try {
  for (const scenario of SCENARIOS) await collect(scenario.key, () => runPaired(scenario, run));
  for (const scenario of CONNECTIONS_SCENARIOS) {
    const reason = connectionsUnavailable(scenario);
    if (reason === undefined) await collect(scenario.key, () => runConnections(scenario, run));
    else if (wanted.includes(scenario.key)) console.error(`SKIPPED: (${scenario.key}): ${reason}`);
  }
  for (const scenario of CONFIGURATION_SCENARIOS) await collect(scenario.key, () => runConfiguration(scenario, run));
  console.log(formatReport(results));
} finally {
  if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(results, null, 2)}\n`);
  rmSync(workDir, { recursive: true, force: true });
}
