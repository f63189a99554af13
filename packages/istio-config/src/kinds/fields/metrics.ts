// Fields: metrics in Telemetry.
import type { z } from 'zod';
import { list, map, message, nested } from '../../declare/message.js';
import { choice, duration, flag, text } from '../../declare/scalars.js';
import { providerReferences, WORKLOAD_MODES } from './telemetry-match.js';

/** Istio's names of its metrics. */
export const METRICS = [
  'ALL_METRICS',
  'REQUEST_COUNT',
  'REQUEST_DURATION',
  'REQUEST_SIZE',
  'RESPONSE_SIZE',
  'TCP_OPENED_CONNECTIONS',
  'TCP_CLOSED_CONNECTIONS',
  'TCP_SENT_BYTES',
  'TCP_RECEIVED_BYTES',
  'GRPC_REQUEST_MESSAGES',
  'GRPC_RESPONSE_MESSAGES',
] as const;

/** Chooses metrics. */
export const metricSelector = message(
  'MetricSelector',
  {
    metric: choice("One of Istio's metrics (default all).", METRICS),
    customMetric: text('A metric by its own name.', { minLength: 1 }),
    mode: choice('Which side (default both).', WORKLOAD_MODES),
  },
  { atMostOneOf: [['metric', 'customMetric']] },
);

/** Changes one label of a metric. */
export const tagOverride = message('TagOverride', {
  operation: choice('UPSERT (the default) or REMOVE.', ['UPSERT', 'REMOVE']),
  value: text('CEL expression for the value (UPSERT).'),
});

/** Changes some metrics. */
export const metricsOverrides = message('MetricsOverrides', {
  match: nested(metricSelector, 'Which metrics (default all).'),
  disabled: flag('Turns them off.'),
  tagOverrides: map(tagOverride, 'Labels to change, by name.'),
});

/** Metrics. */
export const metrics = message('Metrics', {
  providers: providerReferences,
  overrides: list(metricsOverrides, 'Changes, in order.'),
  reportingInterval: duration('How often TCP metrics are reported (default 5s).'),
});

export type MetricsOverrides = z.infer<typeof metricsOverrides>;
