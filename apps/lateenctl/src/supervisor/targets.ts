// Supervisor: finds the processes that `local stop|start TARGET` means.

import { findPods, unknownPodMessage } from '../control/pod-name.js';
import type { ControlPlane } from './control-plane.js';
import type { Pod } from './pods/pod.js';
import type { ManagedProcess } from './processes/managed-process.js';

/** Thrown for a target that names nothing; the message lists what there is. */
export class UnknownTargetError extends Error {}

/**
 * The processes of a target: `pilot`, `galley`, `citadel`; a pod or a deployment (both processes of each pod); with
 * `/sidecar` or `/app` behind it, that one.
 * @throws UnknownTargetError
 */
export function findProcesses(target: string, controlPlane: ControlPlane, pods: readonly Pod[]): ManagedProcess[] {
  for (const component of controlPlane.components.values()) {
    if (component.name === target) return [component.process];
  }
  const [, podText = target, part] = /^(.+)\/(app|sidecar)$/.exec(target) ?? [];
  const named = namedPods(pods);
  const found = findPods(named, podText, undefined);
  if (found.length === 0) {
    const components = [...controlPlane.components.keys()].join(', ');
    throw new UnknownTargetError(`${unknownPodMessage(named, podText, undefined)}; components are ${components}`);
  }
  const processes = found.flatMap(({ pod }) => {
    if (part === 'app') return pod.app === undefined ? [] : [pod.app];
    if (part === 'sidecar' || pod.app === undefined) return [pod.sidecar];
    return [pod.sidecar, pod.app];
  });
  if (processes.length === 0) throw new UnknownTargetError(`${podText} is a gateway and has no application`);
  return processes;
}

/** The one pod of a name, which has an application. @throws UnknownTargetError */
export function findApplication(name: string, pods: readonly Pod[]): Pod {
  const named = namedPods(pods);
  const [found] = findPods(named, name, undefined);
  if (found === undefined) throw new UnknownTargetError(unknownPodMessage(named, name, undefined));
  if (found.pod.app === undefined) throw new UnknownTargetError(`${name} is a gateway and has no application`);
  return found.pod;
}

function namedPods(pods: readonly Pod[]) {
  return pods.map((pod) => ({
    name: pod.plan.name,
    namespace: pod.plan.namespace,
    deployment: pod.plan.deployment.name,
    pod,
  }));
}
