// Metrics: reads Istio's `stats.PluginConfig` (JSON form) into what it says of one metric.

/** What the plugin configuration changes of one metric. */
export interface MetricRules {
  readonly dropped: boolean;
  readonly tagsToRemove: ReadonlySet<string>;
  /** CEL expressions by label, in order. */
  readonly tagExpressions: ReadonlyMap<string, string>;
}

export const NO_RULES: MetricRules = { dropped: false, tagsToRemove: new Set(), tagExpressions: new Map() };

const PREFIX = 'istio_';

/**
 * The rules for a metric: all entries without a name or with this one, later entries over earlier ones.
 * @param statsConfig the decoded plugin configuration; its form was checked when it was accepted
 * @param metric for example `istio_requests_total`
 */
export function readMetricRules(statsConfig: unknown, metric: string): MetricRules {
  const entries = (statsConfig as { metrics?: unknown } | undefined)?.metrics;
  if (!Array.isArray(entries) || entries.length === 0) return NO_RULES;
  const name = metric.slice(PREFIX.length);
  let dropped = false;
  const tagsToRemove = new Set<string>();
  const tagExpressions = new Map<string, string>();
  for (const entry of entries as Record<string, unknown>[]) {
    const entryName = typeof entry.name === 'string' ? entry.name : '';
    if (entryName !== '' && entryName !== name && entryName !== metric) continue;
    if (typeof entry.drop === 'boolean') dropped = entry.drop;
    for (const tag of (entry.tags_to_remove ?? entry.tagsToRemove ?? []) as string[]) {
      tagsToRemove.add(tag);
      tagExpressions.delete(tag);
    }
    for (const [tag, expression] of Object.entries((entry.dimensions ?? {}) as Record<string, string>)) {
      tagExpressions.set(tag, expression);
      tagsToRemove.delete(tag);
    }
  }
  return { dropped, tagsToRemove, tagExpressions };
}
