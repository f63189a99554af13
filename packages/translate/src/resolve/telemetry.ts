// Resolve: which Telemetry resources hold for a workload, and the metric overrides that come of them.

import type { ConfigObject, MeshConfig, MetricsOverrides } from '@lateen/istio-config';
import { selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, StringMap } from '../model.js';
import { configsOf } from '../snapshot.js';
import { compareText } from '../stable-hash.js';

export type WorkloadMode = 'CLIENT' | 'SERVER';

/** One entry of `stats.PluginConfig.metrics`, for the metric of that name. */
export interface MetricOverride {
  readonly name: string;
  readonly drop: boolean;
  /** CEL expressions by label. */
  readonly dimensions: StringMap;
  readonly tagsToRemove: readonly string[];
}

/** Metrics as the proxy is to report them; undefined where it reports none on that side. */
export type MetricsByMode = Readonly<Record<WorkloadMode, readonly MetricOverride[] | undefined>>;

/** The Telemetry resources that hold: the mesh's, the namespace's, the workload's, in that order. */
export function applicableTelemetries(
  snapshot: MeshSnapshot,
  client: { readonly namespace: string; readonly labels: StringMap },
): readonly ConfigObject<'Telemetry'>[] {
  const all = configsOf(snapshot, 'Telemetry');
  const selects = ({ spec }: ConfigObject<'Telemetry'>) => Object.keys(spec.selector?.matchLabels ?? {}).length > 0;
  const mesh = all.find((telemetry) => telemetry.metadata.namespace === snapshot.rootNamespace && !selects(telemetry));
  const namespace = all.find((telemetry) => telemetry.metadata.namespace === client.namespace && !selects(telemetry));
  const workload = all.find(
    (telemetry) =>
      telemetry.metadata.namespace === client.namespace &&
      selects(telemetry) &&
      selectorMatches(telemetry.spec.selector?.matchLabels, client.labels),
  );
  return [mesh, namespace === mesh ? undefined : namespace, workload].filter((telemetry) => telemetry !== undefined);
}

/** Istio's metrics and their Prometheus names without the `istio_` prefix. */
const PROMETHEUS_NAME: StringMap = {
  GRPC_REQUEST_MESSAGES: 'request_messages_total',
  GRPC_RESPONSE_MESSAGES: 'response_messages_total',
  REQUEST_COUNT: 'requests_total',
  REQUEST_DURATION: 'request_duration_milliseconds',
  REQUEST_SIZE: 'request_bytes',
  RESPONSE_SIZE: 'response_bytes',
  TCP_CLOSED_CONNECTIONS: 'tcp_connections_closed_total',
  TCP_OPENED_CONNECTIONS: 'tcp_connections_opened_total',
  TCP_RECEIVED_BYTES: 'tcp_received_bytes_total',
  TCP_SENT_BYTES: 'tcp_sent_bytes_total',
};
const ALL_METRICS = Object.keys(PROMETHEUS_NAME);
const DEFAULT_METRICS_PROVIDERS = ['prometheus'];

function metricNames(match: MetricsOverrides['match']): readonly string[] {
  if (match?.customMetric) return [match.customMetric];
  if (match?.metric === undefined || match.metric === 'ALL_METRICS') return ALL_METRICS;
  return [match.metric];
}

function modesOf(mode: string | undefined): readonly WorkloadMode[] {
  return mode === 'CLIENT' || mode === 'SERVER' ? [mode] : ['CLIENT', 'SERVER'];
}

/** What is known of one metric on one side while entries are merged; later entries win, tag by tag. */
interface MergedMetric {
  disabled: boolean;
  readonly tags: Map<string, { readonly operation?: string; readonly value?: string }>;
}

interface MergedMode {
  allDisabled: boolean;
  readonly metrics: Map<string, MergedMetric>;
}

