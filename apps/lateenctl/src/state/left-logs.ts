// State on disk: the logs that a mesh left, found by the names that `local logs` takes while it runs.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findPods, type NamedPod } from '../control/pod-name.js';
import { COMPONENT_NAMES, type StateLayout } from './state-layout.js';

/** What a pod's name has behind its deployment's: the hash of its template (a gateway's pod has none) and its number. */
const POD_SUFFIX = /(?:-[0-9a-f]{10})?-\d+$/;

/**
 * The log file that a name means: a component, `supervisor`, a pod (its application's; a gateway's sidecar's), a
 * deployment, or one of them with `/app` or `/sidecar` behind it. Undefined where there is no such file.
 */
export function leftLogFile(layout: StateLayout, name: string): string | undefined {
  const component = componentLogs(layout).find((each) => each.name === name);
  if (component !== undefined) return component.file;
  const [, podText = name, part] = /^(.+)\/(app|sidecar)$/.exec(name) ?? [];
  const [pod] = findPods(leftPods(layout), podText, undefined);
  if (pod === undefined) return undefined;
  const parts = part === undefined ? ['app', 'sidecar'] : [part];
  return parts.map((each) => join(layout.pod(pod.namespace, pod.name), `${each}.log`)).find((file) => existsSync(file));
}

/** Every name that has a log, for messages. */
export function leftLogNames(layout: StateLayout): string[] {
  return [
    ...componentLogs(layout).map(({ name }) => name),
    ...leftPods(layout).map((pod) => `${pod.namespace}/${pod.name}`),
  ].sort();
}

function componentLogs(layout: StateLayout): { readonly name: string; readonly file: string }[] {
  const components = COMPONENT_NAMES.map((name) => ({ name, file: join(layout.logs, `${name}.log`) }));
  return [{ name: 'supervisor', file: layout.supervisorLog }, ...components].filter(({ file }) => existsSync(file));
}

/** The pods whose directories are there: `NAMESPACE.POD`, of which the namespace holds no dot. */
function leftPods(layout: StateLayout): NamedPod[] {
  if (!existsSync(layout.pods)) return [];
  return readdirSync(layout.pods)
    .sort()
    .flatMap((directory) => {
      const [, namespace, name] = /^([^.]+)\.(.+)$/.exec(directory) ?? [];
      if (namespace === undefined || name === undefined) return [];
      return [{ namespace, name, deployment: name.replace(POD_SUFFIX, '') }];
    });
}
