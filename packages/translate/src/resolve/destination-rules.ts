// Resolve: which DestinationRule a client's calls to a service follow.

import type { ConfigObject, Subset, TrafficPolicy } from '@lateen/istio-config';
import { compareHostSpecificity, hostMatches, resolveShortHost, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, StringMap } from '../model.js';
import { configHash, configsOf } from '../snapshot.js';
import { stableJson } from '../stable-hash.js';
import { exportToOf, isRuleExportedTo, oncePerSnapshot } from './mesh-index.js';

type Rule = ConfigObject<'DestinationRule'>;

/** One or several DestinationRules of a namespace for the same host, merged. */
export interface EffectiveDestinationRule {
  readonly namespace: string;
  /** Of the oldest. */
  readonly name: string;
  readonly trafficPolicy?: TrafficPolicy;
  readonly subsets: readonly Subset[];
  /** It is for chosen clients, all of the rule's own namespace. */
  readonly selectsWorkloads: boolean;
  /** Equal hashes mean equal rules. */
  readonly hash: string;
}

/** Rules of one namespace by full host; wildcards also in order of specificity. */
interface NamespaceRules<R> {
  readonly byHost: ReadonlyMap<string, readonly R[]>;
  readonly wildcards: readonly string[];
}

/** What is written for hosts of services, at its host, in its order. */
export function indexByNamespaceAndHost<R extends Rule | ConfigObject<'HealthCheck'>>(
  configs: readonly R[],
  clusterDomain: string,
): ReadonlyMap<string, NamespaceRules<R>> {
  const hosts = new Map<string, Map<string, R[]>>();
  for (const rule of configs) {
    const byHost = hosts.get(rule.metadata.namespace) ?? new Map<string, R[]>();
    hosts.set(rule.metadata.namespace, byHost);
    const host = resolveShortHost(rule.spec.host, rule.metadata.namespace, clusterDomain);
    const rules = byHost.get(host);
    if (rules) rules.push(rule);
    else byHost.set(host, [rule]);
  }
  const result = new Map<string, NamespaceRules<R>>();
  for (const [namespace, byHost] of hosts) {
    const wildcards = [...byHost.keys()].filter((host) => host.startsWith('*')).sort(compareHostSpecificity);
    result.set(namespace, { byHost, wildcards });
  }
  return result;
}

const rulesByNamespace = oncePerSnapshot((snapshot) =>
  indexByNamespaceAndHost(configsOf(snapshot, 'DestinationRule'), snapshot.clusterDomain),
);

/** Oldest first: its policy counts; further rules add subsets that are not there yet. */
function mergeRules(rules: readonly Rule[]): EffectiveDestinationRule {
  const subsets = new Map<string, Subset>();
  let trafficPolicy: TrafficPolicy | undefined;
  for (const rule of rules) {
    trafficPolicy ??= rule.spec.trafficPolicy;
    for (const subset of rule.spec.subsets ?? []) {
      if (!subsets.has(subset.name)) subsets.set(subset.name, subset);
    }
  }
  return {
    namespace: rules[0]!.metadata.namespace,
    name: rules[0]!.metadata.name,
    trafficPolicy,
    subsets: [...subsets.values()],
    selectsWorkloads: selectsWorkload(rules[0]!),
    hash: rules.map(configHash).join('+'),
  };
}

/** Rules for the same clients and namespaces are one; the group of the oldest first. */
function mergeable(snapshot: MeshSnapshot, rules: readonly Rule[]): readonly (readonly Rule[])[] {
  const groups = new Map<string, Rule[]>();
  for (const rule of rules) {
    const { workloadSelector } = rule.spec;
    const exportTo = exportToOf(snapshot, rule) ?? [];
    const namespaces = [...new Set(exportTo.map((each) => (each === '.' ? rule.metadata.namespace : each)))].sort();
    const key = stableJson([workloadSelector?.matchLabels ?? {}, namespaces.length === 0 ? ['*'] : namespaces]);
    const group = groups.get(key);
    if (group) group.push(rule);
    else groups.set(key, [rule]);
  }
  return [...groups.values()];
}

function selectsWorkload(rule: Rule): boolean {
  return Object.keys(rule.spec.workloadSelector?.matchLabels ?? {}).length > 0;
}

/** Who asks. */
export interface DestinationRuleClient {
  readonly namespace: string;
  readonly labels: StringMap;
}

function rulesFor(snapshot: MeshSnapshot, namespace: string, hostname: string, client: DestinationRuleClient) {
  const inNamespace = rulesByNamespace(snapshot).get(namespace);
  if (inNamespace === undefined) return undefined;
  const patterns = inNamespace.byHost.has(hostname) ? [hostname] : [];
  for (const wildcard of inNamespace.wildcards) if (hostMatches(wildcard, hostname)) patterns.push(wildcard);
  for (const pattern of patterns) {
    const visible = (inNamespace.byHost.get(pattern) ?? []).filter((rule) =>
      isRuleExportedTo(snapshot, rule, client.namespace),
    );
    const groups = mergeable(snapshot, visible);
    // A rule for chosen clients counts in their own namespace only, and there before one for everybody.
    const chosen = groups.find(
      ([rule]) =>
        selectsWorkload(rule!) &&
        rule!.metadata.namespace === client.namespace &&
        selectorMatches(rule!.spec.workloadSelector?.matchLabels, client.labels),
    );
    const group = chosen ?? groups.find(([rule]) => !selectsWorkload(rule!));
    if (group !== undefined) return mergeRules(group);
  }
  return undefined;
}

/**
 * The rule for calls of a client to a service: the client's namespace first, then the service's, then the root; in each
 * the exact host before wildcards, more specific wildcards first; only what is exported to the client.
 */
export function resolveDestinationRule(
  snapshot: MeshSnapshot,
  client: DestinationRuleClient,
  service: { readonly hostname: string; readonly namespace: string },
): EffectiveDestinationRule | undefined {
  for (const namespace of new Set([client.namespace, service.namespace, snapshot.rootNamespace])) {
    const rule = rulesFor(snapshot, namespace, service.hostname, client);
    if (rule !== undefined) return rule;
  }
  return undefined;
}

/** The parts of a policy for one port: the subset's over the rule's; port level settings replace all of them. */
export function policyForPort(
  rule: EffectiveDestinationRule | undefined,
  subset: Subset | undefined,
  port: number,
): TrafficPolicy {
  const base = ownPolicyForPort({}, rule?.trafficPolicy, port);
  return ownPolicyForPort(base, subset?.trafficPolicy, port);
}

function ownPolicyForPort(base: TrafficPolicy, policy: TrafficPolicy | undefined, port: number): TrafficPolicy {
  if (policy === undefined) return base;
  const portLevel = policy.portLevelSettings?.find((settings) => settings.port?.number === port);
  const whole = {
    retryBudget: policy.retryBudget ?? base.retryBudget,
    proxyProtocol: policy.proxyProtocol ?? base.proxyProtocol,
    tunnel: policy.tunnel ?? base.tunnel,
  };
  // Istio: port level settings do not inherit; what they leave out has its default. What cannot stand in them stays.
  if (portLevel !== undefined) return { ...whole, ...portLevel };
  return {
    ...whole,
    loadBalancer: policy.loadBalancer ?? base.loadBalancer,
    connectionPool: policy.connectionPool ?? base.connectionPool,
    outlierDetection: policy.outlierDetection ?? base.outlierDetection,
    tls: policy.tls ?? base.tls,
  };
}
