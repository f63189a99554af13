// Kind Telemetry: metrics, access logs and traces of some workloads.
import type { z } from 'zod';
import { list, message, nested } from '../declare/message.js';
import { flag, text } from '../declare/scalars.js';
import { metrics } from './fields/metrics.js';
import { attachment } from './fields/selector.js';
import { modeMatch, providerReferences } from './fields/telemetry-match.js';
import { tracing } from './fields/tracing.js';

/** Access logs. */
export const accessLogging = message('AccessLogging', {
  match: nested(modeMatch, 'Which side.'),
  providers: providerReferences,
  disabled: flag('Turns logging off.'),
  filter: nested(
    message('Filter', { expression: text('CEL expression; what it holds for is logged.', { minLength: 1 }) }),
    'Which exchanges are logged.',
  ),
});

/** The spec of a Telemetry. */
export const telemetry = message(
  'Telemetry',
  {
    ...attachment,
    tracing: list(tracing, 'Traces.'),
    metrics: list(metrics, 'Metrics.'),
    accessLogging: list(accessLogging, 'Access logs.'),
  },
  { atMostOneOf: [['selector', 'targetRef', 'targetRefs']], instead: { logging: 'accessLogging' } },
);

export type TelemetrySpec = z.infer<typeof telemetry>;
