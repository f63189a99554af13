// Pods: which pods a deployment is to have, and with which ports. Pure.

import { createHash } from 'node:crypto';
import { type KubeDeployment, type KubeService, selects } from '../../kubernetes/objects.js';

export interface PodPort {
  /** Port at the pod's address. */
  readonly port: number;
  readonly name: string;
}

export interface PodPlan {
  readonly name: string;
  readonly namespace: string;
  readonly deployment: KubeDeployment;
  /** Hash of the pod template: another one means another pod. */
  readonly templateHash: string;
  readonly ports: readonly PodPort[];
  /** A gateway has no application: its listeners come from Gateway resources. */
  readonly gateway: boolean;
}

const HASH_LENGTH = 10;

/** The pods of a deployment, `NAME-HASH-N` for N from 0: stable as long as the template is. */
export function planPods(deployment: KubeDeployment, services: Iterable<KubeService>): PodPlan[] {
  const templateHash = hashTemplate(deployment);
  const ports = podPorts(deployment, services);
  return Array.from({ length: deployment.replicas }, (_, index) => ({
    name: `${deployment.name}-${templateHash}-${index}`,
    namespace: deployment.namespace,
    deployment,
    templateHash,
    ports,
    gateway: false,
  }));
}

function hashTemplate(deployment: KubeDeployment): string {
  const content = JSON.stringify([deployment.template, deployment.directory]);
  return createHash('sha256').update(content).digest('hex').slice(0, HASH_LENGTH);
}

/** Container ports first, in their order, then the numbers that selecting services point to and no container port names. */
function podPorts(deployment: KubeDeployment, services: Iterable<KubeService>): PodPort[] {
  const ports = new Map<number, PodPort>();
  for (const each of deployment.template.ports) ports.set(each.port, { port: each.port, name: each.name });
  for (const service of services) {
    if (service.namespace !== deployment.namespace) continue;
    if (!selects(service.selector, deployment.template.labels)) continue;
    for (const { targetPort } of service.ports) {
      if (typeof targetPort === 'number' && !ports.has(targetPort))
        ports.set(targetPort, { port: targetPort, name: '' });
    }
  }
  return [...ports.values()];
}

/** The number that a service's target port means on the pods that it selects, or undefined where no pod has that name. */
export function resolveTargetPort(
  targetPort: number | string,
  service: KubeService,
  deployments: Iterable<KubeDeployment>,
): number | undefined {
  if (typeof targetPort === 'number') return targetPort;
  for (const deployment of deployments) {
    if (deployment.namespace !== service.namespace || !selects(service.selector, deployment.template.labels)) continue;
    const named = deployment.template.ports.find((each) => each.name === targetPort);
    if (named !== undefined) return named.port;
  }
  return undefined;
}
