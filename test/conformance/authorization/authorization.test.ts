// Authorization by chance: policies through translation decide calls as the documents say, whatever the policies and calls.

import { describe, expect, test } from 'vitest';
import { CoreDecision } from './core-decision.js';
import { MESH, randomCall, randomPolicies, seededRandom, WORKLOAD } from './random-calls.js';
import { enforcedRules, interpret } from './rbac-interpreter.js';
import { decide } from './reference.js';
import { translatePolicies } from './translated.js';

/** More of both: AUTHORIZATION_PAIRS=20000. */
const PAIRS = Number(process.env.AUTHORIZATION_PAIRS ?? 2000);
const CALLS_OF_EACH = 20;
const SEED = 0x5eed;

describe('random policies and calls', () => {
  test('are decided as the documents say', () => {
    const random = seededRandom(SEED);
    const core = new CoreDecision();
    const ofTcp = new CoreDecision();
    const seen = { allowed: 0, denied: 0, byRule: 0 };
    for (let set = 0; set < PAIRS / CALLS_OF_EACH; set += 1) {
      const policies = randomPolicies(random);
      const { manager, connectionFilters } = translatePolicies(policies);
      const ofRequests = enforcedRules(manager.httpFilters);
      const ofConnections = enforcedRules(connectionFilters);
      core.load(ofRequests, manager);
      ofTcp.load(ofConnections, undefined);
      for (let index = 0; index < CALLS_OF_EACH; index += 1) {
        const call = randomCall(random);
        const expected = decide(policies, WORKLOAD, call, MESH);
        const isTcp = call.request === undefined;
        const asWritten = interpret(isTcp ? ofConnections : ofRequests, call);
        const actual = (isTcp ? ofTcp : core).decide(call);
        seen[expected.allowed ? 'allowed' : 'denied'] += 1;
        if (expected.rule !== undefined) seen.byRule += 1;
        if ([asWritten, actual].some(({ allowed, rule }) => allowed !== expected.allowed || rule !== expected.rule)) {
          expect({
            policies: policies.map(({ metadata, spec }) => ({ metadata, spec })),
            call,
            asWritten,
            actual,
          }).toEqual(expected);
        }
      }
    }
    // Chance makes enough of each for the comparison to say something.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(PAIRS / 10);
  });
});
