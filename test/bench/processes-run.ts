// Benchmark entry: what a second process brings: the sidecar with one and with two, and stock Envoy with as many threads, on the
// same two cores as the load generator and the backend. Built, then: node test/dist/bench/processes-run.js [ROUNDS] [SECONDS]

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../harness/free-port.js';
import { obtainStockEnvoy } from '../harness/stock-envoy.js';
import { type PinnedProcess, startPinned } from './measure/pinned-process.js';
import { cpuUs } from './measure/process-usage.js';
import { rotated, spread } from './measure/statistics.js';
import { runFullSpeed } from './measure/wrk.js';
import { writeBootstrap } from './proxies/bootstrap-file.js';
import { type CertificateFiles, createCertificateFiles } from './proxies/certificates.js';
import { nginxBackend } from './proxies/nginx-config.js';
import { bootstrapCommand } from './proxies/start-proxy.js';
import { ensureSystemPrograms } from './proxies/system-programs.js';

const CPUS = '0,1';
const CONNECTIONS = 64;

interface Candidate {
  readonly name: string;
  readonly url: string;
  readonly process: PinnedProcess;
}

interface Measured {
  readonly rps: number;
  readonly cpuUsPerRequest: number;
  readonly p99Ms: number;
}

function withConcurrency(argv: readonly string[], concurrency: number): string[] {
  const at = argv.indexOf('--concurrency');
  const plain = at < 0 ? argv : argv.filter((_, index) => index !== at && index !== at + 1);
  return [...plain, '--concurrency', String(concurrency)];
}

async function startCandidate(
  kind: 'sidecar' | 'envoy',
  concurrency: number,
  directory: string,
  backendPorts: readonly number[],
  tls: CertificateFiles | undefined,
): Promise<Candidate> {
  const name = `${kind}-${concurrency}${tls === undefined ? '' : '-tls'}`;
  const listenPort = await freePort();
  const path = writeBootstrap({
    ...{ directory, adminPort: await freePort(), name, listenPort, backendPorts },
    ...(tls === undefined ? {} : { acceptTls: tls, anyClient: true }),
  });
  const argv = withConcurrency(bootstrapCommand(kind, path), concurrency);
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${listenPort}/`;
  return { name, url, process: await startPinned(name, CPUS, argv, listenPort) };
}

async function measure({ url, process }: Candidate, seconds: number, headers: readonly string[]): Promise<Measured> {
  const before = cpuUs([process.pid]);
  const { rps, requests, p99Ms, failures } = await runFullSpeed({
    ...{ url, seconds, connections: CONNECTIONS, headers, cpus: CPUS },
  });
  if (failures > 0) throw new Error(`${url}: ${failures} requests failed`);
  return { rps, cpuUsPerRequest: (cpuUs([process.pid]) - before) / requests, p99Ms };
}

function median(values: readonly number[]): string {
  return spread(values).median.toFixed(2);
}

async function compare(title: string, candidates: readonly Candidate[], headers: readonly string[]): Promise<void> {
  const [, , rounds = '5', seconds = '3'] = process.argv;
  const found = new Map<string, Measured[]>(candidates.map(({ name }) => [name, []]));
  for (const candidate of candidates) await measure(candidate, Number(seconds), headers);
  for (let round = 0; round < Number(rounds); round++) {
    for (const candidate of rotated(candidates, round)) {
      found.get(candidate.name)?.push(await measure(candidate, Number(seconds), headers));
    }
  }
  console.log(title);
  for (const { name } of candidates) {
    const all = found.get(name) ?? [];
    // The same proxy with one process or thread, in the same round.
    const one = found.get(name.replace(/-\d/, '-1')) ?? [];
    const ratios = all.map(({ rps }, round) => rps / (one[round]?.rps ?? Number.NaN));
    const cpu = median(all.map(({ cpuUsPerRequest }) => cpuUsPerRequest));
    const p99 = median(all.map(({ p99Ms }) => p99Ms));
    const rps = spread(all.map((each) => each.rps)).median.toFixed(0);
    console.log(
      `  ${name}: ${rps} rps, ${median(ratios)} of one; ${cpu} us of CPU a request; p99 ${p99} ms at full speed`,
    );
  }
}

const missing = ensureSystemPrograms(['nginx', 'wrk']);
if (missing.length > 0) throw new Error(`there is no ${missing.join(', ')}`);
const directory = mkdtempSync(join(tmpdir(), 'lateen-processes-'));
const started: PinnedProcess[] = [];
try {
  const backendPort = await freePort();
  const backend = nginxBackend({ bodyBytes: 1024, directory, ports: [backendPort] });
  started.push(await startPinned('backend', CPUS, backend, backendPort));
  const certificates = await createCertificateFiles(join(directory, 'certificates'));
  const envoys = 'missing' in obtainStockEnvoy() ? [] : (['envoy'] as const);
  for (const [title, tls, headers] of [
    ['HTTP/1.1, kept alive', undefined, []],
    ['HTTPS, a new connection for each request', certificates, ['Connection: close']],
  ] as const) {
    const candidates: Candidate[] = [];
    for (const kind of ['sidecar', ...envoys] as const) {
      for (const concurrency of [1, 2]) {
        const candidate = await startCandidate(kind, concurrency, directory, [backendPort], tls);
        candidates.push(candidate);
        started.push(candidate.process);
      }
    }
    await compare(title, candidates, headers);
  }
} finally {
  for (const one of started.reverse()) await one.stop();
  rmSync(directory, { recursive: true, force: true });
}
