// Installation: `lateenctl install` and `upgrade`: checks, applies in order, waits, takes away what is no longer wanted.

import {
  DEFAULT_REVISION,
  type KubernetesObject,
  objectName,
  revisionTag,
  type WholeValues,
} from '@lateen/installation';
import type { KubeClient } from '@lateen/kubernetes';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { timeoutMsOf } from '../commands/context.js';
import { CliError } from '../output/cli-error.js';
import { errorColors, print } from '../output/print.js';
import { VERSION } from '../version.js';
import { reportFindings } from './check/finding.js';
import { preflight } from './check/preflight.js';
import { confirm } from './confirm.js';
import { componentsFor, injectsByLabel } from './injector-tags.js';
import { readRecord, recordOf } from './installation-record.js';
import { installedRevisions, objectsOfRevision } from './installed-objects.js';
import { isSame, ObjectWriter } from './object-writer.js';
import { waitUntilServing } from './rollout.js';
import { addValuesOptions, type ValuesOptions, valuesOf } from './values-options.js';

interface InstallOptions extends ValuesOptions {
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly wait: boolean;
  readonly timeout: string;
  readonly skipChecks: boolean;
  readonly resetValues?: boolean;
}

function addInstallOptions(command: Command): Command {
  return addValuesOptions(command)
    .option('--dry-run', 'say what would be done; the API server checks every object and keeps none', false)
    .option('-y, --yes', 'do not ask', false)
    .option('--no-wait', 'do not wait until it serves')
    .option('--timeout <time>', 'how long to wait', '5m')
    .option('--skip-checks', 'do not run `lateenctl check` first', false);
}

const EXIT_CODES =
  'Exit codes: 0 done, 1 refused, or not ready in time, 2 the command line is wrong, 3 the API server does not answer.';

export function addInstallCommands(program: Command): void {
  addInstallOptions(program.command('install'))
    .summary('install the control plane into a cluster')
    .addHelpText(
      'after',
      `
${EXIT_CODES}
What is there already is brought to what is asked for, so that the command may be run again.

Examples:
  lateenctl install --set profile=demo
  lateenctl install -f values.yaml --dry-run
  lateenctl install --revision canary   beside the control plane that is there`,
    )
    .action((options: InstallOptions, command: Command) =>
      withCluster(command, ({ client, access }) =>
        install(
          client,
          valuesOf(options),
          options,
          `Lateen ${VERSION} into the cluster of the context ${access.context}`,
        ),
      ),
    );
  addInstallOptions(program.command('upgrade'))
    .summary('bring the control plane of a cluster to this release, in place')
    .option('--reset-values', 'start from the profile, not from the values that it was installed with', false)
    .addHelpText(
      'after',
      `
${EXIT_CODES}
The values that it was installed with stay, and what is said here is laid over them. To try a release beside the old one
first: \`lateenctl install --revision NAME\`, then \`lateenctl tag set\`.

Examples:
  lateenctl upgrade
  lateenctl upgrade --set components.pilot.replicas=3`,
    )
    .action((options: InstallOptions, command: Command) =>
      withCluster(command, ({ client, access }) => upgrade(client, options, access.context)),
    );
}

async function upgrade(client: KubeClient, options: InstallOptions, context: string): Promise<void> {
  const revision = options.revision ?? DEFAULT_REVISION;
  const revisions = await installedRevisions(new ObjectWriter(client));
  if (!revisions.includes(revision)) {
    const there = revisions.length === 0 ? 'nothing is installed' : `installed: ${revisions.join(', ')}`;
    throw new CliError(`the revision ${revision} is not installed (${there}); use lateenctl install`);
  }
  const record = options.resetValues ? undefined : await readRecord(client, revision);
  if (record === undefined && !options.resetValues) {
    process.stderr.write(
      `${errorColors.yellow('warning:')} it was not installed by lateenctl: what is not said here is as its profile says\n`,
    );
  }
  const values = valuesOf(options, record && withoutRelease(record.values, record.version));
  const from = record === undefined ? '' : ` from ${record.version}`;
  await install(client, values, options, `Lateen of the cluster of the context ${context}${from} to ${VERSION}`);
}

/** The images of the release that it was installed from are what an upgrade replaces; others were chosen. */
function withoutRelease(values: WholeValues, version: string): Partial<WholeValues> {
  const { tag, ...rest } = values;
  return tag === version ? rest : values;
}

