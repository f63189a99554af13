// Benchmark entry: paired, repeated runs of each scenario against each proxy; writes the figures as JSON.
//
//   npm run bench -- --out FILE.json [--scenario a,b,c] [--rounds 5] [--seconds 5] [--connections 64]

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runPaired } from './paired-run.js';
import { formatReport } from './report.js';
import { SCENARIOS } from './scenarios.js';
import { ensureSystemPrograms } from './system-programs.js';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    scenario: { type: 'string', default: SCENARIOS.map((scenario) => scenario.key).join(',') },
    proxies: { type: 'string', default: 'nginx,node-http,sidecar' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '64' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log('npm run bench -- [--out FILE.json] [--scenario a,b,c] [--proxies nginx,node-http,sidecar]');
  console.log('                 [--rounds 5] [--seconds 5] [--connections 64]');
  process.exit(0);
}

const missing = ensureSystemPrograms(['nginx', 'wrk']);
if (missing.length > 0) {
  console.error(
    `SKIPPED: the benchmark needs ${missing.join(' and ')}, which could not be installed from the system's packages.`,
  );
  console.error('Install them (for example: apt-get install nginx-light wrk) and run the command again.');
  process.exit(process.env.CI === 'true' ? 0 : 2);
}

const wanted = values.scenario.split(',');
const unknown = wanted.filter((key) => !SCENARIOS.some((scenario) => scenario.key === key));
if (unknown.length > 0) {
  console.error(`unknown scenario ${unknown.join(', ')}; there are ${SCENARIOS.map((s) => s.key).join(', ')}`);
  process.exit(2);
}
const workDir = mkdtempSync(join(tmpdir(), 'lateen-bench-'));
try {
  const results = [];
  for (const scenario of SCENARIOS.filter((candidate) => wanted.includes(candidate.key))) {
    results.push(
      ...(await runPaired(scenario, {
        workDir,
        proxies: values.proxies.split(','),
        rounds: Number(values.rounds),
        seconds: Number(values.seconds),
        connections: Number(values.connections),
      })),
    );
  }
  console.log(formatReport(results));
  if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(results, null, 2)}\n`);
} finally {
  rmSync(workDir, { recursive: true, force: true });
}
