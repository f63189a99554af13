// Long test: outlier ejection, circuit breakers, 1,000 changes of endpoints with 500 of routes, and a killed endpoint, each
// under 1,000 requests a second for 30 seconds.
//
//   node test/dist/long/resilience.js [SECONDS]

import { SCENARIOS } from '../contract/resilience/scenarios.js';

const PER_SECOND = 1000;
const seconds = Number(process.argv[2] ?? 30);
let failed = false;
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  const { seen, faults: found, rate } = await scenario({ perSecond: PER_SECOND, seconds });
  const faults = rate < PER_SECOND * 0.95 ? [...found, `only ${rate.toFixed(0)} requests a second were sent`] : found;
  console.log(`${faults.length === 0 ? 'ok' : 'FAILED'}  ${name}: ${[seen, ...faults].join('; ')}`);
  if (faults.length > 0) failed = true;
}
process.exitCode = failed ? 1 : 0;
