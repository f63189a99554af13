// Cluster: the ConfigMap by which every namespace gets the trusted roots, as Istio has it.

import { readCertificates } from '@lateen/identity';
import { type ConfigMap, isNotFound, type KubeClient, resourceTypes } from '@lateen/kubernetes';

export const BUNDLE_CONFIG_MAP = 'istio-ca-root-cert';
export const BUNDLE_KEY = 'root-cert.pem';
const LABELS = { 'istio.io/config': 'true' };

/** What it shall be; what others have added stays. */
export function bundleConfigMap(namespace: string, bundlePem: string, present?: ConfigMap): ConfigMap {
  const { labels, ...metadata } = present?.metadata ?? { name: BUNDLE_CONFIG_MAP, namespace };
  return {
    ...present,
    metadata: { ...metadata, labels: { ...labels, ...LABELS } },
    data: { ...present?.data, [BUNDLE_KEY]: bundlePem },
  };
}

/** What people call the ConfigMap of a namespace, where it has a root; undefined where it has none. */
export async function readRoots(client: KubeClient, namespace: string): Promise<string | undefined> {
  try {
    const { data } = await client.get(resourceTypes.configMaps, { namespace, name: BUNDLE_CONFIG_MAP });
    return hasRoot(data?.[BUNDLE_KEY]) ? `${namespace}/${BUNDLE_CONFIG_MAP}` : undefined;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function hasRoot(pem: string | undefined): boolean {
  try {
    return readCertificates(pem ?? '').length > 0;
  } catch {
    return false; // nobody can live by it
  }
}
