// Injection: a pod without what an earlier injection has put into it, so that injecting twice is injecting once, also where
// the configuration has changed in between.

import {
  annotationsOf,
  type Container,
  type NamedEntry,
  OVERRIDES_ANNOTATION,
  type Pod,
  STATUS_ANNOTATION,
} from '../pod.js';
import { readOverrides } from './overrides.js';
import { restoreProbes } from './probers.js';
import { restoreScraping } from './scraping.js';
import { readStatus } from './status.js';

/** A copy; the pod itself where it was never injected. @throws InjectionError where its annotations cannot be read */
export function restorePod(injected: Pod): Pod {
  const status = readStatus(injected);
  if (status === undefined) return injected;
  const pod = structuredClone(injected);
  restoreProbes(pod);
  restoreScraping(pod);
  const overrides = readOverrides(pod);
  const { [STATUS_ANNOTATION]: _status, [OVERRIDES_ANNOTATION]: _overrides, ...annotations } = annotationsOf(pod);
  const { spec = {} } = pod;
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations },
    spec: {
      ...spec,
      ...listField('initContainers', restoreList(spec.initContainers, status.initContainers, overrides.initContainers)),
      ...listField('containers', restoreList(spec.containers, status.containers, overrides.containers)),
      ...listField('volumes', without(spec.volumes, status.volumes)),
      ...listField('imagePullSecrets', without(spec.imagePullSecrets, status.imagePullSecrets)),
    },
  };
}

/** What was the user's stays in its place, as it was. */
function restoreList(
  now: readonly Container[] | undefined,
  injected: readonly string[],
  own: readonly Container[],
): Container[] {
  const owned = new Map(own.map((container) => [container.name, container]));
  const kept = (now ?? []).flatMap((container) => {
    const before = owned.get(container.name);
    owned.delete(container.name);
    if (before !== undefined) return [before];
    return injected.includes(container.name) ? [] : [container];
  });
  return [...kept, ...owned.values()];
}

function without(now: readonly NamedEntry[] | undefined, injected: readonly string[]): NamedEntry[] {
  return (now ?? []).filter(({ name }) => !injected.includes(name));
}

/** An empty list is the same as none, which is what the pod had. */
function listField<T>(field: string, list: readonly T[]): Record<string, readonly T[] | undefined> {
  return { [field]: list.length === 0 ? undefined : list };
}
