// Distribution: `lateenctl wait`: until every proxy has taken a resource, or everything there is.

import { describeKind, type KindDescription } from '@lateen/istio-config';
import { type Command, Option } from 'commander';
import {
  collect,
  DEFAULT_NAMESPACE,
  durationMsOf,
  requireSupervisor,
  type Target,
  targetOf,
} from '../commands/context.js';
import { requireKind } from '../commands/kind-argument.js';
import { withGalley } from '../mesh/galley-client.js';
import { requirePod } from '../mesh/known-pods.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { print } from '../output/print.js';
import { awaitDistribution, typeUrlOf, type Wanted } from './await-distribution.js';
import { incompleteText } from './incomplete-text.js';
import { DEFAULT_WAIT_TIMEOUT } from './wait-choice.js';

interface WaitCommandOptions {
  readonly for: 'distribution' | 'delete';
  readonly namespace?: string;
  readonly proxy: string[];
  readonly timeout: string;
}

interface Named {
  readonly kind: KindDescription;
  readonly namespace: string;
  readonly name: string;
}

const POLL_MS = 200;

export function addWaitCommand(program: Command): void {
  program
    .command('wait')
    .summary('wait until every proxy has taken a resource')
    .description(
      'Waits until every connected proxy has taken a resource as it is now, or that it is gone; without KIND, everything\n' +
        'that Pilot knows. Of a Deployment its pods have to be ready too.',
    )
    .argument('[kind]', 'for example virtualservice, vs, deployment')
    .argument('[name]', 'its name; NAME.NAMESPACE does as well')
    .addOption(
      new Option('--for <condition>', 'what to wait for').choices(['distribution', 'delete']).default('distribution'),
    )
    .option('-n, --namespace <name>', `namespace of the resource (default: ${DEFAULT_NAMESPACE})`)
    .option('--proxy <pod>', 'only this proxy counts; may be repeated', collect, [])
    .option('--timeout <time>', 'how long, as 10s, 2m or 500ms', DEFAULT_WAIT_TIMEOUT)
    .addHelpText(
      'after',
      `
Exit codes: 0 taken everywhere, 1 refused by a proxy, not taken in time, or no such resource.

Examples:
  lateenctl wait --for=distribution virtualservice reviews -n default --timeout 30s
  lateenctl wait --for=delete gateway shop
  lateenctl wait deployment reviews-v3 --proxy productpage-v1
  lateenctl wait`,
    )
    .action(
      async (kind: string | undefined, name: string | undefined, options: WaitCommandOptions, command: Command) => {
        const timeoutMs = durationMsOf('--timeout', options.timeout);
        const target = await targetOf(command);
        const proxyIds = await proxiesOf(target, options.proxy);
        const deadlineMs = performance.now() + timeoutMs;
        const named = kind === undefined ? undefined : namedBy(kind, name, options);
        const wanted =
          named === undefined ? nothing(proxyIds) : await wantedBy(target, named, options, deadlineMs, proxyIds);
        const leftMs = Math.max(0, Math.round(deadlineMs - performance.now()));
        const report = await awaitDistribution(target, wanted, leftMs);
        const what = named === undefined ? 'everything' : `${groupKind(named.kind)}/${named.name}`;
        if (!report.complete) throw new CliError(`${what} is ${incompleteText(report, timeoutMs)}`);
        const count = report.proxies.length;
        const taken = options.for === 'delete' ? 'gone from' : 'taken by';
        print(`${what} ${taken} ${count} ${count === 1 ? 'proxy' : 'proxies'}`);
      },
    );
}

function groupKind({ kind, group }: KindDescription): string {
  return `${kind.toLowerCase()}${group === '' ? '' : `.${group}`}`;
}

function nothing(proxyIds: readonly string[]): Wanted {
  return { configs: new Map(), absent: [], objects: [], proxyIds };
}

async function proxiesOf(target: Target, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const pods = await target.pods();
  return names.map((text) => {
    const pod = requirePod(pods, text, undefined);
    return `${pod.name}.${pod.namespace}`;
  });
}

function namedBy(kindText: string, nameText: string | undefined, { namespace }: WaitCommandOptions): Named {
  const kind = requireKind(kindText);
  if (nameText === undefined) throw new UsageError(`say which ${kind.kind}: KIND NAME`);
  const dot = nameText.lastIndexOf('.');
  if (namespace !== undefined || dot < 1) return { kind, namespace: namespace ?? DEFAULT_NAMESPACE, name: nameText };
  return { kind, namespace: nameText.slice(dot + 1), name: nameText.slice(0, dot) };
}

async function wantedBy(
  target: Target,
  { kind, namespace, name }: Named,
  options: WaitCommandOptions,
  deadlineMs: number,
  proxyIds: readonly string[],
): Promise<Wanted> {
  const place = `${kind.kind} ${name} in namespace ${namespace}`;
  const ref = { kind: kind.kind, namespace: kind.namespaced ? namespace : '', name };
  if (describeKind(kind.kind).family !== 'istio') {
    const supervisor = requireSupervisor(target, `waiting for a ${kind.kind}`);
    const isThere = async () => {
      const { objects } = await supervisor.objects();
      return objects.some(
        (each) => each.kind === ref.kind && each.metadata.name === name && each.metadata.namespace === ref.namespace,
      );
    };
    await requirePresence(isThere, options, place, deadlineMs);
    return { ...nothing(proxyIds), objects: [ref] };
  }
  let resourceVersion = '';
  const isThere = async () => {
    const { resources } = await withGalley(target.controlPlane, (client) => client.list(ref));
    resourceVersion = resources[0]?.metadata?.resourceVersion ?? '';
    return resources.length > 0;
  };
  await requirePresence(isThere, options, place, deadlineMs);
  const typeUrl = typeUrlOf(kind.kind);
  if (options.for === 'delete') return { ...nothing(proxyIds), absent: [`${typeUrl}@${ref.namespace}/${name}`] };
  return { ...nothing(proxyIds), configs: new Map([[typeUrl, BigInt(resourceVersion)]]) };
}

/** A resource is there, or for `--for=delete` is waited for until it is not. @throws CliError */
async function requirePresence(
  isThere: () => Promise<boolean>,
  options: WaitCommandOptions,
  place: string,
  deadlineMs: number,
): Promise<void> {
  for (;;) {
    const there = await isThere();
    if (options.for === 'distribution') {
      if (there) return;
      throw new CliError(`there is no ${place}; apply it first`);
    }
    if (!there) return;
    if (performance.now() >= deadlineMs) throw new CliError(`${place} is still there after ${options.timeout}`);
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}
