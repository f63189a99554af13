// Conformance, mutation, step 3: which fields do the cases really test? Leaves each field out of each case that sets it, or changes
// its value, and runs the case until one fails. What comes of it has to be what not-acted-on.yaml says. Built, then:
//
//   node test/dist/conformance/mutation/main.js [--only KIND[.FIELD]]... [--case GROUP/NAME]...

import { parseArgs } from 'node:util';
import { type ConformanceCase, caseNames, readCase } from '../case-file.js';
import { check } from '../check.js';
import { readNotActedOn } from '../field-coverage/not-acted-on.js';
import { RefusedCaseError } from '../mesh/case-snapshot.js';
import { MeshUnderTest, type SendingResult } from '../mesh/mesh-under-test.js';
import { compareWithList, type Standing } from './expected-standings.js';
import { type FieldOfCase, fieldsOfCase, mutantsOf } from './mutants.js';

/** `refused` as by Galley; `broken`: could not be run at all. */
type Verdict = 'noticed' | 'unnoticed' | 'refused' | 'broken';

/** Lines of the access log come at the end of a case. */
const isFailed = (result: SendingResult): boolean => check(result).some(({ field }) => !field.startsWith('log '));

async function verdictOf(mesh: MeshUnderTest, mutated: ConformanceCase): Promise<{ verdict: Verdict; why: string }> {
  try {
    const results = await mesh.run(mutated, isFailed);
    const failure = results.flatMap((result) => check(result))[0];
    return failure === undefined ? { verdict: 'unnoticed', why: '' } : { verdict: 'noticed', why: failure.field };
  } catch (error) {
    const { message, cause } = error as Error;
    const [why = ''] = message.split('\n');
    if (cause instanceof RefusedCaseError) return { verdict: 'refused', why };
    // Without its Service a request of the case cannot be sent: that says nothing of the proxy.
    return { verdict: why.startsWith('there is no service') ? 'broken' : 'noticed', why };
  }
}

async function tryField(mesh: MeshUnderTest, written: ConformanceCase, field: FieldOfCase, standing: Standing) {
  for (const { change, mutated } of mutantsOf(written, field)) {
    const { verdict, why } = await verdictOf(mesh, mutated);
    standing.tried.push(`${written.name}: ${change}: ${verdict}${why === '' ? '' : ` (${why.slice(0, 160)})`}`);
    standing.noticed = verdict === 'noticed';
    if (standing.noticed) return;
  }
}

const { values } = parseArgs({
  options: { only: { type: 'string', multiple: true }, case: { type: 'string', multiple: true } },
});
const { only = [''], case: cases = caseNames() } = values;
const mesh = await MeshUnderTest.start({ engine: 'lateen' });
const standings = new Map<string, Standing>();
try {
  for (const name of cases) {
    const written = readCase(name);
    for (const field of fieldsOfCase(written)) {
      const called = `${field.kind}.${field.field}`;
      if (!only.some((prefix) => called.startsWith(prefix))) continue;
      const standing = standings.get(called) ?? { kind: field.kind, field: field.field, noticed: false, tried: [] };
      standings.set(called, standing);
      if (!standing.noticed) await tryField(mesh, written, field, standing);
    }
    process.stderr.write(`${name}\n`);
  }
} finally {
  await mesh.stop();
}

const { lines, counts } = compareWithList([...standings.values()], readNotActedOn());
for (const line of lines) console.log(line);
console.log(`${standings.size} fields that cases set: ${counts.noticed} are missed by a case when they go,`);
console.log(
  `${counts.excused} cannot be, by not-acted-on.yaml, ${counts.unexplained} should be, ${counts.outdated} are, and stand there as such that cannot`,
);
process.exitCode = counts.unexplained + counts.outdated === 0 ? 0 : 1;
