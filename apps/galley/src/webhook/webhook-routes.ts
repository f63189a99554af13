// Webhooks: the table of what is served at 15017, and the parts that each handler needs.
import type { Logger } from '@lateen/telemetry';
import { startInjection } from '../injection/start-injection.js';
import type { KubernetesOptions } from '../kubernetes/kubernetes-sources.js';
import type { GalleyMetrics } from '../metrics.js';
import type { ConfigRules } from '../rules.js';
import type { ConfigStore } from '../store/config-store.js';
import { createValidator } from './validate-review.js';
import type { AdmissionHandler } from './webhook-server.js';

export interface WebhookParts extends KubernetesOptions {
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly metrics: GalleyMetrics;
  /** The release. */
  readonly version: string;
  readonly logger: Logger;
}

/** Starts what handlers need; resolves when they can answer. `stops` gets what must end with Galley. */
export async function startWebhookRoutes(
  parts: WebhookParts,
  stops: (() => Promise<unknown> | unknown)[],
): Promise<Readonly<Record<string, AdmissionHandler>>> {
  const { store, rules, metrics } = parts;
  const injection = startInjection({ ...parts, registry: metrics.registry });
  stops.push(() => injection.stop());
  return {
    '/inject': injection.handler,
    '/validate': createValidator({ rules, state: () => store.state, onValidated: metrics.recordReview }),
  };
}
