// Injection: `/inject`: what the API server asks about a pod that is made → the pod's proxy.
import {
  type AdmissionReview,
  type InjectionConfig,
  type InjectionSource,
  type MeshSettings,
  reviewPod,
} from '@lateen/injection';
import type { ConfigObject, MeshConfig } from '@lateen/istio-config';
import { GALLEY_METRIC, type Logger } from '@lateen/telemetry';
import { Counter, type Registry } from 'prom-client';
import type { ConfigState } from '../store/config-store.js';
import { MESH_CONFIG, objectOf, resourceKey } from '../store/stored-resource.js';

export interface InjectorOptions {
  readonly config: () => InjectionConfig;
  /** MeshConfig and ProxyConfigs that are in force. */
  readonly state: () => ConfigState;
  readonly knowsNativeSidecars: () => Promise<boolean>;
  readonly revision: string;
  readonly version: string;
  readonly rootNamespace: string;
  readonly registry: Registry;
  readonly logger: Logger;
}

/** @returns the handler of the route */
export function createInjector(options: InjectorOptions): (review: AdmissionReview) => Promise<object> {
  const { revision, version, logger } = options;
  const count = createCounters(options.registry);
  const mesh = rememberLast((state: ConfigState) => meshSettings(state, options.rootNamespace));
  return async (review) => {
    count.requests.inc();
    try {
      const source: InjectionSource = {
        config: options.config(),
        mesh: mesh(options.state()),
        revision,
        version,
        knowsNativeSidecars: await options.knowsNativeSidecars(),
      };
      const { outcome, reason, answer } = reviewPod(review, source);
      count[outcome].inc();
      const pod = describePod(review);
      if (outcome === 'failed') logger.warn({ pod, reason }, `injection of ${pod} failed: ${reason}`);
      else logger.debug({ pod, outcome, reason }, `injection: ${pod} ${outcome}`);
      return answer;
    } catch (error) {
      count.failed.inc();
      throw error;
    }
  };
}

function createCounters(registry: Registry) {
  const counter = (name: string, help: string) => new Counter({ name, help, registers: [registry] });
  return {
    requests: counter(GALLEY_METRIC.injectionRequests, 'Pods that the injection webhook was asked about'),
    injected: counter(GALLEY_METRIC.injectionSuccess, 'Pods that got a proxy'),
    failed: counter(GALLEY_METRIC.injectionFailure, 'Pods that could not get their proxy, and were refused'),
    skipped: counter(GALLEY_METRIC.injectionSkip, 'Pods that were asked about and get no proxy'),
  };
}

function meshSettings(state: ConfigState, rootNamespace: string): MeshSettings {
  const meshConfig = state.resources.get(resourceKey(MESH_CONFIG.kind, MESH_CONFIG.namespace, MESH_CONFIG.name));
  const proxyConfigs = [...state.resources.values()].filter(({ kind }) => kind === 'ProxyConfig');
  const config = (meshConfig?.spec ?? {}) as MeshConfig;
  return {
    meshConfig: config,
    proxyConfigs: proxyConfigs.map((each) => objectOf(each) as ConfigObject<'ProxyConfig'>),
    rootNamespace: config.rootNamespace ?? rootNamespace,
  };
}

/** A state never changes, so that the same one gives the same answer. */
function rememberLast<A, B>(compute: (input: A) => B): (input: A) => B {
  let last: { input: A; output: B } | undefined;
  return (input) => {
    if (last?.input !== input) last = { input, output: compute(input) };
    return last.output;
  };
}

/** A pod that a controller makes has no name yet. */
function describePod({ request }: AdmissionReview): string {
  const metadata = (request?.object as { metadata?: { name?: string; generateName?: string } } | undefined)?.metadata;
  return `${request?.namespace ?? ''}/${metadata?.name ?? metadata?.generateName ?? ''}`;
}
