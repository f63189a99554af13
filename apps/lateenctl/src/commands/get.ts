// Commands: `lateenctl get KIND [NAME]`.

import type { KubeObject } from '@lateen/kubernetes';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { listFromCluster } from '../cluster/cluster-documents.js';
import type { PodStatus, StoredObject } from '../control/control-api.js';
import { findPods } from '../control/pod-name.js';
import { withGalley } from '../mesh/galley-client.js';
import type { KnownPod } from '../mesh/known-pods.js';
import { CliError } from '../output/cli-error.js';
import { outputFormat, print, printJson, printYaml } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { DEFAULT_NAMESPACE, meansCluster, requireSupervisor, type Target, targetOf } from './context.js';
import { columnsOf, type ShownObject } from './get-columns.js';
import { isPodKind, requireKind } from './kind-argument.js';

interface GetOptions {
  readonly namespace: string;
  readonly allNamespaces: boolean;
  readonly output: string;
}

export function addGetCommand(program: Command): void {
  program
    .command('get')
    .summary('list documents, or show one')
    .argument(
      '<kind>',
      'virtualservice (vs), destinationrule (dr), gateway (gw), peerauthentication (pa), …; also pods',
    )
    .argument('[name]', 'only this one; pods also as NAME.NAMESPACE, deployment/NAME or by their deployment')
    .option('-n, --namespace <name>', 'namespace', DEFAULT_NAMESPACE)
    .option('-A, --all-namespaces', 'of all namespaces', false)
    .option('-o, --output <format>', 'table, yaml or json', 'table')
    .addHelpText(
      'after',
      `
Exit codes: 0 shown (an empty list too), 1 the name does not exist, 3 the mesh does not answer.

Examples:
  lateenctl get virtualservice
  lateenctl get destinationrule reviews -o yaml
  lateenctl get pods productpage-v1
  lateenctl get pods -n istio-system`,
    )
    .action(async (kindText: string, name: string | undefined, options: GetOptions, command: Command) => {
      const format = outputFormat(options.output, ['table', 'yaml', 'json']);
      const pods = isPodKind(kindText);
      const { kind, namespaced } = pods ? { kind: 'Pod', namespaced: true } : requireKind(kindText, ['Pod']);
      const namespace = options.allNamespaces || !namespaced ? undefined : options.namespace;
      const all = await listed(command, kind, pods, namespace);
      const inScope = all.filter(
        ({ metadata }) => namespace === undefined || metadata.namespace === '' || metadata.namespace === namespace,
      );
      const found = name === undefined ? inScope : pods ? podsNamed(inScope, name) : objectsNamed(inScope, name);
      if (name !== undefined && found.length === 0) {
        throw new CliError(
          `${kind.toLowerCase()} "${name}" not found${namespace === undefined ? '' : ` in namespace ${namespace}`}`,
        );
      }
      const shown = found.map(({ row: _, ...object }) => object);
      // A deployment's name may mean several pods.
      const value =
        name === undefined || shown.length > 1 ? { apiVersion: 'v1', kind: 'List', items: shown } : shown[0];
      if (format === 'json') return printJson(value);
      if (format === 'yaml') return printYaml(value);
      printTable(kind, found, options.allNamespaces && namespaced, namespace);
    });
}

async function listed(
  command: Command,
  kind: string,
  pods: boolean,
  namespace: string | undefined,
): Promise<ShownObject[]> {
  if (!pods && meansCluster(command)) {
    const description = requireKind(kind);
    return withCluster(command, async ({ client }) =>
      sortByName((await listFromCluster(client, description.kind, namespace)).map(shownOfCluster)),
    );
  }
  const target = await targetOf(command);
  return pods ? listPods(target) : listKind(target, kind);
}

/** As the API server has it, without who owns which field. */
function shownOfCluster(object: KubeObject): ShownObject {
  const { apiVersion = '', kind = '', metadata, spec, ...rest } = object as KubeObject & { readonly spec?: unknown };
  const { managedFields: _, ...kept } = metadata as typeof metadata & { managedFields?: unknown };
  return { apiVersion, kind, metadata: { ...kept, namespace: metadata.namespace ?? '' }, spec, ...rest };
}

