// Explain: who calls: the workload that a name means, and the proxy that it has.

import { nearestWords } from '@lateen/istio-config';
import { interceptionModeOf, type MeshSnapshot, type ProxyNode, type Workload } from '@lateen/translate';

/** The name means no workload; the text says which there are. */
export class UnknownCallerError extends Error {}

const GATEWAY_NAMES = new Set(['gateway', 'ingress', 'ingressgateway', 'istioingressgateway']);

/** How a workload may be called, most exact first. */
function namesOf({ name, namespace, workloadName, labels }: Workload): string[] {
  const { app, version } = labels;
  const forms = [name, workloadName, ...(app === undefined ? [] : [...(version ? [`${app}/${version}`] : []), app])];
  return forms.filter((form) => form !== '').flatMap((form) => [form, `${form}.${namespace}`, `${namespace}/${form}`]);
}

/**
 * The workload that `text` names: a pod, a Deployment, `APP/VERSION` or `APP` by the labels, each also with its
 * namespace (`NAME.NAMESPACE`, `NAMESPACE/NAME`), or `ingress gateway`. Of several pods the first.
 *
 * @param namespace of names that say none; undefined searches all
 * @throws UnknownCallerError naming what is close, and what there is; or where the name means different Deployments
 */
export function findCaller(snapshot: MeshSnapshot, text: string, namespace: string | undefined): Workload {
  const { workloads } = snapshot;
  const wanted = text.trim();
  if (GATEWAY_NAMES.has(wanted.toLowerCase().replace(/[\s_-]/g, ''))) {
    const gateway = workloads.find((workload) => workload.gateway);
    if (gateway !== undefined) return gateway;
  }
  const bare = wanted.replace(/^(?:deployments?|deploy|pods?)\//, '');
  const candidates = namespace === undefined ? workloads : workloads.filter((each) => each.namespace === namespace);
  let best: Workload[] = [];
  let bestRank = Number.POSITIVE_INFINITY;
  for (const workload of candidates) {
    const rank = namesOf(workload).indexOf(bare);
    if (rank < 0 || rank > bestRank) continue;
    if (rank < bestRank) best = [];
    bestRank = rank;
    best.push(workload);
  }
  const deployments = [...new Set(best.map(({ workloadName, namespace: own }) => `${workloadName}.${own}`))];
  if (deployments.length > 1) {
    throw new UnknownCallerError(`"${text}" means several workloads: ${deployments.join(', ')}; name one of them`);
  }
  if (best[0] !== undefined) return best[0];
  throw new UnknownCallerError(unknownText(workloads, text, namespace));
}

function unknownText(workloads: readonly Workload[], text: string, namespace: string | undefined): string {
  const known = [...new Set(workloads.map(({ workloadName, namespace: own }) => `${workloadName}.${own}`))].sort();
  const close = nearestWords(text, new Set(workloads.flatMap(namesOf)), 3);
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  const meant = close.length === 0 ? '' : `; did you mean ${close.join(' or ')}?`;
  const list = known.length === 0 ? 'there is none: give the Deployments by --config or --services' : known.join(', ');
  return `no workload "${text}"${where}${meant === '' ? ';' : meant} workloads are ${list}`;
}

/** The node that the workload's proxy presents to Pilot. */
export function nodeOfWorkload(workload: Workload, snapshot: MeshSnapshot): ProxyNode {
  const type = workload.gateway ? 'router' : 'sidecar';
  const domain = `${workload.namespace}.svc.${snapshot.clusterDomain}`;
  return {
    id: `${type}~${workload.address}~${workload.name}.${workload.namespace}~${domain}`,
    type,
    ipAddress: workload.address,
    podName: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    workloadName: workload.workloadName,
    clusterId: 'Kubernetes',
    locality: '',
    labels: workload.labels,
    interceptionMode: interceptionModeOf(workload),
    understandsIstioFilters: true,
    proxyless: false,
    metadata: {},
  };
}

/** A pod of a cluster that nobody injected a sidecar into. */
export function hasNoSidecar({ takesEveryPort, mutualTls }: Workload): boolean {
  return takesEveryPort === true && mutualTls === false;
}
