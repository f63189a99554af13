// Injection: the order in which containers start.

import { type Container, INIT_CONTAINER, type Pod, PROXY_CONTAINER, VALIDATION_CONTAINER } from '../pod.js';

function moveFirst(list: readonly Container[], name: string): Container[] {
  return [...list.filter((each) => each.name === name), ...list.filter((each) => each.name !== name)];
}

function moveLast(list: readonly Container[], name: string): Container[] {
  return [...list.filter((each) => each.name !== name), ...list.filter((each) => each.name === name)];
}

/**
 * A native proxy starts after the redirect rules and before everything else, so that other init containers have the mesh. A
 * container beside the application has it last, so that `kubectl exec` means the application, or first where that waits; then
 * the redirect rules come last, since nobody would take the traffic of other init containers.
 */
export function orderContainers(pod: Pod, hold: boolean): void {
  const { spec = {} } = pod;
  const { containers = [], initContainers } = spec;
  spec.containers = hold ? moveFirst(containers, PROXY_CONTAINER) : moveLast(containers, PROXY_CONTAINER);
  if (initContainers === undefined) return;
  const native = initContainers.some(({ name }) => name === PROXY_CONTAINER);
  const order = native
    ? moveFirst(moveFirst(initContainers, PROXY_CONTAINER), INIT_CONTAINER)
    : moveLast(initContainers, INIT_CONTAINER);
  spec.initContainers = moveFirst(order, VALIDATION_CONTAINER);
}
