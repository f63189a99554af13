// Control: finds the proxies that a user means by a pod's name, among those that are connected to Pilot.

import { CliError } from '../output/cli-error.js';
import { findPods, type NamedPod, unknownPodMessage } from './pod-name.js';

/** True for a proxy (`NAME.NAMESPACE`) of that namespace; where there is none to be in, for every proxy. */
export function isInNamespace(proxyId: string, namespace: string | undefined): boolean {
  return namespace === undefined || podOfProxy(proxyId).namespace === namespace;
}

/** The pod that a proxy says it is; its last label is the namespace, which holds no dot. */
function podOfProxy(proxyId: string): NamedPod {
  const dot = proxyId.lastIndexOf('.');
  return { name: proxyId.slice(0, dot), namespace: proxyId.slice(dot + 1), deployment: '' };
}

/**
 * The proxies (`NAME.NAMESPACE`) that `text` names, as `findPods` reads it.
 * @param proxyIds those that are connected; some may be of no pod of the supervisor's
 * @throws CliError where no pod has that name, with the names that there are, or where none of them is connected
 */
export function namedProxies(
  proxyIds: readonly string[],
  pods: readonly NamedPod[],
  text: string,
  namespace: string | undefined,
): ReadonlySet<string> {
  const ofPods = new Set(pods.map(proxyIdOf));
  const others = proxyIds.filter((proxyId) => !ofPods.has(proxyId)).map(podOfProxy);
  const known = [...pods, ...others];
  const named = findPods(known, text, namespace).map(proxyIdOf);
  if (named.length === 0) throw new CliError(unknownPodMessage(known, text, namespace));
  const connected = named.filter((proxyId) => proxyIds.includes(proxyId));
  if (connected.length === 0) {
    throw new CliError(
      `the sidecar of ${named.join(', ')} is not connected to pilot; see \`lateenctl local status\` and ` +
        `\`lateenctl local logs ${named[0]}/sidecar\``,
    );
  }
  return new Set(connected);
}

function proxyIdOf({ name, namespace }: NamedPod): string {
  return `${name}.${namespace}`;
}
