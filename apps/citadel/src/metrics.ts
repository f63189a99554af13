// Citadel's metrics, under Istio's names.

import { CITADEL_METRIC } from '@lateen/telemetry';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export interface CitadelMetrics {
  readonly registry: Registry;
  readonly requests: Counter;
  readonly issued: Counter;
  readonly csrErrors: Counter;
  readonly authenticationFailures: Counter;
  readonly rateLimited: Counter<'scope'>;
}

export function createCitadelMetrics(rootNotAfter: Date): CitadelMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counter = (name: string, help: string) => new Counter({ name, help, registers: [registry] });
  new Gauge({
    name: CITADEL_METRIC.rootExpiry,
    help: 'When the root certificate expires, in seconds since 1970',
    registers: [registry],
  }).set(Math.floor(rootNotAfter.getTime() / 1000));
  return {
    registry,
    requests: counter(CITADEL_METRIC.csrCount, 'Certificate signing requests received'),
    issued: counter(CITADEL_METRIC.issued, 'Certificates issued'),
    csrErrors: counter(
      CITADEL_METRIC.csrParsingErrors,
      'Signing requests that could not be parsed or are not acceptable',
    ),
    authenticationFailures: counter(CITADEL_METRIC.authenticationFailures, 'Requests whose token was refused'),
    rateLimited: new Counter({
      name: 'citadel_server_rate_limited_count',
      help: 'Requests refused because a limit was reached, by the limit (identity or total)',
      labelNames: ['scope'],
      registers: [registry],
    }),
  };
}
