// Kubernetes: what only one Galley does, and who does it: the holder of the Lease `lateen-galley`, for all revisions together.
import type { IdentitySource } from '@lateen/identity';
import { LeaseElection } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { GalleyMetrics } from '../metrics.js';
import type { ConfigRules } from '../rules.js';
import type { ConfigStore } from '../store/config-store.js';
import type { KubernetesOptions, KubernetesSources } from './kubernetes-sources.js';
import { StatusWriter } from './status-writer.js';
import { WebhookConfigurations } from './webhook-configurations.js';

export interface LeaderDutiesOptions extends KubernetesOptions {
  readonly sources: KubernetesSources;
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly source: IdentitySource;
  readonly metrics: GalleyMetrics;
  readonly logger: Logger;
}

export interface LeaderDuties {
  /** For `/debug/status`. */
  status(): object;
  stop(): Promise<void>;
}

const LEASE = 'lateen-galley';

/** Takes part in the election; the holder writes statuses and keeps the webhook configurations. */
export function startLeaderDuties(options: LeaderDutiesOptions): LeaderDuties {
  const { client, namespace, podName, sources, source, metrics, logger } = options;
  const isLeader = () => election.isLeader;
  const webhooks = new WebhookConfigurations({
    client,
    namespace,
    roots: () => source.current?.rootsPem,
    isLeader,
    logger,
  });
  const { kinds, resources } = sources;
  const statuses = new StatusWriter({ ...options, kinds, resources, isLeader, onWritten: metrics.recordStatusWrite });
  const election: LeaseElection = new LeaseElection({
    client,
    namespace,
    name: LEASE,
    identity: podName,
    ...options.leaseTimes,
    onElected: () => {
      logger.info({ podName }, 'this galley writes statuses and keeps the webhook configurations');
      metrics.recordLeader(true);
      webhooks.refresh();
      statuses.refresh();
    },
    onLost: (reason) => {
      logger.info({ podName, reason }, 'this galley no longer writes');
      metrics.recordLeader(false);
    },
    onError: (error) => error && logger.warn({ error }, `the lease ${LEASE}: ${error.message}`),
  });
  const unsubscribe = source.subscribe(() => webhooks.refresh());
  webhooks.start();
  election.start();
  return {
    status: () => ({ leader: { lease: LEASE, holder: election.holder, isLeader: election.isLeader } }),
    stop: async () => {
      unsubscribe();
      // What is under way ends before another may begin.
      await Promise.all([webhooks.stop(), statuses.stop()]);
      await election.stop();
    },
  };
}
