// Citadel's metrics, under Istio's names.

import { CITADEL_METRIC } from '@lateen/telemetry';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Authority } from './authority/authority.js';

export interface CitadelMetrics {
  readonly registry: Registry;
  readonly requests: Counter;
  readonly issued: Counter;
  readonly csrErrors: Counter;
  readonly authenticationFailures: Counter;
  readonly rateLimited: Counter<'scope'>;
  readonly tokenReviews: Counter<'result'>;
  readonly trustBundleWrites: Counter<'result'>;
}

/** @param leads whether this replica writes the root and the trust bundles; undefined outside of a cluster */
export function createCitadelMetrics(authority: Authority, leads?: () => boolean): CitadelMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counter = (name: string, help: string) => new Counter({ name, help, registers: [registry] });
  const gauge = (name: string, help: string, seconds: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(seconds());
      },
    });
  const at = (date: Date) => Math.floor(date.getTime() / 1000);
  const left = (date: Date) => Math.floor((date.getTime() - Date.now()) / 1000);
  const root = () => authority.current.rootNotAfter;
  const chain = () => authority.current.chainNotAfter;
  gauge(CITADEL_METRIC.rootExpiry, 'When the root certificate expires, in seconds since 1970', () => at(root()));
  gauge(CITADEL_METRIC.rootSecondsLeft, 'Seconds until the root certificate expires', () => left(root()));
  gauge(CITADEL_METRIC.chainExpiry, 'When the first certificate of the chain expires, in seconds since 1970', () =>
    at(chain()),
  );
  gauge(CITADEL_METRIC.chainSecondsLeft, 'Seconds until the first certificate of the chain expires', () =>
    left(chain()),
  );
  const labelled = <Label extends string>(name: string, help: string, label: Label) =>
    new Counter({ name, help, labelNames: [label], registers: [registry] });
  if (leads !== undefined)
    gauge('citadel_leader', 'Whether this replica writes the root and the trust bundles', () => (leads() ? 1 : 0));
  return {
    registry,
    requests: counter(CITADEL_METRIC.csrCount, 'Certificate signing requests received'),
    issued: counter(CITADEL_METRIC.issued, 'Certificates issued'),
    csrErrors: counter(
      CITADEL_METRIC.csrParsingErrors,
      'Signing requests that could not be parsed or are not acceptable',
    ),
    authenticationFailures: counter(
      CITADEL_METRIC.authenticationFailures,
      'Requests whose token or certificate was refused',
    ),
    rateLimited: labelled(
      'citadel_server_rate_limited_count',
      'Requests refused because a limit was reached, by the limit (identity or total)',
      'scope',
    ),
    tokenReviews: labelled(
      'citadel_token_reviews_total',
      'Answers of the API server about tokens (authenticated, refused or unavailable)',
      'result',
    ),
    trustBundleWrites: labelled(
      'citadel_trust_bundle_writes_total',
      'ConfigMaps with the trust bundle that were written, or could not be (written or failed)',
      'result',
    ),
  };
}
