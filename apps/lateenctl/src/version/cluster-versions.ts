// Version: of a mesh in a cluster: each pod of the control plane says its own at its monitoring port; Pilot says those of the proxies.

import { SYSTEM_NAMESPACE } from '@lateen/installation';
import { type Pod, resourceTypes } from '@lateen/kubernetes';
import type { Cluster } from '../cluster/cluster.js';
import { clusterControlPlane } from '../cluster/cluster-control-plane.js';
import { PortForwards } from '../cluster/port-forward.js';
import { ADMIN_SERVICES } from '../mesh/control-plane.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { CliError } from '../output/cli-error.js';
import {
  type ComponentVersion,
  countVersions,
  type MeshVersions,
  type ProxyVersions,
  versionAt,
} from './mesh-versions.js';

const MONITORING_PORT = 15_014;
const TIMEOUT_MS = 5000;
const COMPONENTS: ReadonlySet<string> = new Set(ADMIN_SERVICES);

/** @param warn is told what had to be learnt another way */
export async function clusterVersions(cluster: Cluster, warn: (text: string) => void): Promise<MeshVersions> {
  const all = await cluster.client.listAll(resourceTypes.pods, { namespace: SYSTEM_NAMESPACE });
  const items = all.items.filter(({ metadata }) => COMPONENTS.has(metadata.labels?.app ?? ''));
  const forwards = new PortForwards(cluster.access.kubeConfig);
  try {
    const pods = [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const controlPlane = await Promise.all(pods.map((pod) => componentVersion(pod, forwards)));
    return { controlPlane, dataPlane: items.length === 0 ? [] : await dataPlane(cluster, items, warn) };
  } finally {
    forwards.close();
  }
}

async function componentVersion(pod: Pod, forwards: PortForwards): Promise<ComponentVersion> {
  const { name, labels = {} } = pod.metadata;
  const component = labels.app ?? '';
  const { address, port } = await forwards.open(async () => ({ namespace: SYSTEM_NAMESPACE, name }), MONITORING_PORT);
  const version = await versionAt(address, port, TIMEOUT_MS);
  return { component, pod: name, version: version ?? tagOf(imageOf(pod, component)) ?? null, told: version !== null };
}

/** Every revision's Pilot knows its own proxies. Where one cannot be asked, the images of all proxies are told. */
async function dataPlane(
  cluster: Cluster,
  controlPlanePods: readonly Pod[],
  warn: (text: string) => void,
): Promise<readonly ProxyVersions[] | undefined> {
  const pilots = controlPlanePods.filter(({ metadata }) => metadata.labels?.app === 'pilot');
  const revisions = [...new Set(pilots.map(({ metadata }) => metadata.labels?.['istio.io/rev'] ?? 'default'))];
  try {
    const known = new Map<string, string>();
    for (const revision of revisions) {
      for (const { proxyId, version } of await proxiesOf(cluster, revision)) known.set(proxyId, version);
    }
    return countVersions([...known.values()]);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    warn(`what Pilot knows of the proxies (told here: the tags of their images): ${error.message}`);
    return versionsOfImages(cluster, warn);
  }
}

async function proxiesOf(
  cluster: Cluster,
  revision: string,
): Promise<readonly { readonly proxyId: string; readonly version: string }[]> {
  const { controlPlane, forwards } = await clusterControlPlane(cluster, revision, 'viewer');
  try {
    return await pilotDebug(controlPlane, '/debug/syncz');
  } finally {
    forwards.close();
  }
}

async function versionsOfImages(
  { client }: Cluster,
  warn: (text: string) => void,
): Promise<readonly ProxyVersions[] | undefined> {
  try {
    const { items } = await client.listAll(resourceTypes.pods);
    return countVersions(
      items.flatMap((pod) => {
        const image = imageOf(pod, 'istio-proxy');
        return image === undefined ? [] : [tagOf(image) ?? ''];
      }),
    );
  } catch (error) {
    warn(`the pods of all namespaces: ${(error as Error).message}`);
    return undefined;
  }
}

function imageOf({ spec }: Pod, container: string): string | undefined {
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].find(({ name }) => name === container)?.image;
}

/** `1.2.0` of `registry:5000/lateen/pilot:1.2.0@sha256:…`. */
export function tagOf(image: string | undefined): string | undefined {
  return /:([^:/@]+)(?:@.*)?$/.exec(image ?? '')?.[1];
}
