// Mesh: the pods that a command may name, from the supervisor, or where that is not reached, from Pilot's registry.

import { findPods, type NamedPod, unknownPodMessage } from '../control/pod-name.js';
import { CliError } from '../output/cli-error.js';
import type { ControlPlane } from './control-plane.js';
import { pilotDebug } from './pilot-debug.js';

/** What both know of a pod; the supervisor knows more (`PodStatus`). */
export interface KnownPod extends NamedPod {
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly address: string;
  readonly ready: boolean;
  readonly gateway: boolean;
}

/** A workload as /debug/registryz tells it. */
interface RegistryWorkload extends Omit<KnownPod, 'deployment'> {
  readonly workloadName: string;
}

/** The workloads of Pilot's registry, as pods. */
export async function podsOfPilot(controlPlane: ControlPlane): Promise<readonly KnownPod[]> {
  const { workloads } = await pilotDebug<{ workloads: readonly RegistryWorkload[] }>(controlPlane, '/debug/registryz');
  return workloads.map(({ workloadName, ...workload }) => ({ ...workload, deployment: workloadName }));
}

/** The one pod that the user means; of a deployment's pods the first. @throws CliError listing what there is */
export function requirePod<P extends NamedPod>(pods: readonly P[], text: string, namespace: string | undefined): P {
  const [pod] = findPods(pods, text, namespace);
  if (pod === undefined) throw new CliError(unknownPodMessage(pods, text, namespace));
  return pod;
}