function objectsNamed(objects: readonly ShownObject[], name: string): readonly ShownObject[] {
  return objects.filter(({ metadata }) => metadata.name === name);
}

/** Pods by the names that every other command takes. */
export function podsNamed(objects: readonly ShownObject[], name: string): readonly ShownObject[] {
  const named = new Set(
    findPods(
      objects.flatMap(({ row }) => (row === undefined ? [] : [row])),
      name,
      undefined,
    ),
  );
  return objects.filter(({ row }) => row !== undefined && named.has(row));
}

function printTable(
  kind: string,
  found: readonly ShownObject[],
  withNamespace: boolean,
  namespace: string | undefined,
) {
  if (found.length === 0) {
    return print(`No ${kind} found${namespace === undefined ? '' : ` in namespace ${namespace}`}.`);
  }
  const columns = columnsOf(kind);
  const heading = [...(withNamespace ? ['NAMESPACE'] : []), 'NAME', ...columns.map(({ title }) => title)];
  const rows = found.map((object) => [
    ...(withNamespace ? [object.metadata.namespace] : []),
    object.metadata.name,
    ...columns.map(({ cell }) => cell(object)),
  ]);
  print(formatTable(heading, rows));
}

async function listKind(target: Target, kind: string): Promise<ShownObject[]> {
  const description = requireKind(kind);
  if (description.family === 'kubernetes') {
    const { objects } = await requireSupervisor(target, `listing ${description.kind} objects`).objects();
    return sortByName(objects.filter((object) => object.kind === description.kind).map(shownKubernetes));
  }
  const { resources } = await withGalley(target.controlPlane, (client) => client.list({ kind: description.kind }));
  return sortByName(
    resources.map((resource) => ({
      apiVersion: resource.apiVersion,
      kind: resource.kind,
      metadata: {
        name: resource.metadata?.name ?? '',
        namespace: resource.metadata?.namespace ?? '',
        ...nonEmpty('labels', resource.metadata?.labels),
        ...nonEmpty('annotations', resource.metadata?.annotations),
        resourceVersion: resource.metadata?.resourceVersion ?? '',
        creationTimestamp: timestampText(resource.metadata?.creationTime),
      },
      spec: JSON.parse(resource.specJson) as unknown,
    })),
  );
}

function shownKubernetes(object: StoredObject): ShownObject {
  const { name, namespace, labels, annotations } = object.metadata;
  return {
    ...object,
    metadata: {
      name,
      ...(namespace === '' ? { namespace: '' } : { namespace }),
      ...nonEmpty('labels', labels),
      ...nonEmpty('annotations', annotations),
    },
  };
}

async function listPods(target: Target): Promise<ShownObject[]> {
  return sortByName((await target.pods()).map(shownPod));
}

/** Of a control plane by address only what Pilot's registry knows of a pod is shown. */
function shownPod(pod: KnownPod & Partial<PodStatus>): ShownObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      ...nonEmpty('labels', pod.labels),
      creationTimestamp: pod.createdAt,
    },
    spec: { serviceAccountName: pod.serviceAccount },
    status: { phase: pod.status ?? (pod.ready ? 'Ready' : 'NotReady'), podIP: pod.podIp ?? pod.address },
    row: pod,
  };
}

function nonEmpty(key: string, map: Readonly<Record<string, string>> | undefined): Record<string, unknown> {
  return map === undefined || Object.keys(map).length === 0 ? {} : { [key]: { ...map } };
}

function timestampText(time: { seconds: bigint; nanos: number } | undefined): string | undefined {
  if (time === undefined) return undefined;
  return new Date(Number(time.seconds) * 1000 + time.nanos / 1e6).toISOString();
}

function sortByName(objects: ShownObject[]): ShownObject[] {
  const key = ({ metadata }: ShownObject) => `${metadata.namespace}/${metadata.name}`;
  return objects.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
