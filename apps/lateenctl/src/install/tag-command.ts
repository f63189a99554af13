// Installation: `lateenctl tag`: names for revisions, by which namespaces are moved from one to the next.

import { DEFAULT_REVISION, REVISION_LABEL, revisionTag, TAG_LABEL } from '@lateen/installation';
import { type KubeClient, resourceTypes } from '@lateen/kubernetes';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { confirm } from './confirm.js';
import { claimsInjectionLabel, INJECTORS, installedTags } from './injector-tags.js';
import { installedRevisions } from './installed-objects.js';
import { manifestText } from './manifest-files.js';
import { ObjectWriter } from './object-writer.js';

const TAG = /^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$/;

export function addTagCommand(program: Command): void {
  const tag = program.command('tag').description('names for revisions, which namespaces say: istio.io/rev=TAG');
  tag
    .command('set')
    .summary('let a tag mean a revision')
    .argument('<tag>', 'such as stable; default: what istio-injection=enabled means')
    .requiredOption('-r, --revision <name>', 'an installed revision')
    .option('--overwrite', 'also where the tag means another one by now', false)
    .addHelpText(
      'after',
      `
Pods that are there keep their proxies; those made from now on get the other revision's. Restart what is to move:
kubectl rollout restart deployment -n NAMESPACE

Examples:
  lateenctl tag set stable --revision canary --overwrite
  lateenctl tag set default --revision canary --overwrite`,
    )
    .action((name: string, options: { revision: string; overwrite: boolean }, command: Command) =>
      withCluster(command, ({ client }) => setTag(client, name, options)),
    );
  tag
    .command('generate')
    .summary('print what `tag set` would apply')
    .argument('<tag>')
    .requiredOption('-r, --revision <name>', 'the revision')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl tag generate stable --revision canary`,
    )
    .action((name: string, { revision }: { revision: string }) =>
      print(manifestText(revisionTag(requireTag(name), revision))),
    );
  tag
    .command('list')
    .summary('tags, what they mean, and who says them')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl tag list`,
    )
    .action((options: { output: string }, command: Command) =>
      withCluster(command, ({ client }) => listTags(client, options.output)),
    );
  tag
    .command('remove')
    .summary('take a tag away')
    .argument('<tag>')
    .option('-y, --yes', 'do not ask', false)
    .addHelpText(
      'after',
      `
Examples:
  lateenctl tag remove stable`,
    )
    .action((name: string, options: { yes: boolean }, command: Command) =>
      withCluster(command, ({ client }) => removeTag(client, name, options.yes)),
    );
}

function requireTag(name: string): string {
  if (!TAG.test(name)) throw new UsageError(`${name}: no DNS label of up to 42 characters; take such as stable`);
  return name;
}

async function setTag(
  client: KubeClient,
  name: string,
  { revision, overwrite }: { revision: string; overwrite: boolean },
): Promise<void> {
  const writer = new ObjectWriter(client);
  const tag = requireTag(name);
  const revisions = await installedRevisions(writer);
  if (!revisions.includes(revision))
    throw new CliError(`revision ${revision} is not installed; installed: ${revisions.join(', ') || 'none'}`);
  if (tag !== DEFAULT_REVISION && revisions.includes(tag))
    throw new CliError(`${tag} is a revision itself; take another name`);
  const before = (await installedTags(writer)).find((each) => each.tag === tag);
  if (before !== undefined && before.revision !== revision && !overwrite) {
    throw new CliError(`the tag ${tag} means revision ${before.revision}; say --overwrite`);
  }
  const object = revisionTag(tag, revision);
  await withCaBundle(client, writer, object, revision, async (ready) => {
    await writer.apply(ready);
    if (tag === DEFAULT_REVISION) await leaveInjectionLabelTo(writer, object.metadata.name);
  });
  print(
    `tag ${tag} means revision ${revision}${before === undefined || before.revision === revision ? '' : ` (it was ${before.revision})`}`,
  );
}

/** A new configuration starts with the bundle of the revision's own: pods made before Galley writes it would be refused. */
async function withCaBundle(
  client: KubeClient,
  writer: ObjectWriter,
  object: ReturnType<typeof revisionTag>,
  revision: string,
  apply: (object: ReturnType<typeof revisionTag>) => Promise<void>,
): Promise<void> {
  const injectors = await writer.list(INJECTORS, `${REVISION_LABEL}=${revision}`);
  const bundle = injectors
    .flatMap((each) => (each as { webhooks?: readonly { clientConfig: { caBundle?: string } }[] }).webhooks ?? [])
    .find(({ clientConfig }) => clientConfig.caBundle)?.clientConfig.caBundle;
  await apply(object);
  if (bundle === undefined) return;
  const live = await client.get(resourceTypes.mutatingWebhooks, object.metadata);
  const webhooks = (live.webhooks ?? []).map((webhook) => ({
    ...webhook,
    clientConfig: { ...webhook.clientConfig, caBundle: bundle },
  }));
  await client.patch(resourceTypes.mutatingWebhooks, object.metadata, { merge: { webhooks } });
}

/** Of several that answer for `istio-injection=enabled` each would inject: the others stop doing so. */
async function leaveInjectionLabelTo(writer: ObjectWriter, keeper: string): Promise<void> {
  const all = await writer.list(INJECTORS, 'app.kubernetes.io/part-of=lateen');
  for (const each of all) {
    if (each.metadata.name === keeper || !claimsInjectionLabel(each)) continue;
    const webhooks = (each.webhooks as readonly { name: string }[]).filter(({ name }) => name.startsWith('rev.'));
    await writer.client.patch(resourceTypes.mutatingWebhooks, each.metadata, { merge: { webhooks } });
  }
}

async function listTags(client: KubeClient, output: string): Promise<void> {
  const format = outputFormat(output, ['table', 'json']);
  const tags = await installedTags(new ObjectWriter(client));
  const { items } = await client.listAll(resourceTypes.namespaces);
  const rows = tags.map(({ tag, revision }) => ({
    tag,
    revision,
    namespaces: items
      .filter(({ metadata: { labels = {} } }) =>
        labels[REVISION_LABEL] === undefined
          ? tag === DEFAULT_REVISION && labels['istio-injection'] === 'enabled'
          : labels[REVISION_LABEL] === tag,
      )
      .map(({ metadata }) => metadata.name),
  }));
  if (format === 'json') return printJson(rows);
  if (rows.length === 0) return print('there is no tag');
  print(
    formatTable(
      ['TAG', 'REVISION', 'NAMESPACES'],
      rows.map((row) => [row.tag, row.revision, row.namespaces.join(',')]),
    ),
  );
}

async function removeTag(client: KubeClient, tag: string, yes: boolean): Promise<void> {
  const writer = new ObjectWriter(client);
  const [found] = (await writer.list(INJECTORS, `${TAG_LABEL}=${tag}`)) ?? [];
  if (found === undefined) throw new CliError(`there is no tag ${tag}`);
  await confirm(`Remove the tag ${tag}? Namespaces that say it get no proxies any more.`, yes);
  await writer.remove(found);
  print(`removed tag ${tag}`);
}
