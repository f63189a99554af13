// Bug report: of a cluster: the control plane, and the namespaces with proxies or those that were named.

import { analyze, formatFinding } from '@lateen/analysis';
import type { AdminRole } from '@lateen/identity/plain';
import { SYSTEM_NAMESPACE } from '@lateen/installation';
import { type KubeClient, type Pod, type ResourceType, resourceTypes } from '@lateen/kubernetes';
import { readCluster } from '../analyze/read-cluster.js';
import type { Cluster } from '../cluster/cluster.js';
import { clusterControlPlane } from '../cluster/cluster-control-plane.js';
import { PortForwards } from '../cluster/port-forward.js';
import { sidecarInCluster } from '../cluster/sidecar-in-cluster.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { sidecarSource } from '../proxy-config/proxy-source.js';
import { clusterVersions } from '../version/cluster-versions.js';
import { addProxy } from './proxy-report.js';
import type { Report } from './report.js';

export interface ClusterScope {
  /** None: all with proxies. */
  readonly namespaces: readonly string[];
  readonly tailLines: number;
  readonly revision: string;
  readonly role: AdminRole;
}

const MAX_LOG_BYTES = 4 * 1024 * 1024;

const OF_NAMESPACES: readonly ResourceType[] = [
  { group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true },
  { group: 'apps', version: 'v1', kind: 'Deployment', plural: 'deployments', namespaced: true },
  resourceTypes.services,
  resourceTypes.endpointSlices,
];

export async function collectCluster(report: Report, cluster: Cluster, scope: ClusterScope): Promise<void> {
  const { client } = cluster;
  await report.add('versions.json', () => clusterVersions(cluster, (text) => report.missing.push(`versions: ${text}`)));
  await report.add('analyze.txt', async () => {
    const { input, unread } = await readCluster(client);
    for (const kind of unread) report.missing.push(`analyze: ${kind} objects, which you may not list`);
    const findings = analyze(input).map(formatFinding);
    return findings.length === 0 ? 'no finding\n' : `${findings.join('\n')}\n`;
  });
  await addControlPlane(report, client);
  await addDebugPages(report, cluster, scope);
  const all = (await report.attempt('pods of all namespaces', () => client.listAll(resourceTypes.pods)))?.items ?? [];
  const meshed = all.filter(hasProxy).map(({ metadata }) => metadata.namespace ?? '');
  const chosen = scope.namespaces.length > 0 ? scope.namespaces : meshed;
  for (const namespace of new Set([SYSTEM_NAMESPACE, ...chosen])) await addNamespace(report, cluster, namespace, scope);
}

/** What the mesh goes by. */
async function addControlPlane(report: Report, client: KubeClient): Promise<void> {
  const namespace = SYSTEM_NAMESPACE;
  await report.add(
    `${namespace}/configmaps.yaml`,
    async () => (await client.listAll(resourceTypes.configMaps, { namespace })).items,
  );
  await report.add(
    `${namespace}/leases.yaml`,
    async () => (await client.listAll(resourceTypes.leases, { namespace })).items,
  );
  const webhooks = {
    'mutating-webhooks': resourceTypes.mutatingWebhooks,
    'validating-webhooks': resourceTypes.validatingWebhooks,
  };
  for (const [name, type] of Object.entries(webhooks)) {
    await report.add(`${name}.yaml`, async () => (await client.listAll(type)).items);
  }
  await report.add('namespaces.yaml', async () => (await client.listAll(resourceTypes.namespaces)).items);
  await report.add('nodes.yaml', async () => (await client.listAll(resourceTypes.nodes)).items);
}

async function addDebugPages(report: Report, cluster: Cluster, { revision, role }: ClusterScope): Promise<void> {
  const plane = await report.attempt('what Pilot knows', () => clusterControlPlane(cluster, revision, role));
  if (plane === undefined) return;
  try {
    await report.add('proxy-status.json', () => pilotDebug(plane.controlPlane, '/debug/syncz'));
    await report.add('registry.json', () => pilotDebug(plane.controlPlane, '/debug/registryz'));
  } finally {
    plane.forwards.close();
  }
}

async function addNamespace(report: Report, cluster: Cluster, namespace: string, scope: ClusterScope): Promise<void> {
  const { client } = cluster;
  for (const type of OF_NAMESPACES) {
    await report.add(`${namespace}/${type.plural}.yaml`, async () => (await client.listAll(type, { namespace })).items);
  }
  const pods =
    (await report.attempt(`${namespace}/pods.yaml`, () => client.listAll(resourceTypes.pods, { namespace })))?.items ??
    [];
  await report.add(`${namespace}/pods.yaml`, async () => pods);
  for (const pod of pods) {
    await addLogs(report, client, pod, scope.tailLines);
    if (hasProxy(pod)) await addProxyOf(report, cluster, pod);
  }
}

async function addProxyOf(report: Report, { access }: Cluster, { metadata, status }: Pod): Promise<void> {
  const { name, namespace = '' } = metadata;
  const forwards = new PortForwards(access.kubeConfig);
  try {
    const pod = { name, namespace, address: status?.podIP ?? '' };
    const admin = await sidecarInCluster({ forwards }, pod);
    await addProxy(report, pod, sidecarSource(admin));
  } finally {
    forwards.close();
  }
}

/** Of every container, and of the run before where it has been started again. */
async function addLogs(report: Report, client: KubeClient, pod: Pod, tailLines: number): Promise<void> {
  const { name, namespace = '' } = pod.metadata;
  for (const container of [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])]) {
    for (const previous of hasRestarted(pod, container.name) ? [false, true] : [false]) {
      const file = `${namespace}/logs/${name}/${container.name}${previous ? '.previous' : ''}.log`;
      await report.add(file, async () => {
        const path = `/api/v1/namespaces/${namespace}/pods/${name}/log`;
        const query = { container: container.name, tailLines, limitBytes: MAX_LOG_BYTES, previous };
        const chunks: Buffer[] = [];
        const answer = await client.open(`read the log of ${container.name}`, { method: 'GET', path, query });
        for await (const chunk of answer) chunks.push(chunk as Buffer);
        return Buffer.concat(chunks).toString('utf8');
      });
    }
  }
}

function hasRestarted({ status }: Pod, container: string): boolean {
  const { initContainerStatuses = [], containerStatuses = [] } = (status ?? {}) as Readonly<
    Record<string, readonly { readonly name: string; readonly restartCount?: number }[] | undefined>
  >;
  return [...initContainerStatuses, ...containerStatuses].some(
    ({ name, restartCount = 0 }) => name === container && restartCount > 0,
  );
}

function hasProxy({ spec }: Pod): boolean {
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].some(({ name }) => name === 'istio-proxy');
}
