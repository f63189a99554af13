// Settings: the ProxyConfig that a proxy is started with: the mesh's `defaultConfig`, ProxyConfig resources and the pod's
// annotation, merged field by field in Istio's order.

import {
  type ConfigObject,
  type MeshConfig,
  PROXY_CONFIG_ANNOTATION,
  type ProxyConfig,
  parseProxyConfig,
  selectProxyConfigs,
} from '@lateen/istio-config';
import { deepMerge, type JsonObject } from '../config/deep-merge.js';
import { annotationsOf, labelsOf, type Pod } from '../pod.js';

/** What of the mesh's configuration injection looks at. */
export interface MeshSettings {
  readonly meshConfig: MeshConfig;
  readonly proxyConfigs: readonly ConfigObject<'ProxyConfig'>[];
  readonly rootNamespace: string;
}

export const DEFAULT_MESH_SETTINGS: MeshSettings = {
  meshConfig: {},
  proxyConfigs: [],
  rootNamespace: 'istio-system',
};

export function effectiveProxyConfig(mesh: MeshSettings, pod: Pod, namespace: string): ProxyConfig {
  const { meshConfig, rootNamespace, proxyConfigs } = mesh;
  const chosen = selectProxyConfigs(proxyConfigs, rootNamespace, { namespace, labels: labelsOf(pod) });
  const levels = [
    meshConfig.defaultConfig,
    ofResource(chosen.root),
    ofResource(chosen.namespace),
    parseProxyConfig(annotationsOf(pod)[PROXY_CONFIG_ANNOTATION]),
    ofResource(chosen.workload),
  ];
  const empty: JsonObject = {};
  return levels.reduce<JsonObject>((all, level) => deepMerge(all, (level ?? {}) as JsonObject), empty) as ProxyConfig;
}

/** Its fields under the names of MeshConfig's `defaultConfig`; which workloads it is for is no part of it. */
function ofResource(config: ConfigObject<'ProxyConfig'> | undefined): ProxyConfig {
  const { concurrency, environmentVariables, image } = config?.spec ?? {};
  return {
    ...(concurrency !== undefined && { concurrency }),
    ...(environmentVariables !== undefined && { proxyMetadata: environmentVariables }),
    ...(image !== undefined && { image }),
  } as ProxyConfig;
}
