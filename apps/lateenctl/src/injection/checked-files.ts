// Injection: pods, namespaces and webhooks that stand in files.

import { DEFAULT_REVISION, findPods, injectionWebhooks, type MutatingWebhookConfiguration } from '@lateen/injection';
import { parseAllDocuments } from 'yaml';
import type { SourceText } from '../control/control-api.js';
import { CliError } from '../output/cli-error.js';
import { configMapName, type GivenMesh, type GivenPod, isInjectionWebhook } from './checked-pods.js';

interface AnyObject {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly labels?: Record<string, string> };
  readonly items?: readonly AnyObject[];
  readonly data?: { readonly config?: string; readonly values?: string };
  readonly webhooks?: readonly { readonly name: string }[];
}

/**
 * Webhooks that are not among the files are those of an installation with its default revision and `revision`.
 * @throws CliError where a file is no YAML
 */
export function readCheckedFiles(
  files: readonly SourceText[],
  namespace: string,
  revision: string,
): { readonly pods: readonly GivenPod[]; readonly mesh: GivenMesh } {
  const objects = files.flatMap(readObjects);
  const namespaces = objects.filter(({ kind }) => kind === 'Namespace');
  const webhooks = objects.filter((each) => each.kind === 'MutatingWebhookConfiguration' && isInjectionWebhook(each));
  const revisions = [...new Set([DEFAULT_REVISION, revision])];
  const configs = revisions.flatMap((each) => {
    const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata?.name === configMapName(each));
    return map?.data === undefined ? [] : [[each, map.data] as const];
  });
  return {
    pods: objects.flatMap(findPods).map((placed) => ({
      name: placed.workload.kind === 'Pod' ? placed.workload.name : `${placed.workload.kind}/${placed.workload.name}`,
      namespace: placed.namespace ?? namespace,
      pod: placed.pod,
    })),
    mesh: {
      namespaces: new Map(namespaces.map(({ metadata }) => [metadata?.name ?? '', metadata?.labels ?? {}])),
      webhooks:
        webhooks.length > 0
          ? (webhooks as unknown as MutatingWebhookConfiguration[])
          : revisions.map((each) => injectionWebhooks({ revision: each })),
      configs: new Map(configs),
    },
  };
}

/** Entries of a List stand for themselves. */
function readObjects({ name, content }: SourceText): AnyObject[] {
  return parseAllDocuments(content).flatMap((document) => {
    const [fault] = document.errors;
    if (fault !== undefined) throw new CliError(`${name}: this is no YAML: ${fault.message.split('\n')[0]}`);
    const object = document.toJS() as AnyObject | null;
    if (object === null || typeof object !== 'object') return [];
    return object.kind === 'List' ? [...(object.items ?? [])] : [object];
  });
}
