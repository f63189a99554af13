// Installation: `lateenctl uninstall`: takes a revision away, or everything.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  DEFAULT_REVISION,
  type KubernetesObject,
  objectName,
  PART_OF,
  REVISION_LABEL,
  SYSTEM_NAMESPACE,
} from '@lateen/installation';
import { type KubeClient, resourceTypes } from '@lateen/kubernetes';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { timeoutMsOf } from '../commands/context.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { errorColors, print } from '../output/print.js';
import { confirm } from './confirm.js';
import { installedTags } from './injector-tags.js';
import { allObjects, installedDefinitions, installedRevisions, objectsOfRevision } from './installed-objects.js';
import { ObjectWriter } from './object-writer.js';

const POLL_MS = 500;

interface UninstallOptions {
  readonly revision?: string;
  readonly purge: boolean;
  readonly crds: boolean;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly timeout: string;
}

export function addUninstallCommand(program: Command): void {
  program
    .command('uninstall')
    .summary('take the control plane out of a cluster')
    .option('-r, --revision <name>', 'only this revision; what revisions share stays while another is there')
    .option('--purge', 'every revision, and what they share: accounts, roles, the root of the mesh', false)
    .option(
      '--crds',
      'with --purge: the definitions of the kinds too, and with them every document of these kinds',
      false,
    )
    .option('--dry-run', 'say what would be removed', false)
    .option('--timeout <time>', 'how long to wait until all has gone', '2m')
    .option('-y, --yes', 'do not ask', false)
    .addHelpText(
      'after',
      `
Pods keep their proxies until they are made again; those go on with what they know, and their certificates end within a
day. Take the labels of namespaces away first, and restart what runs there.
Exit codes: 0 done, 1 there is nothing of it, 2 the command line is wrong, 3 the API server does not answer.

Examples:
  lateenctl uninstall --revision canary
  lateenctl uninstall --purge --dry-run
  lateenctl uninstall --purge --crds -y`,
    )
    .action((options: UninstallOptions, command: Command) =>
      withCluster(command, ({ client, access }) => uninstall(client, options, access.context)),
    );
}

async function uninstall(client: KubeClient, options: UninstallOptions, context: string): Promise<void> {
  if (options.purge && options.revision !== undefined)
    throw new UsageError('--purge takes every revision: leave --revision out');
  if (options.crds && !options.purge) throw new UsageError('--crds goes with --purge');
  const writer = new ObjectWriter(client);
  const revisions = await installedRevisions(writer);
  const revision = options.revision ?? DEFAULT_REVISION;
  const isLast = revisions.every((each) => each === revision);
  const objects = options.purge
    ? await everything(client, writer, options.crds)
    : await objectsOfRevision(writer, revision);
  if (objects.length === 0) {
    const there = revisions.length === 0 ? 'no revision is installed' : `installed: ${revisions.join(', ')}`;
    throw new CliError(
      options.purge
        ? 'there is nothing of Lateen in this cluster'
        : `there is nothing of revision ${revision} (${there})`,
    );
  }
  for (const line of await usersOf(client, writer, options.purge ? undefined : revision))
    process.stderr.write(`${errorColors.yellow('warning:')} ${line}\n`);
  for (const object of objects) print(`${options.dryRun ? 'would remove' : 'removes'} ${objectName(object)}`);
  if (options.dryRun) return;
  const what = options.purge ? 'all of Lateen' : `revision ${revision}`;
  await confirm(`Remove ${what} (${objects.length} objects) from the cluster of the context ${context}?`, options.yes);
  for (const object of objects) await writer.remove(object);
  await waitUntilGone(writer, objects, Date.now() + timeoutMsOf(options.timeout));
  print(`removed ${objects.length} objects`);
  if (!options.purge && isLast) print('what revisions share is still there: lateenctl uninstall --purge');
}

