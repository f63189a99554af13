// Benchmark: the table that is printed at the end.

import type { BenchResult } from './paired-run.js';

/** A Markdown table, ready for docs/performance.md. */
export function formatReport(results: readonly BenchResult[]): string {
  const lines = [
    '| scenario | proxy | CPU us/request min/median/max | / nginx median (min-max) | req/s | p50 ms | p99 ms | RSS MiB | failures |',
    '|---|---|---|---|---|---|---|---|---|',
  ];
  for (const one of results) {
    const cpu = `${one.cpuUsPerRequest.min} / ${one.cpuUsPerRequest.median} / ${one.cpuUsPerRequest.max}`;
    const ratio = one.ratioToNginx;
    const shown = ratio === undefined ? '-' : `${ratio.median} (${ratio.min}-${ratio.max})`;
    const goal =
      one.proxy === 'sidecar' && ratio !== undefined
        ? `, goal ${one.goalRatio}: ${ratio.median <= one.goalRatio ? 'met' : 'MISSED'}`
        : '';
    lines.push(
      `| (${one.scenario}) ${one.title} | ${one.proxy} | ${cpu} | ${shown}${goal} | ${one.rps.toFixed(0)} | ${one.p50Ms} | ${one.p99Ms} | ${one.rssMiB} | ${one.failures} |`,
    );
  }
  return lines.join('\n');
}
