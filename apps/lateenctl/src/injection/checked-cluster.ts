// Injection: pods, namespaces and webhooks of a cluster.

import { type MutatingWebhookConfiguration, namesOfConfiguration, type Pod } from '@lateen/injection';
import { ApiError, isNotFound, type KubeClient, resourceTypes } from '@lateen/kubernetes';
import { CliError } from '../output/cli-error.js';
import { configMapName, type GivenMesh, type GivenPod, isInjectionWebhook } from './checked-pods.js';

export interface PodChoice {
  /** Undefined: all of them. */
  readonly namespace: string | undefined;
  readonly name?: string;
  /** As of `kubectl -l`. */
  readonly selector?: string;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** @throws CliError where a pod that was named is not there; ApiError */
export async function readCheckedCluster(
  client: KubeClient,
  choice: PodChoice,
  warn: (text: string) => void,
): Promise<{ readonly pods: readonly GivenPod[]; readonly mesh: GivenMesh }> {
  const [pods, namespaces, all] = await Promise.all([
    readPods(client, choice),
    readNamespaces(client, choice),
    client.listAll(resourceTypes.mutatingWebhooks),
  ]);
  const webhooks = all.items.filter(isInjectionWebhook) as unknown as MutatingWebhookConfiguration[];
  const revisions = new Set(webhooks.map((each) => namesOfConfiguration(each).revision));
  const configs = await Promise.all([...revisions].map((revision) => readConfig(client, revision, warn)));
  return { pods, mesh: { namespaces, webhooks, configs: new Map(configs.flat()) } };
}

async function readPods(client: KubeClient, { namespace, name, selector }: PodChoice): Promise<GivenPod[]> {
  if (name === undefined) {
    const { items } = await client.listAll(resourceTypes.pods, { namespace, labelSelector: selector });
    return items.map(givenPod);
  }
  try {
    return [givenPod(await client.get(resourceTypes.pods, { namespace, name }))];
  } catch (error) {
    if (isNotFound(error)) throw new CliError(`there is no pod ${name} in namespace ${namespace}`);
    throw error;
  }
}

/** The client leaves nothing out of what the API server sends; its type says less. */
function givenPod(pod: { readonly metadata: { readonly name: string; readonly namespace?: string } }): GivenPod {
  const { name, namespace = '' } = pod.metadata;
  return { name, namespace, pod: pod as unknown as Pod };
}

async function readNamespaces(client: KubeClient, { namespace }: PodChoice): Promise<GivenMesh['namespaces']> {
  const type = resourceTypes.namespaces;
  const found =
    namespace === undefined ? (await client.listAll(type)).items : [await client.get(type, { name: namespace })];
  return new Map(found.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
}

type Config = [string, { readonly config?: string; readonly values?: string }];

/** Whoever looks at their own pods may not be allowed to look at the control plane's ConfigMaps. */
async function readConfig(client: KubeClient, revision: string, warn: (text: string) => void): Promise<Config[]> {
  const name = configMapName(revision);
  try {
    const { data } = await client.get(resourceTypes.configMaps, { namespace: SYSTEM_NAMESPACE, name });
    return [[revision, data ?? {}]];
  } catch (error) {
    if (isNotFound(error)) return [];
    if (!(error instanceof ApiError) || error.code !== 403) throw error;
    warn(`ConfigMap ${SYSTEM_NAMESPACE}/${name} may not be read: its rules count as the defaults`);
    return [];
  }
}
