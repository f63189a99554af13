// Kubernetes sources, in the order in which they are read: MeshConfig and all kinds → the store. The API server is the store;
// what Galley keeps on disk is the last good version of what it read there.
import { ISTIO_KINDS, type IstioKind } from '@lateen/istio-config';
import type { KubeClient, LeaseElectionOptions } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { ConfigRules } from '../rules.js';
import type { FileStatus } from '../sources/config-directory.js';
import { forgetOrigins } from '../sources/local-sources.js';
import type { ConfigStore } from '../store/config-store.js';
import { KindInformers } from './kind-informers.js';
import { MeshConfigMap } from './mesh-config-map.js';
import type { ReadResource } from './read-resource.js';
import { ResourceSource } from './resource-source.js';

/** The cluster, and who we are in it. */
export interface KubernetesOptions {
  readonly client: KubeClient;
  /** Of the control plane. */
  readonly namespace: string;
  readonly podName: string;
  readonly revision: string;
  /** How often kinds that are not served are looked for. */
  readonly lookMs?: number;
  /** How long a Galley that has last good versions on its disk waits for the API server before it serves those. */
  readonly lastGoodAfterMs?: number;
  /** Of the leader's Lease, where others than the usual ones are wanted. */
  readonly leaseTimes?: Pick<LeaseElectionOptions, 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'>;
}

export interface KubernetesSourcesOptions extends KubernetesOptions {
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly onStatus: (status: FileStatus) => void;
  readonly onRead: (read: ReadResource) => void;
  readonly logger: Logger;
}

export interface KubernetesSources {
  /** For `/debug/status`. */
  status(): object;
  stop(): Promise<void>;
  readonly kinds: KindInformers;
  readonly resources: ResourceSource;
}

const LAST_GOOD_AFTER_MS = 10_000;

/**
 * Resolves when everything that the API server has is in force; or, while it cannot be reached, what was in force before,
 * where something was. An empty Galley must not serve: Pilot would take all routes away.
 */
export async function startKubernetesSources(options: KubernetesSourcesOptions): Promise<KubernetesSources> {
  const { store, client, onRead, logger, lastGoodAfterMs = LAST_GOOD_AFTER_MS } = options;
  await forgetOrigins(store, ['applied', 'directory']);
  const hasLastGood = [...store.state.resources.values()].some(({ origin }) => origin === 'kubernetes');
  const resources = new ResourceSource({ ...options, onRead });
  const kinds = new KindInformers({
    client,
    kinds: ISTIO_KINDS as readonly IstioKind[],
    onList: (kind, objects) => resources.replace(kind, objects),
    onChanges: (kind, changes) => resources.change(kind, changes),
    lookMs: options.lookMs,
    logger,
  });
  const meshConfig = new MeshConfigMap(options);
  const everythingRead = Promise.all([meshConfig.start(), kinds.start().settled]).then(() => resources.settled());
  let isRead = false;
  void everythingRead.then(() => {
    isRead = true;
    logger.info({ resources: resources.seen.size }, 'everything that the API server has is read');
  });
  const limit = hasLastGood ? lastGoodAfterMs : undefined;
  if (!(await inTime(everythingRead, limit))) {
    logger.warn(
      { kinds: kinds.states },
      'the API server does not answer; what was in force before is served meanwhile',
    );
  }
  return {
    kinds,
    resources,
    status: () => ({
      meshConfig: meshConfig.status,
      kubernetes: { server: client.access.server, isRead, kinds: kinds.states, rejected: resources.rejected },
    }),
    stop: async () => {
      await Promise.all([kinds.stop(), meshConfig.stop()]);
      await resources.stop();
    },
  };
}

/** False when the limit passed first. */
async function inTime(work: Promise<unknown>, limitMs: number | undefined): Promise<boolean> {
  if (limitMs === undefined) {
    await work;
    return true;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const done = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return done;
}