function mergeOverride(merged: MergedMode, override: MetricsOverrides): void {
  const { match, disabled, tagOverrides } = override;
  const isAll = match?.metric === 'ALL_METRICS' && !match.customMetric;
  if (isAll && disabled === true) {
    merged.allDisabled = true;
    return;
  }
  // The mesh may turn everything off and a namespace turn something on again.
  merged.allDisabled = false;
  for (const name of metricNames(match)) {
    const metric = merged.metrics.get(name) ?? { disabled: false, tags: new Map() };
    merged.metrics.set(name, metric);
    if (disabled !== undefined) metric.disabled = disabled;
    for (const [tag, tagOverride] of Object.entries(tagOverrides ?? {})) metric.tags.set(tag, tagOverride);
  }
}

function metricOverride(name: string, { disabled, tags }: MergedMetric): MetricOverride {
  const dimensions: Record<string, string> = {};
  const tagsToRemove: string[] = [];
  for (const [tag, { operation, value }] of [...tags].sort(([a], [b]) => compareText(a, b))) {
    if (operation === 'REMOVE') tagsToRemove.push(tag);
    else dimensions[tag] = value ?? '';
  }
  return { name: PROMETHEUS_NAME[name] ?? name, drop: disabled, dimensions, tagsToRemove };
}

function finish(merged: MergedMode): readonly MetricOverride[] | undefined {
  if (merged.allDisabled) return undefined;
  return [...merged.metrics]
    .sort(([a], [b]) => compareText(a, b))
    .map(([name, metric]) => metricOverride(name, metric));
}

function isPrometheus(provider: string, meshConfig: MeshConfig): boolean {
  if (provider === 'prometheus') return true;
  return meshConfig.extensionProviders?.find(({ name }) => name === provider)?.prometheus !== undefined;
}

/**
 * Merges the metrics of the applicable Telemetry resources for the Prometheus provider, by Istio's rules: an entry
 * without providers has those of the entry before it; providers of a lower level replace those of a higher one.
 */
export function resolveMetrics(
  telemetries: readonly ConfigObject<'Telemetry'>[],
  meshConfig: MeshConfig,
): { readonly metrics: MetricsByMode; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const defaults = meshConfig.defaultProviders?.metrics ?? DEFAULT_METRICS_PROVIDERS;
  const entries = telemetries.flatMap((telemetry) =>
    (telemetry.spec.metrics ?? []).map((entry) => ({
      telemetry,
      overrides: entry.overrides ?? [],
      providers: (entry.providers ?? []).map(({ name }) => name),
    })),
  );
  // The providers in force are those of the last entry that names any.
  const inForce = entries.findLast(({ providers }) => providers.length > 0)?.providers ?? defaults;
  for (const { telemetry, providers } of entries) {
    for (const provider of providers.filter((name) => !isPrometheus(name, meshConfig))) {
      problems.push({
        code: 'unsupported-metrics-provider',
        severity: 'warning',
        subject: `Telemetry/${telemetry.metadata.namespace}/${telemetry.metadata.name}`,
        message: `metrics provider ${provider} is not known; metrics go to Prometheus only. Use prometheus, or declare ${provider} in MeshConfig extensionProviders with a prometheus section`,
      });
    }
  }
  if (!inForce.some((provider) => isPrometheus(provider, meshConfig))) {
    return { metrics: { CLIENT: undefined, SERVER: undefined }, problems };
  }

  const merged: Record<WorkloadMode, MergedMode> = {
    CLIENT: { allDisabled: false, metrics: new Map() },
    SERVER: { allDisabled: false, metrics: new Map() },
  };
  let providers: readonly string[] = defaults;
  for (const entry of entries) {
    if (entry.providers.length > 0) providers = entry.providers;
    if (!providers.some((provider) => inForce.includes(provider) && isPrometheus(provider, meshConfig))) continue;
    for (const override of entry.overrides) {
      for (const mode of modesOf(override.match?.mode)) mergeOverride(merged[mode], override);
    }
  }
  return { metrics: { CLIENT: finish(merged.CLIENT), SERVER: finish(merged.SERVER) }, problems };
}
