// Values: the annotation by which a pod says its own part of the mesh's ProxyConfig.
import { checkStructure } from '../declare/check.js';
import { readYaml } from '../yaml/read.js';
import { type ProxyConfig, proxyConfig } from './proxy-config.js';

/** Its value is YAML with fields of MeshConfig's `defaultConfig`. */
export const PROXY_CONFIG_ANNOTATION = 'proxy.istio.io/config';

/** What of it is right; undefined where there is none, or it is no mapping. */
export function parseProxyConfig(text: string | undefined): ProxyConfig | undefined {
  if (text === undefined) return undefined;
  const [document] = readYaml(text).documents;
  if (typeof document?.value !== 'object' || document.value === null) return undefined;
  return checkStructure(proxyConfig, document.value).value as ProxyConfig;
}
