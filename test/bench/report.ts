// Benchmark: the table that is printed at the end.

import type { Spread } from './measure/statistics.js';
import type { BenchResult } from './result.js';

const spreadText = (value: Spread | undefined) =>
  value === undefined ? '-' : `${value.min} / ${value.median} / ${value.max}`;

const number = (value: number | undefined, digits: number) => (value === undefined ? '-' : value.toFixed(digits));

function ratios(one: BenchResult): string {
  const parts = Object.entries(one.cpuRatio ?? {}).map(([peer, ratio]) => `${peer} ${spreadText(ratio)}`);
  for (const [peer, ratio] of Object.entries(one.p99Ratio ?? {})) parts.push(`p99 ${peer} ${spreadText(ratio)}`);
  return one.proxy === 'sidecar' && parts.length > 0 ? parts.join('; ') : '-';
}

function memory(one: BenchResult): string {
  const parts = [`${number(one.rssMiB, 1)} RSS`];
  if (one.pssMiB !== undefined) parts.push(`${one.pssMiB.median} PSS`);
  if (one.pssAboveNodeMiB !== undefined) parts.push(`${one.pssAboveNodeMiB.median} above node`);
  if (one.idleConnectionKiB !== undefined) parts.push(`${one.idleConnectionKiB.median} KiB an idle connection`);
  return parts.join(', ');
}

function goals(one: BenchResult): string {
  return one.goals
    .map(({ what, atMost, actual, met }) => `${what} ${actual} (<= ${atMost}): ${met ? 'met' : 'MISSED'}`)
    .join('; ');
}

function startUp(one: BenchResult): string {
  const compile = one.tableCompileMs === undefined ? '' : `, tables ${one.tableCompileMs.median}`;
  const cpu = one.readyCpuMs === undefined ? '' : ` (CPU ${one.readyCpuMs.median})`;
  return one.readyMs === undefined ? '-' : `${one.readyMs.median}${cpu}${compile}`;
}

/** A Markdown table, ready for docs/performance.md. Every triple is the smallest, middle and largest of the rounds. */
export function formatReport(results: readonly BenchResult[]): string {
  const lines = [
    '| scenario | proxy | CPU us/request | ratio to | goals | req/s | p50 / p99 ms | at | memory MiB | ready ms | failures |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const one of results) {
    const cells = [
      `(${one.scenario}) ${one.title}`,
      one.proxy,
      spreadText(one.cpuUsPerRequest),
      ratios(one),
      goals(one) || '-',
      number(one.rps, 0),
      `${number(one.p50Ms, 2)} / ${number(one.p99Ms, 2)}`,
      one.latencyAt ?? '-',
      memory(one),
      startUp(one),
      String(one.failures),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}
