// Translate: the settings that a proxy is started with, by MeshConfig, ProxyConfigs and its workload's annotation.

import {
  type ConfigObject,
  type MeshConfig,
  PROXY_CONFIG_ANNOTATION,
  type ProxyConfig,
  parseDurationMs,
  parseProxyConfig,
  selectProxyConfigs,
} from '@lateen/istio-config';
import type { StringMap } from './model.js';

/** What a proxy is started with. */
export interface ProxySettings {
  /** More variables of its environment. */
  readonly environment: StringMap;
  /** Worker processes that are asked for; 0: one for each core. */
  readonly concurrency: number | undefined;
  /** How long requests in flight may take at the end. */
  readonly terminationDrainMs: number | undefined;
}

/** Where settings come from. */
export interface ProxySettingsSource {
  readonly meshConfig: MeshConfig;
  readonly rootNamespace: string;
  readonly proxyConfigs: readonly ConfigObject<'ProxyConfig'>[];
}

export interface ProxySettingsTarget {
  readonly namespace: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
}

function ofProxyConfig(config: ProxyConfig | undefined): Partial<ProxySettings> {
  const { concurrency, proxyMetadata, terminationDrainDuration } = config ?? {};
  const terminationDrainMs = terminationDrainDuration && parseDurationMs(terminationDrainDuration);
  return { environment: proxyMetadata, concurrency, terminationDrainMs: terminationDrainMs || undefined };
}

function ofResource(config: ConfigObject<'ProxyConfig'> | undefined): Partial<ProxySettings> {
  return { environment: config?.spec.environmentVariables, concurrency: config?.spec.concurrency };
}

/** Each over those before it; variables one by one. */
function merge(levels: readonly Partial<ProxySettings>[]): ProxySettings {
  const last = <K extends keyof ProxySettings>(field: K) =>
    levels.findLast((each) => each[field] !== undefined)?.[field];
  return {
    environment: Object.assign({}, ...levels.map(({ environment }) => environment)) as StringMap,
    concurrency: last('concurrency'),
    terminationDrainMs: last('terminationDrainMs'),
  };
}

/**
 * Istio's order, from the weakest: the mesh's `defaultConfig`, the root namespace's ProxyConfig without a selector, that of
 * the workload's namespace, the annotation `proxy.istio.io/config`, the ProxyConfig that selects the workload. Of several
 * of a kind the oldest counts.
 */
export function resolveProxySettings(source: ProxySettingsSource, target: ProxySettingsTarget): ProxySettings {
  const { meshConfig, rootNamespace, proxyConfigs } = source;
  const chosen = selectProxyConfigs(proxyConfigs, rootNamespace, target);
  return merge([
    ofProxyConfig(meshConfig.defaultConfig),
    ofResource(chosen.root),
    ofResource(chosen.namespace),
    ofProxyConfig(parseProxyConfig(target.annotations[PROXY_CONFIG_ANNOTATION])),
    ofResource(chosen.workload),
  ]);
}