/** A namespace goes when everything in it has, and a definition when its documents have. */
async function waitUntilGone(
  writer: ObjectWriter,
  objects: readonly KubernetesObject[],
  deadlineMs: number,
): Promise<void> {
  let left = [...objects];
  for (;;) {
    const found = await Promise.all(left.map((object) => writer.read(object)));
    left = left.filter((_, index) => found[index] !== undefined);
    if (left.length === 0) return;
    if (Date.now() > deadlineMs) {
      throw new CliError(
        `still there, held by their finalizers: ${left.map(objectName).join(', ')}; see kubectl get -o yaml`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** What there is, and what the services made: roots, trust bundles, leases. The namespace goes if nothing of others is in it. */
async function everything(client: KubeClient, writer: ObjectWriter, definitions: boolean): Promise<KubernetesObject[]> {
  const labelled = await allObjects(writer);
  const bundles = await client.listAll(resourceTypes.configMaps, { fieldSelector: 'metadata.name=istio-ca-root-cert' });
  const made: KubernetesObject[] = [
    ...bundles.items.map(({ metadata }) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata })),
    ...(await present(writer, 'v1', 'Secret', ['istio-ca-secret'])),
    ...(await present(writer, 'coordination.k8s.io/v1', 'Lease', ['lateen-galley', 'lateen-citadel'])),
  ];
  const unique = new Map([...labelled, ...made].map((object) => [objectName(object), object]));
  const namespace = await ownNamespace(client, writer);
  return [...unique.values(), ...(definitions ? await installedDefinitions(writer) : []), ...namespace];
}

async function present(
  writer: ObjectWriter,
  apiVersion: string,
  kind: string,
  names: readonly string[],
): Promise<KubernetesObject[]> {
  const objects = names.map((name) => ({ apiVersion, kind, metadata: { name, namespace: SYSTEM_NAMESPACE } }));
  const found = await Promise.all(objects.map((object) => writer.read(object)));
  return objects.filter((_, index) => found[index] !== undefined);
}

/** The system's namespace where it is ours and no pod of others runs in it. */
async function ownNamespace(client: KubeClient, writer: ObjectWriter): Promise<KubernetesObject[]> {
  const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: SYSTEM_NAMESPACE } };
  const live = await writer.read(object);
  if (live?.metadata.labels?.[PART_OF] !== 'lateen') return [];
  const { items } = await client.listAll(resourceTypes.pods, { namespace: SYSTEM_NAMESPACE });
  const others = items.filter(({ metadata }) => metadata.labels?.[PART_OF] !== 'lateen');
  if (others.length === 0) return [object];
  process.stderr.write(
    `namespace ${SYSTEM_NAMESPACE} stays: pods of others run in it (${others.map(({ metadata }) => metadata.name).join(', ')})\n`,
  );
  return [];
}

/** Who still needs it: namespaces that ask for it, pods that have its proxies. */
async function usersOf(client: KubeClient, writer: ObjectWriter, revision: string | undefined): Promise<string[]> {
  const { items: namespaces } = await client.listAll(resourceTypes.namespaces);
  const asking = namespaces.filter(({ metadata: { labels = {} } }) => {
    const asked = labels[REVISION_LABEL] ?? (labels['istio-injection'] === 'enabled' ? DEFAULT_REVISION : undefined);
    return asked !== undefined && (revision === undefined || asked === revision);
  });
  const labelSelector = revision === undefined ? REVISION_LABEL : `${REVISION_LABEL}=${revision}`;
  const { items: pods } = await client.listAll(resourceTypes.pods, { labelSelector });
  const proxies = pods.filter(({ metadata }) => metadata.labels?.[PART_OF] !== 'lateen');
  const tags = (await installedTags(writer)).filter((each) => each.revision === revision);
  return [
    ...tags.map(
      ({ tag }) =>
        `the tag ${tag} goes with it; to keep it, first: lateenctl tag set ${tag} --revision OTHER --overwrite`,
    ),
    ...(asking.length === 0
      ? []
      : [
          `${asking.length} namespaces ask for its proxies, and their new pods will be refused or stay out of the mesh: ${asking.map(({ metadata }) => metadata.name).join(', ')}`,
        ]),
    ...(proxies.length === 0
      ? []
      : [`${proxies.length} pods have its proxies; they go on with what they know until their certificates end`]),
  ];
}
