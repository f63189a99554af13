// Installation: what was installed, kept in the cluster, so that an upgrade goes on from it and a check compares with it.

import {
  type KubernetesObject,
  PART_OF,
  REVISION_LABEL,
  resolveValues,
  revisioned,
  SYSTEM_NAMESPACE,
  type WholeValues,
} from '@lateen/installation';
import { isNotFound, type KubeClient, resourceTypes } from '@lateen/kubernetes';
import { parse, stringify } from 'yaml';
import { CliError } from '../output/cli-error.js';
import { VERSION } from '../version.js';

const NAME = 'lateen-installation';

export interface InstallationRecord {
  /** The release that installed it. */
  readonly version: string;
  /** Every value that it was installed with. */
  readonly values: WholeValues;
}

/** The ConfigMap that remembers an installation. */
export function recordOf(values: WholeValues): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: revisioned(NAME, values.revision),
      namespace: SYSTEM_NAMESPACE,
      labels: { [PART_OF]: 'lateen', [REVISION_LABEL]: values.revision },
    },
    data: { version: VERSION, values: stringify(values) },
  };
}

/** Undefined where the revision was not installed by `lateenctl install`. @throws CliError where the record cannot be read */
export async function readRecord(client: KubeClient, revision: string): Promise<InstallationRecord | undefined> {
  const ref = { namespace: SYSTEM_NAMESPACE, name: revisioned(NAME, revision) };
  try {
    const { data } = await client.get(resourceTypes.configMaps, ref);
    const said = parse(data?.values ?? '') as object;
    const { values, problems } = resolveValues({
      files: [{ name: `ConfigMap ${ref.namespace}/${ref.name}`, content: stringify(said) }],
      set: [],
      release: VERSION,
    });
    if (values === undefined) throw new Error(problems[0]?.message ?? 'its values are not readable');
    return { version: data?.version ?? 'unknown', values };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw new CliError(
      `ConfigMap ${ref.namespace}/${ref.name}, which remembers the installation: ${(error as Error).message}`,
    );
  }
}
