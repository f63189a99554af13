// Injection, wired: the ConfigMap, the API server's version, the handler.
import type { AdmissionReview } from '@lateen/injection';
import type { KubeClient } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { Registry } from 'prom-client';
import type { ConfigStore } from '../store/config-store.js';
import { InjectionConfigMap, type InjectionConfigStatus } from './injection-config-map.js';
import { createInjector } from './injection-webhook.js';
import { NativeSidecars } from './native-sidecars.js';

export interface InjectionOptions {
  readonly client: KubeClient;
  /** Of the control plane. */
  readonly namespace: string;
  readonly revision: string;
  readonly store: ConfigStore;
  /** The release; the tag of the proxies' image where the values name none. */
  readonly version: string;
  readonly registry: Registry;
  readonly logger: Logger;
}

export interface Injection {
  /** For the route `/inject`. */
  readonly handler: (review: AdmissionReview) => Promise<object>;
  readonly status: () => InjectionConfigStatus;
  stop(): Promise<void>;
}

/** What is asked before the ConfigMap was read waits for it; Galley does not: while the API server is away nobody asks. */
export function startInjection(options: InjectionOptions): Injection {
  const { client, store, logger, namespace } = options;
  const configMap = new InjectionConfigMap(options);
  const isRead = configMap.start();
  const nativeSidecars = new NativeSidecars(client, logger);
  const inject = createInjector({
    ...options,
    config: () => configMap.current,
    state: () => store.state,
    knowsNativeSidecars: () => nativeSidecars.areKnown(),
    rootNamespace: namespace,
  });
  const handler = async (review: AdmissionReview) => {
    await isRead;
    return inject(review);
  };
  return { handler, status: () => configMap.status, stop: () => configMap.stop() };
}
