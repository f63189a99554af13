// Authorization by chance: policies through translation decide calls as the documents say, whatever the policies and calls.

import { describe, expect, test } from 'vitest';
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
    const seen = { allowed: 0, denied: 0, byRule: 0 };
    for (let set = 0; set < PAIRS / CALLS_OF_EACH; set += 1) {
      const policies = randomPolicies(random);
      const { manager, connectionFilters } = translatePolicies(policies);
      const ofRequests = enforcedRules(manager.httpFilters);
      const ofConnections = enforcedRules(connectionFilters);
      for (let index = 0; index < CALLS_OF_EACH; index += 1) {
        const call = randomCall(random);
        const expected = decide(policies, WORKLOAD, call, MESH);
        const actual = interpret(call.request === undefined ? ofConnections : ofRequests, call);
        seen[expected.allowed ? 'allowed' : 'denied'] += 1;
        if (expected.rule !== undefined) seen.byRule += 1;
        if (actual.allowed !== expected.allowed || actual.rule !== expected.rule) {
          expect({ policies: policies.map(({ metadata, spec }) => ({ metadata, spec })), call, actual }).toEqual(
            expected,
          );
        }
      }
    }
    // Chance makes enough of each for the comparison to say something.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(PAIRS / 10);
  });
});