async function install(client: KubeClient, values: WholeValues, options: InstallOptions, what: string): Promise<void> {
  const writer = new ObjectWriter(client);
  const timeoutMs = timeoutMsOf(options.timeout);
  const components = await componentsFor(writer, values);
  const objects = components.flatMap((component) => component.objects);
  if (!options.skipChecks) {
    const findings = await preflight(client, values);
    reportFindings(findings.filter(({ level }) => level !== 'ok'));
    if (findings.some(({ level }) => level === 'error')) {
      throw new CliError('the cluster is not fit for it; nothing was changed (--skip-checks goes on all the same)');
    }
  }
  const stale = await noLongerWanted(writer, values, objects);
  const revision = values.revision === DEFAULT_REVISION ? '' : `, revision ${values.revision}`;
  if (options.dryRun) return dryRun(writer, objects, stale);
  await confirm(`${what} (profile ${values.profile}${revision}, ${objects.length} objects)?`, options.yes);

  for (const { name, objects: own } of components) {
    const counts = { created: 0, configured: 0, unchanged: 0 };
    for (const object of own) counts[await writer.apply(object)]++;
    // Kinds must be served before the rest, which is watched by name.
    if (name === 'crds') await waitUntilServing(writer, own, Date.now() + timeoutMs, progress);
    print(`${name}: ${counts.created} created, ${counts.configured} configured, ${counts.unchanged} unchanged`);
  }
  await writer.apply(recordOf(values));
  if (values.revision !== DEFAULT_REVISION && !(await injectsByLabel(writer))) {
    await writer.apply(revisionTag(DEFAULT_REVISION, values.revision));
    print(`tag default: namespaces with istio-injection=enabled get revision ${values.revision}`);
  }
  for (const object of stale) {
    if (await writer.remove(object)) print(`removed ${objectName(object)}, which is no longer part of it`);
  }
  if (!options.wait) return;
  const deployments = objects.filter(({ kind }) => kind === 'Deployment');
  await waitUntilServing(writer, deployments, Date.now() + timeoutMs, progress);
  print(
    `installed; see that all is well by: lateenctl check${values.revision === DEFAULT_REVISION ? '' : ` --revision ${values.revision}`}`,
  );
}

function progress(name: string, reason: string): void {
  process.stderr.write(`waiting for ${name}: ${reason}\n`);
}

/** Objects of an earlier installation of this revision that this one does not have. Tags of it are users' own. */
async function noLongerWanted(
  writer: ObjectWriter,
  values: WholeValues,
  objects: readonly KubernetesObject[],
): Promise<KubernetesObject[]> {
  const wanted = new Set([...objects, recordOf(values)].map(objectName));
  const present = await objectsOfRevision(writer, values.revision);
  return present.filter((object) => !wanted.has(objectName(object)) && !isUsers(object) && !isMadeByServices(object));
}

const isUsers = ({ metadata }: KubernetesObject) => metadata.labels?.['istio.io/tag'] !== undefined;

/** What the services keep in the cluster themselves. */
const isMadeByServices = ({ kind }: KubernetesObject) => kind === 'Secret' || kind === 'Lease';

async function dryRun(
  writer: ObjectWriter,
  objects: readonly KubernetesObject[],
  stale: readonly KubernetesObject[],
): Promise<void> {
  const namespaces = new Set<string>();
  for (const object of objects) {
    const live = await writer.read(object);
    const namespace = object.metadata.namespace;
    // In a namespace that is not there yet, or of a kind that is not, nothing can be tried.
    const served = (await writer.typeOf(object)) !== undefined;
    const placed =
      namespace === undefined || namespaces.has(namespace) || (await hasNamespace(writer, namespace, namespaces));
    if (served && placed) {
      const after = await writer.preview(object);
      const changed =
        live === undefined ? 'would be created' : isSame(live, after) ? 'unchanged' : 'would be configured';
      print(`${objectName(object)}: ${changed}`);
    } else
      print(
        `${objectName(object)}: would be created (not checked by the API server: its ${served ? 'namespace' : 'kind'} is not there yet)`,
      );
  }
  for (const object of stale) print(`${objectName(object)}: would be removed`);
}

async function hasNamespace(writer: ObjectWriter, name: string, known: Set<string>): Promise<boolean> {
  const found = await writer.read({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  if (found !== undefined) known.add(name);
  return found !== undefined;
}
