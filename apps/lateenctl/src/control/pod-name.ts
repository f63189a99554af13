// Control: finds the pods that a user means: NAME, NAME.NAMESPACE, NAMESPACE/NAME, deployment/NAME, or a deployment's name.

export interface NamedPod {
  readonly name: string;
  readonly namespace: string;
  readonly deployment: string;
}

const DEPLOYMENT_PREFIX = /^(?:deployments?|deploy)\//;

/**
 * The pods that `text` names, most exact reading first: a pod, else all pods of a deployment.
 * @param namespace limits the search; undefined searches everywhere
 */
export function findPods<P extends NamedPod>(pods: readonly P[], text: string, namespace: string | undefined): P[] {
  const inScope = (pod: NamedPod) => namespace === undefined || pod.namespace === namespace;
  const deployment = text.replace(DEPLOYMENT_PREFIX, '');
  if (deployment !== text) return pods.filter((pod) => inScope(pod) && isDeployment(pod, deployment));

  const exact = pods.filter((pod) => inScope(pod) && isPod(pod, text));
  if (exact.length > 0) return exact;
  return pods.filter((pod) => inScope(pod) && isDeployment(pod, text));
}

function isPod(pod: NamedPod, text: string): boolean {
  return text === pod.name || text === `${pod.name}.${pod.namespace}` || text === `${pod.namespace}/${pod.name}`;
}

function isDeployment(pod: NamedPod, text: string): boolean {
  const { deployment, namespace } = pod;
  return text === deployment || text === `${deployment}.${namespace}` || text === `${namespace}/${deployment}`;
}

/** An error text for a name that matches nothing, with the names that there are. */
export function unknownPodMessage(pods: readonly NamedPod[], text: string, namespace: string | undefined): string {
  const known = pods.map((pod) => `${pod.namespace}/${pod.name}`).sort();
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  const elsewhere = namespace === undefined ? [] : findPods(pods, text, undefined);
  if (elsewhere.length > 0) {
    const namespaces = [...new Set(elsewhere.map((pod) => pod.namespace))].join(', ');
    return `no pod "${text}"${where}; there is one in ${namespaces}: add -n ${elsewhere[0]!.namespace}`;
  }
  return `no pod "${text}"${where}; pods are ${known.length === 0 ? '(none)' : known.join(', ')}`;
}
