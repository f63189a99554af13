// RBAC: counters of filters, which outlive configurations, by the names under which Envoy has them.

/** Of one connection manager (`http`) or stat_prefix (`network`), with the prefixes that its filters have. */
export interface RbacCounts {
  readonly kind: 'http' | 'network';
  readonly statPrefix: string;
  /** Before `allowed` and `denied`, and before `shadow_allowed` and `shadow_denied`. */
  readonly rulesPrefix: string;
  readonly shadowPrefix: string;
  allowed: number;
  denied: number;
  shadowAllowed: number;
  shadowDenied: number;
}

export class RbacStatistics {
  private readonly counts = new Map<string, RbacCounts>();

  countsOf(named: Pick<RbacCounts, 'kind' | 'statPrefix' | 'rulesPrefix' | 'shadowPrefix'>): RbacCounts {
    const { kind, statPrefix, rulesPrefix, shadowPrefix } = named;
    const key = JSON.stringify([kind, statPrefix, rulesPrefix, shadowPrefix]);
    const known = this.counts.get(key);
    if (known !== undefined) return known;
    const counts = {
      ...{ kind, statPrefix, rulesPrefix, shadowPrefix },
      ...{ allowed: 0, denied: 0, shadowAllowed: 0, shadowDenied: 0 },
    };
    this.counts.set(key, counts);
    return counts;
  }

  all(): readonly RbacCounts[] {
    return [...this.counts.values()];
  }
}
