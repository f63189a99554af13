// Resolve: which rules of RateLimit resources hold for a workload or a gateway.

import { type ConfigObject, parseDurationMs, type RateLimitRule, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, StringMap } from '../../model.js';
import { configsOf } from '../../snapshot.js';

/** A rule that proxies count by, alone or together. */
export type CountedRule = RateLimitRule & {
  readonly limit: NonNullable<RateLimitRule['limit']>;
  readonly scope?: 'PROXY' | 'MESH' | undefined;
};
/** A rule that a service is asked about. */
export type ExternalRule = RateLimitRule & { readonly external: NonNullable<RateLimitRule['external']> };

/** A rule as it holds: `id` is unique in the mesh, `NAMESPACE/NAME/RULE`. */
export interface EffectiveRateLimit<Rule extends RateLimitRule = CountedRule> {
  readonly id: string;
  /** In which short hosts are. */
  readonly namespace: string;
  /** The hosts that it is limited to, none: all. */
  readonly hosts: readonly string[];
  readonly rule: Rule;
}

/** How many requests a rule lets through. */
export interface RateLimitBudget {
  readonly requests: number;
  readonly periodMs: number;
  readonly burst: number;
}

/** A proxy's chain has room for so many. */
const MAX_RULES = 32;
/** Up to here a limit is one of a steady rate, of which a tenth may come at once; longer periods are quotas. */
const STEADY_PERIOD_MS = 1_000;

/** The rules of the proxy's namespace, and of the root namespace for all, oldest first; what has no room is told. */
export function resolveRateLimits(
  snapshot: MeshSnapshot,
  client: { readonly namespace: string; readonly labels: StringMap },
): {
  readonly rateLimits: readonly EffectiveRateLimit[];
  readonly externalLimits: readonly EffectiveRateLimit<ExternalRule>[];
  readonly problems: readonly Problem[];
} {
  const holding = configsOf(snapshot, 'RateLimit').filter((config) => isFor(config, snapshot.rootNamespace, client));
  const all = holding.flatMap(({ metadata, spec }) =>
    (spec.rules ?? []).map(
      (rule): EffectiveRateLimit<RateLimitRule> => ({
        id: `${metadata.namespace}/${metadata.name}/${rule.name}`,
        namespace: metadata.namespace,
        hosts: spec.hosts ?? [],
        rule,
      }),
    ),
  );
  const problems = all.slice(MAX_RULES).map(({ id }): Problem => {
    const [namespace, name, rule] = id.split('/');
    return {
      code: 'too-many-rate-limits',
      severity: 'warning',
      subject: `RateLimit/${namespace}/${name}`,
      message: `rule ${rule} is left out: more than ${MAX_RULES} rules hold for one proxy; remove older ones or select fewer workloads`,
    };
  });
  const kept = all.slice(0, MAX_RULES);
  return { rateLimits: kept.filter(isCounted), externalLimits: kept.filter(isExternal), problems };
}

/** Rules that count by what a token says, where no token is checked: they limit nobody. */
export function unprovenClaims(limits: readonly EffectiveRateLimit<RateLimitRule>[]): Problem[] {
  return limits.flatMap(({ id, rule }) => {
    if (rule.by?.some(({ jwtClaim }) => jwtClaim !== undefined) !== true) return [];
    const [namespace, name] = id.split('/');
    return [
      {
        code: 'unproven-claim',
        severity: 'warning',
        subject: `RateLimit/${namespace}/${name}`,
        message: `rule ${rule.name} counts by a claim and limits nobody: no RequestAuthentication is for this workload, so no token is checked and nothing is claimed`,
      },
    ];
  });
}

function isCounted(limit: EffectiveRateLimit<RateLimitRule>): limit is EffectiveRateLimit {
  return isCountedRule(limit.rule);
}

/** Whether proxies count by the rule; else a service does. */
export function isCountedRule(rule: RateLimitRule): rule is CountedRule {
  return rule.scope !== 'EXTERNAL' && rule.limit !== undefined;
}

function isExternal(limit: EffectiveRateLimit<RateLimitRule>): limit is EffectiveRateLimit<ExternalRule> {
  return limit.rule.scope === 'EXTERNAL' && limit.rule.external !== undefined;
}

function isFor(
  { metadata, spec }: ConfigObject<'RateLimit'>,
  rootNamespace: string,
  client: { readonly namespace: string; readonly labels: StringMap },
): boolean {
  if (metadata.namespace !== client.namespace && metadata.namespace !== rootNamespace) return false;
  return selectorMatches(spec.selector?.matchLabels, client.labels);
}

/** The rule's numbers with their defaults. */
export function rateLimitBudget({ limit }: CountedRule): RateLimitBudget {
  const { requests } = limit;
  const periodMs = parseDurationMs(limit.per) ?? 1;
  const whole = periodMs > STEADY_PERIOD_MS ? requests : Math.ceil(requests / 10);
  return { requests, periodMs, burst: limit.burst ?? whole };
}
