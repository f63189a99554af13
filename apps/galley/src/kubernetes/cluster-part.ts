// Kubernetes: what Galley does for the cluster once it has a certificate: webhooks, and what the leader does.
import type { IdentitySource } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { GalleyMetrics } from '../metrics.js';
import type { ConfigRules } from '../rules.js';
import type { ConfigStore } from '../store/config-store.js';
import { startWebhookRoutes } from '../webhook/webhook-routes.js';
import { startWebhookServer } from '../webhook/webhook-server.js';
import type { KubernetesOptions, KubernetesSources } from './kubernetes-sources.js';
import { startLeaderDuties } from './leader-duties.js';

export interface ClusterPartOptions extends KubernetesOptions {
  readonly sources: KubernetesSources;
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly source: IdentitySource;
  readonly metrics: GalleyMetrics;
  readonly logger: Logger;
  readonly address: string;
  /** The release. */
  readonly version: string;
  readonly webhookPort: number;
}

export interface ClusterPart {
  readonly webhookPort: number;
  /** For `/debug/status`. */
  status(): object;
  stop(): Promise<void>;
}

/** Resolves when webhooks are served. */
export async function startClusterPart(options: ClusterPartOptions): Promise<ClusterPart> {
  const { source, address, metrics, logger } = options;
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const routes = await startWebhookRoutes(options, stops);
  const port = options.webhookPort;
  const server = await startWebhookServer({
    source,
    address,
    port,
    routes,
    onAnswered: metrics.recordAnswer,
    logger,
  });
  const duties = startLeaderDuties(options);
  return {
    webhookPort: server.port,
    status: duties.status,
    stop: async () => {
      await duties.stop();
      await server.close();
      for (const stop of stops.splice(0).reverse()) await stop();
    },
  };
}
