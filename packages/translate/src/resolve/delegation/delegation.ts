// Resolve, delegation: VirtualServices whose rules hand over to others, with the rules of these in their place.

import type { ConfigObject, Destination, HttpMatchRequest, HttpRoute } from '@lateen/istio-config';
import { fullGatewayName, resolveShortHost } from '@lateen/istio-config';
import type { MeshSnapshot, Problem } from '../../model.js';
import { madeFrom } from '../../provenance.js';
import { configsOf } from '../../snapshot.js';
import { isRuleExportedTo, oncePerSnapshot } from '../mesh-index.js';
import { isConflict, joinNames, mergeMatch } from './merge-match.js';

type VirtualService = ConfigObject<'VirtualService'>;

interface Delegation {
  /** Those with hosts, oldest first; rules that delegate have been replaced. */
  readonly virtualServices: readonly VirtualService[];
  readonly problems: readonly Problem[];
}

/** Without hosts a VirtualService is there for others to hand over to. */
function isDelegate({ spec }: VirtualService): boolean {
  return (spec.hosts ?? []).length === 0;
}

/**
 * The conditions under which a delegate's rule holds; undefined where one of them is not within what the root lets through.
 * No conditions mean every request.
 */
function mergeConditions(
  root: readonly HttpMatchRequest[],
  delegate: readonly HttpMatchRequest[],
): readonly HttpMatchRequest[] | undefined {
  if (root.length === 0) return delegate;
  if (delegate.length === 0) return root;
  const merged: HttpMatchRequest[] = [];
  for (const inner of delegate) {
    const within = root.filter((outer) => !isConflict(outer, inner));
    if (within.length === 0) return undefined;
    merged.push(...within.map((outer) => madeFrom(mergeMatch(outer, inner), inner, outer)));
  }
  return merged;
}

/** What a delegate's rule takes over from the rule that delegates, unless it says it itself. */
function inherited(root: HttpRoute): HttpRoute {
  const { rewrite, directResponse, timeout, retries, fault, mirror, mirrors, corsPolicy, headers } = root;
  const { mirrorPercent, mirror_percent, mirrorPercentage } = root;
  const parts = { rewrite, directResponse, timeout, retries, fault, mirror, mirrors, corsPolicy, headers };
  const taken = { ...parts, mirrorPercent, mirror_percent, mirrorPercentage };
  return Object.fromEntries(Object.entries(taken).filter(([, value]) => value !== undefined));
}

/** A delegate's rule with the names that are relative to its namespace written out. */
function withFullNames(rule: HttpRoute, namespace: string, domain: string): HttpRoute {
  const full = (destination: Destination): Destination => ({
    ...destination,
    host: resolveShortHost(destination.host, namespace, domain),
  });
  const { match, route, mirror, mirrors } = rule;
  return {
    ...rule,
    ...(match && { match: [...withGateways(match, namespace)] }),
    ...(route && { route: route.map((each) => ({ ...each, destination: full(each.destination) })) }),
    ...(mirror && { mirror: full(mirror) }),
    ...(mirrors && { mirrors: mirrors.map((each) => ({ ...each, destination: full(each.destination) })) }),
  };
}

class Delegates {
  private readonly byName: ReadonlyMap<string, VirtualService>;
  private readonly used = new Set<VirtualService>();
  readonly problems: Problem[] = [];

  constructor(private readonly snapshot: MeshSnapshot) {
    const delegates = configsOf(snapshot, 'VirtualService').filter(isDelegate);
    this.byName = new Map(delegates.map((each) => [`${each.metadata.namespace}/${each.metadata.name}`, each]));
  }

  /** The VirtualService with its delegates' rules in place of those that delegate; the same object where none does. */
  expand(root: VirtualService): VirtualService {
    const rules = root.spec.http ?? [];
    if (!rules.some(({ delegate }) => delegate !== undefined)) return root;
    const http = rules.flatMap((rule) => (rule.delegate === undefined ? [rule] : this.rulesOf(root, rule)));
    return { ...root, spec: { ...root.spec, http } };
  }

  private rulesOf(root: VirtualService, rule: HttpRoute): readonly HttpRoute[] {
    const { namespace } = root.metadata;
    const name = `${rule.delegate?.namespace || namespace}/${rule.delegate?.name}`;
    const found = this.byName.get(name);
    if (found === undefined) return this.refuse(root, `there is no VirtualService ${name} without hosts`);
    this.used.add(found);
    const { spec, metadata } = found;
    if (!isRuleExportedTo(this.snapshot, found, namespace)) {
      return this.refuse(
        root,
        `VirtualService ${name} is not exported to namespace ${namespace}; add it to its exportTo`,
      );
    }
    const outer = withGateways(rule.match ?? [], namespace);
    return (spec.http ?? []).flatMap((own) => {
      const inner = withFullNames(own, metadata.namespace, this.snapshot.clusterDomain);
      const match = mergeConditions(outer, inner.match ?? []);
      if (match === undefined) {
        const which = own.name ? `rule ${own.name} of` : 'a rule of';
        return this.refuse(
          root,
          `${which} delegate ${name} takes requests that the rule which delegates does not; narrow its match`,
        );
      }
      const named = joinNames(rule.name, own.name);
      const joined = { ...inherited(rule), ...inner, match: [...match], ...(named && { name: named }) };
      return [madeFrom(joined, own, rule)];
    });
  }

  /** Whose name nobody delegates to: most often one whose hosts were forgotten. */
  unused(): Problem[] {
    return [...this.byName]
      .filter(([, delegate]) => !this.used.has(delegate))
      .map(([name]) => ({
        code: 'unused-delegate',
        severity: 'warning',
        subject: `VirtualService/${name}`,
        message:
          'it has no hosts and no VirtualService delegates to it, so nobody follows it; add hosts, or delegate to it',
      }));
  }

  /** As in Istio the rule is left out; requests go on to the next one. */
  private refuse({ metadata }: VirtualService, why: string): readonly HttpRoute[] {
    this.problems.push({
      code: 'unusable-delegate',
      severity: 'warning',
      subject: `VirtualService/${metadata.namespace}/${metadata.name}`,
      message: `${why}; until then the rule is left out`,
    });
    return [];
  }
}

function withGateways(conditions: readonly HttpMatchRequest[], namespace: string): readonly HttpMatchRequest[] {
  return conditions.map((condition) =>
    condition.gateways === undefined
      ? condition
      : madeFrom(
          { ...condition, gateways: condition.gateways.map((name) => fullGatewayName(name, namespace)) },
          condition,
        ),
  );
}

/** The VirtualServices that have hosts, with everything that they delegate; worked out once for a snapshot. */
export const delegation = oncePerSnapshot((snapshot: MeshSnapshot): Delegation => {
  const delegates = new Delegates(snapshot);
  const roots = configsOf(snapshot, 'VirtualService').filter((each) => !isDelegate(each));
  const virtualServices = roots.map((root) => delegates.expand(root));
  return { virtualServices, problems: [...delegates.problems, ...delegates.unused()] };
});
