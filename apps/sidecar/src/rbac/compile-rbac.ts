// RBAC: compiles the filters' rules into the core's memory; what is not supported is named.

import { toBinary } from '@bufbuild/protobuf';
import { type Core, compileRules, ProblemList, type RuleScope } from '@lateen/filters-wasm';
import { type RBAC as Rules, RBACSchema as RulesSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { RBAC as HttpRbac } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import type { RBAC as NetworkRbac } from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import type { RbacStatistics } from './rbac-counts.js';
import type { RbacFilter, RuleSet } from './rbac-filter.js';

export interface RbacContext {
  readonly core: Core;
  readonly rbacCounts: RbacStatistics;
  readonly nowMs: number;
  /** What was compiled for this configuration, by its bytes: several chains have the same rules. */
  readonly compiledRules: Map<string, RuleSet>;
  /** `path` begins with that of the filter's message. */
  problem(path: string, message: string): void;
}

/** `statPrefix` is that of the connection manager. Problems go to the context; the result is only to be used where there were none. */
export function compileHttpRbac(config: HttpRbac, path: string, statPrefix: string, context: RbacContext): RbacFilter {
  const { rulesStatPrefix: rulesPrefix, shadowRulesStatPrefix: shadowPrefix } = config;
  return {
    rules: compileSet(config.rules, `${path}.rules`, 'http', context),
    shadow: compileSet(config.shadowRules, `${path}.shadow_rules`, 'http', context),
    rulesPrefix,
    shadowPrefix,
    counts: context.rbacCounts.countsOf({ kind: 'http', statPrefix, rulesPrefix, shadowPrefix }),
  };
}

/** Nothing that rules may ask about a connection changes during it, so every enforcement_type is one decision, at its beginning. */
export function compileNetworkRbac(config: NetworkRbac, path: string, context: RbacContext): RbacFilter {
  const { shadowRulesStatPrefix: shadowPrefix, statPrefix } = config;
  if (statPrefix === '') context.problem(`${path}.stat_prefix`, 'is required');
  return {
    rules: compileSet(config.rules, `${path}.rules`, 'network', context),
    shadow: compileSet(config.shadowRules, `${path}.shadow_rules`, 'network', context),
    rulesPrefix: '',
    shadowPrefix,
    counts: context.rbacCounts.countsOf({ kind: 'network', statPrefix, rulesPrefix: '', shadowPrefix }),
  };
}

function compileSet(rules: Rules | undefined, path: string, scope: RuleScope, context: RbacContext): RuleSet | null {
  if (rules === undefined) return null;
  const { core, compiledRules } = context;
  const key = `${scope} ${Buffer.from(toBinary(RulesSchema, rules)).toString('latin1')}`;
  const known = compiledRules.get(key);
  if (known !== undefined) return known;
  const problems = new ProblemList('Listener', '');
  const { action, policyNames, bytes } = compileRules(problems, path, rules, scope, core.rulesHash);
  for (const problem of problems.problems) context.problem(problem.path, problem.message);
  if (problems.problems.length > 0) return null;
  const place = core.rbac.intern(bytes, context.nowMs);
  if (place !== undefined) {
    const set = { place, action, policyNames };
    compiledRules.set(key, set);
    return set;
  }
  const { freeBytes } = core.rbac;
  context.problem(path, `needs ${bytes.length} bytes of the memory for access rules, of which ${freeBytes} are free`);
  return null;
}

/** Where the rules of filters are. */
export function rulesOf(filters: readonly RbacFilter[]): number[] {
  return filters.flatMap(({ rules, shadow }) =>
    [rules, shadow].flatMap((set) => (set === null ? [] : [set.place.offset])),
  );
}
