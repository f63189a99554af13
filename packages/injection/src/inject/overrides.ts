// Injection: containers of the user that have the name of a template's container. They say what is different: their fields
// stand above the template's, and the image `auto` means the template's. What they were is kept in an annotation, since the
// next injection needs it.

import type { JsonObject } from '../config/deep-merge.js';
import { strategicMerge } from '../merge/strategic-merge.js';
import { annotationsOf, type Container, OVERRIDES_ANNOTATION, type Pod } from '../pod.js';
import { InjectionError } from '../problems.js';
import { parseObject } from './status.js';

export interface Overrides {
  containers: Container[];
  initContainers: Container[];
}

const LISTS = ['containers', 'initContainers'] as const;
const AUTO_IMAGE = 'auto';

/** The user's containers that have the name of one of a template's. */
export function findOverrides(pod: Pod, injected: ReadonlySet<string>): Overrides {
  const of = (list: (typeof LISTS)[number]) => (pod.spec?.[list] ?? []).filter(({ name }) => injected.has(name));
  return { containers: of('containers'), initContainers: of('initContainers') };
}

/** The user's fields over the template's. */
export function applyOverride(container: Container, own: Container): Container {
  const { image, ...rest } = own;
  const over = image === undefined || image === AUTO_IMAGE ? rest : own;
  return strategicMerge(container as unknown as JsonObject, over as unknown as JsonObject) as unknown as Container;
}

export function readOverrides(pod: Pod): Overrides {
  const text = annotationsOf(pod)[OVERRIDES_ANNOTATION];
  if (text === undefined) return { containers: [], initContainers: [] };
  const value = parseObject(text, OVERRIDES_ANNOTATION);
  const read = (list: (typeof LISTS)[number]) => (Array.isArray(value[list]) ? (value[list] as Container[]) : []);
  return { containers: read('containers'), initContainers: read('initContainers') };
}

/** The annotation's value; undefined where there is nothing to keep. */
export function formatOverrides({ containers, initContainers }: Overrides): string | undefined {
  if (containers.length === 0 && initContainers.length === 0) return undefined;
  return JSON.stringify({
    ...(containers.length > 0 && { containers }),
    ...(initContainers.length > 0 && { initContainers }),
  });
}

/** A pod with such an image would never start. @throws InjectionError */
export function refuseAutoImages({ spec }: Pod): void {
  const all = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const problems = all
    .filter(({ image }) => image === AUTO_IMAGE)
    .map(
      ({ name }) => `container ${name} has the image auto, but no template that is used here has a container ${name}`,
    );
  if (problems.length > 0) throw new InjectionError(problems);
}
