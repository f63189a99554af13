// Cluster: what Citadel does there beside signing: the root in a Secret, one leader of several replicas, trust bundles in every namespace.

import type { KubeClient } from '@lateen/kubernetes';
import type { AuthoritySource, AuthoritySourceOptions } from '../authority/authority-source.js';
import type { CitadelMetrics } from '../metrics.js';
import { openClusterAuthority } from './cluster-authority.js';
import { Leadership, type LeadershipOptions } from './leadership.js';
import { TrustBundles } from './trust-bundles.js';

export interface ClusterOptions
  extends Pick<LeadershipOptions, 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'> {
  readonly client: KubeClient;
  /** Who this replica is; no two may share it. */
  readonly podName: string;
  readonly revision: string;
}

export interface ClusterCitadel {
  readonly source: AuthoritySource;
  leads(): boolean;
  /** Stands for leadership; with it come rotations and trust bundles. */
  start(metrics: CitadelMetrics): void;
  /** Gives leadership back. */
  stop(): Promise<void>;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** @throws Error naming the Secret that cannot be used */
export async function openCluster(
  cluster: ClusterOptions,
  options: Omit<AuthoritySourceOptions, 'stateDir' | 'caDir' | 'auditFile' | 'lease' | 'onFailure'>,
): Promise<ClusterCitadel> {
  const { client, podName, leaseDurationMs, renewDeadlineMs, retryPeriodMs } = cluster;
  const { logger } = options;
  const namespace = SYSTEM_NAMESPACE;
  const leadership = new Leadership({
    ...{ client, namespace, identity: podName, logger },
    ...{ leaseDurationMs, renewDeadlineMs, retryPeriodMs },
  });
  const source = await openClusterAuthority({ ...options, client, namespace, leadership, podName });
  return {
    source,
    leads: () => leadership.isLeader,
    start: ({ trustBundleWrites }) => {
      let bundles: TrustBundles | undefined;
      leadership.add({
        begin: async () => {
          bundles = new TrustBundles({
            client,
            authority: source.authority,
            leads: () => leadership.isLeader,
            logger,
            onWrite: (result) => trustBundleWrites.inc({ result }),
          }).start();
        },
        end: async () => bundles?.stop(),
      });
      leadership.start();
    },
    stop: () => leadership.stop(),
  };
}
