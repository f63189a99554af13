// Commands: `lateenctl delete -f FILE` and `lateenctl delete KIND NAME`.

import { type ConfigObject, describeKind, isKind } from '@lateen/istio-config';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { deleteByName, deleteFromCluster } from '../cluster/cluster-documents.js';
import type { ObjectRef } from '../control/control-api.js';
import { awaitChanges } from '../distribution/await-distribution.js';
import { addWaitOptions, refuseWaiting, type WaitOptions, waitChoice } from '../distribution/wait-choice.js';
import { readSources } from '../documents/read-sources.js';
import { withGalley } from '../mesh/galley-client.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { type Change, parseSources } from './apply-sources.js';
import { printChanges } from './change-lines.js';
import { collect, DEFAULT_NAMESPACE, meansCluster, requireSupervisor, type Target, targetOf } from './context.js';
import { requireKind } from './kind-argument.js';

interface DeleteOptions extends WaitOptions {
  readonly filename: string[];
  readonly namespace: string;
  readonly recursive: boolean;
  readonly ignoreNotFound: boolean;
}

export function addDeleteCommand(program: Command): void {
  addWaitOptions(program.command('delete'))
    .summary('delete documents by file or by name')
    .argument('[kind]', 'for example virtualservice, vs, deployment')
    .argument('[names...]', 'names of that kind')
    .option('-f, --filename <path>', 'delete what a file, directory or - names; may be repeated', collect, [])
    .option('-n, --namespace <name>', 'namespace', DEFAULT_NAMESPACE)
    .option('-R, --recursive', 'enter the directories of a directory too', false)
    .option('--ignore-not-found', 'a name that does not exist is no failure', false)
    .addHelpText(
      'after',
      `
Exit codes: 0 deleted, 1 a name did not exist (unless --ignore-not-found), or a proxy still has it.

Examples:
  lateenctl delete virtualservice reviews
  lateenctl delete -f examples/bookinfo/reviews-v3.yaml
  lateenctl delete deployment reviews-v3 -n default`,
    )
    .action(async (kind: string | undefined, names: string[], options: DeleteOptions, command: Command) => {
      if (meansCluster(command)) return deleteInCluster(kind, names, options, command);
      const refs = targets(kind, names, options);
      const target = await targetOf(command);
      const choice = waitChoice(options, target);
      const changes = await deleteObjects(target, refs);
      printChanges(changes, false);
      if (choice !== undefined) await awaitChanges(target, changes, choice);
      if (!options.ignoreNotFound && changes.some(({ action }) => action === 'not found')) {
        throw new CliError('not everything existed');
      }
    });
}

async function deleteInCluster(
  kind: string | undefined,
  names: readonly string[],
  options: DeleteOptions & WaitOptions,
  command: Command,
): Promise<void> {
  refuseWaiting(options);
  const byFile = options.filename.length > 0;
  if (byFile && kind !== undefined) throw new UsageError('give either -f or KIND NAME, not both');
  if (!byFile && (kind === undefined || names.length === 0))
    throw new UsageError('say what to delete: KIND NAME, or -f FILE');
  await withCluster(command, async ({ client }) => {
    const changes = byFile
      ? await deleteFromCluster(client, readSources(options.filename, options), options.namespace)
      : await deleteByName(client, requireKind(kind!).kind, options.namespace, names);
    printChanges(changes, false);
    if (!options.ignoreNotFound && changes.some(({ action }) => action === 'not found')) {
      throw new CliError('not everything existed');
    }
  });
}

function targets(kind: string | undefined, names: readonly string[], options: DeleteOptions): ObjectRef[] {
  if (options.filename.length > 0) {
    if (kind !== undefined) throw new UsageError('give either -f or KIND NAME, not both');
    const { objects } = parseSources(readSources(options.filename, options), options.namespace);
    return objects.map(refOf);
  }
  if (kind === undefined || names.length === 0) throw new UsageError('say what to delete: KIND NAME, or -f FILE');
  const { kind: known, namespaced } = requireKind(kind);
  return names.map((name) => ({ kind: known, namespace: namespaced ? options.namespace : '', name }));
}

function refOf(object: ConfigObject): ObjectRef {
  return { kind: object.kind, namespace: object.metadata.namespace, name: object.metadata.name };
}

async function deleteObjects(target: Target, refs: readonly ObjectRef[]): Promise<Change[]> {
  const isIstio = (ref: ObjectRef) => isKind(ref.kind) && describeKind(ref.kind).family === 'istio';
  const istio = [...refs.filter(isIstio), ...(await resourcesInNamespaces(target, refs))];
  const kubernetes = refs.filter((ref) => !isIstio(ref));
  const supervisor = kubernetes.length > 0 ? requireSupervisor(target, 'deleting Kubernetes objects') : undefined;
  const changes: Change[] = [];
  if (istio.length > 0) {
    const answer = await withGalley(target.controlPlane, (client) => client.delete({ resources: istio }));
    changes.push(...answer.results);
  }
  if (supervisor !== undefined) changes.push(...(await supervisor.delete({ objects: kubernetes })).results);
  return changes;
}

/** Who deletes a namespace means everything in it. */
async function resourcesInNamespaces({ controlPlane }: Target, refs: readonly ObjectRef[]): Promise<ObjectRef[]> {
  const found: ObjectRef[] = [];
  for (const { name } of refs.filter(({ kind }) => kind === 'Namespace')) {
    const { resources } = await withGalley(controlPlane, (client) => client.list({ namespace: name }));
    for (const { kind, metadata } of resources) found.push({ kind, namespace: name, name: metadata?.name ?? '' });
  }
  return found;
}
