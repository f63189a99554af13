// Long test: acceptance line 2 fifty times there and back. Built, then: node test/dist/long/weight-shift.js INGRESS_URL [STATE_DIR]
// against a running demo (`npm run demo`).

import { fileURLToPath } from 'node:url';
import { MeshUnderTest, runDemoChecks } from '../e2e/demo-check/main.js';
import { weightShiftCheck } from '../e2e/demo-check/weight-shift.js';

const ROUNDS = 50;
const repository = fileURLToPath(new URL('../../../', import.meta.url));
const [ingressUrl = 'http://127.0.0.1:8080', stateDir = `${repository}.lateen`] = process.argv.slice(2);

const failed = await runDemoChecks(new MeshUnderTest(repository, stateDir, ingressUrl), [weightShiftCheck(ROUNDS)]);
process.exitCode = failed === 0 ? 0 : 1;
