// Long test: what it costs to open a connection through redirect rules and a proxy, against none, one after the other and at a
// fixed rate; outbound to where it was opened to, and inbound to the application. As root, on Linux.
//
//   node test/dist/long/intercepted-connections.js [SECONDS] [CONNECTIONS A SECOND] [ROUNDS]

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { cpuUs } from '../bench/measure/process-usage.js';
import { REPOSITORY } from '../harness/repository.js';
import { obtainStockEnvoy } from '../harness/stock-envoy.js';
import { waitUntil } from '../harness/wait-until.js';
import {
  APP,
  CLIENT,
  POD,
  PodNetwork,
  PROXY,
  PROXY_UID,
  REDIRECT_RULES,
  sidecarProgram,
  whyNoNamespaces,
} from '../kube/interception/pod-network.js';

const SECONDS = Number(process.argv[2] ?? 10);
const PER_SECOND = Number(process.argv[3] ?? 1000);
const ONE_BY_ONE = 2000;
const ROUNDS = Number(process.argv[4] ?? 3);
/** Each has a set of ports of its own: application and proxy together use up those of one within a minute. */
const ELSEWHERE = Array.from({ length: 20 }, (_, index) => `203.0.113.${index + 1}`);
const PORT = '7000';

interface Churned {
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly seconds: number;
}

/** The file of the tests without access logs: neither proxy writes any. */
function withoutLogs(directory: string): string {
  const text = readFileSync(join(REPOSITORY, 'test', 'kube', 'interception', 'intercepting.yaml'), 'utf8');
  const strip = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(strip);
    if (typeof value !== 'object' || value === null) return value;
    const kept = Object.entries(value).filter(([name]) => name !== 'access_log');
    return Object.fromEntries(kept.map(([name, each]) => [name, strip(each)]));
  };
  const file = join(directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(strip(parse(text))));
  return file;
}

async function measure(name: string, command: readonly string[] | undefined): Promise<void> {
  const network = new PodNetwork();
  try {
    network.addOutside(...ELSEWHERE);
    const servers = [
      network.serve(CLIENT, 'tcp', 'elsewhere', '0.0.0.0', PORT),
      network.serve(APP, 'tcp', 'app', '0.0.0.0', PORT),
    ];
    await waitUntil('the servers listen', () => servers.every((server) => server.output().includes('listening')));
    if (command !== undefined) {
      network.redirect(REDIRECT_RULES);
      const proxy = network.start(PROXY, command);
      await waitUntil(`${name} serves`, async () => {
        const talked = await network.ask(APP, 'talk', ELSEWHERE[0]!, PORT, 'x');
        return 'error' in talked ? undefined : proxy.pid > 0;
      });
    }
    for (const [way, place, address] of [
      ['outbound', APP, ELSEWHERE.join(',')],
      ['inbound', CLIENT, POD.ipv4],
    ] as const) {
      const churn = (count: number, rate: number) =>
        network.ask<Churned>(place, 'churn', address, PORT, String(count), String(rate));
      await churn(ONE_BY_ONE, 0);
      const single = await churn(ONE_BY_ONE, 0);
      const pids = network.pidsOf(PROXY_UID);
      const before = command === undefined ? 0 : cpuUs(pids);
      const rated = await churn(SECONDS * PER_SECOND, PER_SECOND);
      const spent = command === undefined ? 0 : cpuUs(pids) - before;
      const made = SECONDS * PER_SECOND;
      console.log(
        `${name} ${way}: one by one p50 ${single.p50Ms.toFixed(3)} ms, p99 ${single.p99Ms.toFixed(2)} ms; ` +
          `${(made / rated.seconds).toFixed(0)} a second: p50 ${rated.p50Ms.toFixed(2)} ms, p99 ${rated.p99Ms.toFixed(1)} ms, ` +
          `${single.failed + rated.failed} failed, ${(spent / made).toFixed(0)} µs of CPU each`,
      );
    }
  } finally {
    await network.close();
  }
}

const obstacle = whyNoNamespaces();
if (obstacle !== undefined) process.exit(1);
const directory = mkdtempSync(join(tmpdir(), 'lateen-intercepted-'));
try {
  const bootstrap = withoutLogs(directory);
  chmodSync(directory, 0o755);
  const envoy = obtainStockEnvoy();
  if ('missing' in envoy) console.error(`without Envoy: ${envoy.missing}`);
  for (let round = 1; round <= ROUNDS; round++) {
    console.log(`round ${round} of ${ROUNDS}`);
    await measure('no proxy', undefined);
    const state = join(tmpdir(), `lateen-${process.pid}-${round}`);
    await measure('sidecar', [process.execPath, sidecarProgram(), '-c', bootstrap, '--state-dir', state]);
    rmSync(state, { recursive: true, force: true });
    if ('path' in envoy) await measure('Envoy', [envoy.path, '-c', bootstrap, '--concurrency', '1', '-l', 'error']);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
