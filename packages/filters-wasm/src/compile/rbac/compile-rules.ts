// Access rules (envoy.config.rbac.v3.RBAC) as a record that the core checks: policies in the order of their names, as in Envoy.
import { RBAC_Action as Action, type RBAC, RBACSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import * as R from '../../rbac/rbac-layout.js';
import { BlobWriter } from '../blob-writer.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import { TestList } from './condition.js';
import { RuleReader, type RuleScope } from './read-rules.js';
import { type Row, rowsOf } from './rows.js';
import { IndexWriter, type RulesHash } from './write-index.js';

export interface CompiledRules {
  readonly action: 'allow' | 'deny' | 'log';
  /** By their place, which is what checkRules() returns. */
  readonly policyNames: readonly string[];
  readonly bytes: Uint8Array;
}

const ACTIONS = { [Action.ALLOW]: 'allow', [Action.DENY]: 'deny', [Action.LOG]: 'log' } as const;

/** Problems go to the list; the result is only to be used where there were none. `path` is that of the rules. */
export function compileRules(
  problems: ProblemList,
  path: string,
  rules: RBAC,
  scope: RuleScope,
  hash: RulesHash,
): CompiledRules {
  refuseOtherFields(problems, path, RBACSchema, rules, 'action policies');
  const action = ACTIONS[rules.action];
  if (action === undefined) problems.add(join(path, 'action'), `${rules.action} is not supported`);
  const names = Object.keys(rules.policies).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const tests = new TestList();
  const reader = new RuleReader(problems, tests, scope);
  const rows: { readonly policy: number; readonly row: Row }[] = [];
  names.forEach((name, policy) => {
    const condition = reader.readPolicy(`${join(path, 'policies')}[${JSON.stringify(name)}]`, rules.policies[name]!);
    for (const row of rowsOf(condition, tests)) rows.push({ policy, row });
  });
  if (rows.length > R.RBAC_MAX_ROWS) {
    problems.add(path, `has ${rows.length} ways to match a policy; ${R.RBAC_MAX_ROWS} are supported`);
  }
  const writer = new IndexWriter(problems, new BlobWriter(), tests, hash, rows);
  const bytes = writer.write();
  if (writer.testCount > R.RBAC_MAX_TESTS) {
    problems.add(path, `has ${writer.testCount} tests that no index finds; ${R.RBAC_MAX_TESTS} are supported`);
  }
  if (writer.isTooLarge)
    problems.add(path, `needs more than the ${R.RBAC_REGION_BYTES} bytes that there are for access rules`);
  return { action: action ?? 'deny', policyNames: names, bytes };
}
