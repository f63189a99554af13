// Long test: what interception adds to a new connection. Built, as root, then: node test/dist/long/interception-cost.js [SECONDS]
// A connection is opened, its first line read, and closed, 250 times a second from inside of the pod and from outside: by ports that
// rules leave alone, and through the sidecar; with nftables and iptables, in turns, so that all have the same machine.

import { createInterceptedPod } from '../kube/interception/intercepted-pod.js';
import { OUTSIDE, POD } from '../kube/interception/network.js';
import { BACKENDS, redirect, USUAL } from '../kube/interception/redirect.js';

const PER_SECOND = 250;
const ROUNDS = 5;
const seconds = Number(process.argv[2] ?? 4);

interface Way {
  readonly name: string;
  readonly from: 'app' | 'outside';
  readonly host: string;
  readonly port: number;
}
const WAYS: readonly Way[] = [
  { name: 'out, excluded port', from: 'app', host: OUTSIDE[4], port: 9999 },
  { name: 'out, through the sidecar', from: 'app', host: OUTSIDE[4], port: 8080 },
  { name: 'in, excluded port', from: 'outside', host: POD[4], port: 9090 },
  { name: 'in, through the sidecar', from: 'outside', host: POD[4], port: 8080 },
];

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

const pod = await createInterceptedPod();
const rows = new Map<string, { medianMs: number[]; p99Ms: number[]; failed: number }>();
const measure = async (rules: string, { name, from, host, port }: Way) => {
  const key = `${rules}: ${name}`;
  const answer = await pod.cast.agents[from].ask({ do: 'dial-many', host, port, perSecond: PER_SECOND, seconds });
  const row = rows.get(key) ?? { medianMs: [], p99Ms: [], failed: 0 };
  rows.set(key, row);
  row.medianMs.push(answer.medianMs ?? Number.NaN);
  row.p99Ms.push(answer.p99Ms ?? Number.NaN);
  row.failed += PER_SECOND * seconds - (answer.count ?? 0);
};
try {
  for (let round = 0; round < ROUNDS; round++) {
    redirect(pod.cast.pod, 'nftables', ['--clean']);
    for (const way of WAYS.filter(({ name }) => !name.includes('sidecar'))) await measure('no rules', way);
    for (const backend of BACKENDS) {
      redirect(pod.cast.pod, backend, [...USUAL, '--ipv6', 'on']);
      for (const way of WAYS) await measure(backend, way);
    }
  }
} finally {
  await pod.close();
}
console.log(`${PER_SECOND} connections a second, ${ROUNDS} rounds of ${seconds} s, medians of the rounds`);
for (const [key, { medianMs, p99Ms, failed }] of rows) {
  const failures = failed === 0 ? '' : `, ${failed} FAILED`;
  console.log(`${key}: median ${median(medianMs).toFixed(2)} ms, p99 ${median(p99Ms).toFixed(2)} ms${failures}`);
}
process.exitCode = [...rows.values()].some(({ failed }) => failed > 0) ? 1 : 0;
