// Checks of a cluster: `lateenctl check` and `verify-install`.

import { DEFAULT_REVISION, type KubernetesObject, objectName, type WholeValues } from '@lateen/installation';
import type { KubeClient } from '@lateen/kubernetes';
import type { Command } from 'commander';
import { withCluster } from '../../cluster/cluster.js';
import { EXIT, ReportedError } from '../../output/cli-error.js';
import { outputFormat, print, printJson } from '../../output/print.js';
import { manifestsFor } from '../injector-tags.js';
import { readRecord } from '../installation-record.js';
import { installedRevisions } from '../installed-objects.js';
import { ObjectWriter } from '../object-writer.js';
import { pendingReason } from '../rollout.js';
import { addValuesOptions, type ValuesOptions, valuesOf } from '../values-options.js';
import { type Finding, fault, ok, reportFindings } from './finding.js';
import { installedFindings } from './installed.js';
import { preflight } from './preflight.js';

interface CheckOptions extends ValuesOptions {
  readonly output: string;
}

const CODES =
  'Exit codes: 0 nothing is wrong (warnings may be there), 1 something is, 3 the API server does not answer.';

export function addCheckCommands(program: Command): void {
  addValuesOptions(program.command('check').alias('precheck'))
    .summary('whether a cluster is fit for an installation, and an installation well')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Before an installation: the cluster's version, what you may do there, clocks, other meshes. After one, also: whether
everything runs, whether the API server reaches the webhooks, how long the roots last, which namespaces ask in vain.
${CODES}

Examples:
  lateenctl check
  lateenctl check --revision canary`,
    )
    .action((options: CheckOptions, command: Command) =>
      withCluster(command, async ({ client }) => finish(await check(client, options), options.output)),
    );
  addValuesOptions(program.command('verify-install'))
    .summary('whether a cluster has every object of an installation, as it was applied')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Compares with the values that it was installed with; files and --set words are laid over them.
${CODES}

Examples:
  lateenctl verify-install
  lateenctl verify-install --set profile=demo   after kubectl apply -k deploy/profiles/demo`,
    )
    .action((options: CheckOptions, command: Command) =>
      withCluster(command, async ({ client }) => {
        const record = await readRecord(client, options.revision ?? DEFAULT_REVISION);
        finish(await verify(new ObjectWriter(client), valuesOf(options, record?.values)), options.output);
      }),
    );
}

async function check(client: KubeClient, options: CheckOptions): Promise<readonly Finding[]> {
  const revision = options.revision ?? DEFAULT_REVISION;
  const record = await readRecord(client, revision);
  const values = valuesOf(options, record?.values);
  const before = await preflight(client, values);
  const revisions = await installedRevisions(new ObjectWriter(client));
  if (revisions.includes(revision)) return [...before, ...(await installedFindings(client, values, record))];
  const there =
    revisions.length === 0
      ? 'nothing is installed yet'
      : `revision ${revision} is not installed (${revisions.join(', ')} is)`;
  return [...before, ok('installation', there)];
}

/** Each object is there, has the fields that were applied, and serves. */
async function verify(writer: ObjectWriter, values: WholeValues): Promise<readonly Finding[]> {
  const objects = await manifestsFor(writer, values);
  const findings: Finding[] = [];
  for (const object of objects) findings.push(await verified(writer, object));
  return findings;
}

async function verified(writer: ObjectWriter, object: KubernetesObject): Promise<Finding> {
  const name = objectName(object);
  const live = await writer.read(object);
  if (live === undefined) return fault('objects', `${name} is not there; lateenctl install puts it back`);
  const changed = changedField(live, await writer.preview(object));
  if (changed !== undefined)
    return fault('objects', `${name} was changed since (${changed}); lateenctl upgrade brings it back`);
  const reason = await pendingReason(writer, object);
  return reason === undefined ? ok('objects', name) : fault('objects', `${name}: ${reason}`);
}

/** The first field that another apply would change. */
function changedField(live: unknown, wanted: unknown, path = ''): string | undefined {
  if (Object.is(live, wanted)) return undefined;
  if (typeof live !== 'object' || typeof wanted !== 'object' || live === null || wanted === null) return path;
  for (const key of new Set([...Object.keys(live), ...Object.keys(wanted)])) {
    const place = path === '' ? key : `${path}.${key}`;
    if (NOT_OURS.has(place)) continue;
    const found = changedField((live as Record<string, unknown>)[key], (wanted as Record<string, unknown>)[key], place);
    if (found !== undefined) return found;
  }
  return undefined;
}

const NOT_OURS = new Set(['metadata.managedFields', 'metadata.resourceVersion', 'metadata.generation', 'status']);

function finish(findings: readonly Finding[], output: string): void {
  if (outputFormat(output, ['table', 'json']) === 'json') printJson(findings);
  else reportFindings(findings);
  const count = (level: Finding['level']) => findings.filter((each) => each.level === level).length;
  if (output !== 'json') print(`${count('ok')} ok, ${count('warning')} warnings, ${count('error')} errors`);
  if (count('error') > 0) throw new ReportedError(EXIT.failed);
}
