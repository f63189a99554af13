// Commands: `lateenctl check-inject`: whether pods get a proxy, and why: of a cluster, or of files.

import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { collect, DEFAULT_NAMESPACE } from '../commands/context.js';
import { readSources } from '../documents/read-sources.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { errorColors, outputFormat, print, printJson, printYaml } from '../output/print.js';
import type { CheckedPod, GivenMesh, GivenPod } from './checked-pods.js';

interface CheckInjectOptions {
  readonly filename: readonly string[];
  readonly namespace?: string;
  readonly allNamespaces: boolean;
  readonly selector?: string;
  readonly revision: string;
  readonly output: string;
}

export function addCheckInjectCommand(program: Command): void {
  program
    .command('check-inject')
    .summary('whether pods get a proxy, and why')
    .description(
      'Goes through what decides about injection as the API server and Galley do: labels of the namespace and of the pod,\n' +
        'revisions and tags, then the rules of the revision that is asked. Says for each pod which webhook matches and what\n' +
        'decided, or what would have to change. Of a cluster, or of files.',
    )
    .argument('[pod]', 'one of them: NAME; in files also Deployment/NAME')
    .option('-n, --namespace <name>', 'namespace of the pods; in files, of objects that name none')
    .option('-A, --all-namespaces', 'pods of all namespaces', false)
    .option('-l, --selector <labels>', 'pods with these labels, as app=web,version!=v1')
    .option('-f, --filename <path>', 'files in the place of a cluster; may be repeated', collect, [])
    .option('--revision <name>', 'with files: a revision that is installed beside the default one', 'default')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText(
      'after',
      `
HAS PROXY is what a pod was made with; INJECTED what would be decided today. Where they differ, a restart of the pod helps.
Files may hold Namespaces, MutatingWebhookConfigurations and the ConfigMap istio-sidecar-injector too; without the latter two
those of an installation count.

Examples:
  lateenctl check-inject -n shop
  lateenctl check-inject web-5d4f8-x2x9q -n shop
  lateenctl check-inject -A -l app=web -o json
  lateenctl check-inject Deployment/web -f app.yaml -f namespaces.yaml --revision canary`,
    )
    .action(async (name: string | undefined, options: CheckInjectOptions, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json', 'yaml']);
      refuseMixed(name, options);
      const isCluster = options.filename.length === 0;
      const { pods, mesh } = isCluster ? await fromCluster(name, options, command) : await fromFiles(name, options);
      // The rules are loaded for this command only.
      const { checkedPodsText, checkPods } = await import('./checked-pods.js');
      const checked = checkPods(pods, mesh, warn);
      printChecked(checked, format, () => checkedPodsText(checked, isCluster));
      const unknown = new Set(pods.map(({ namespace }) => namespace).filter((each) => !mesh.namespaces.has(each)));
      for (const each of unknown) warn(`Namespace ${each} is not among the files: it counts as one without labels`);
    });
}

/** @throws UsageError for options that do not go together */
function refuseMixed(name: string | undefined, options: CheckInjectOptions): void {
  if (options.allNamespaces && options.namespace !== undefined) throw new UsageError('give -n or -A, not both');
  if (options.filename.length > 0) {
    if (options.selector !== undefined) throw new UsageError('-l goes with a cluster; of files, name the pod');
    if (options.allNamespaces) throw new UsageError('-A goes with a cluster; of files, all pods are checked');
  } else if (name !== undefined) {
    if (options.selector !== undefined || options.allNamespaces)
      throw new UsageError('a pod that is named goes with -n');
    if (name.includes('/')) throw new UsageError(`${name}: in a cluster name a pod, or choose pods by -l`);
  }
}

interface Given {
  readonly pods: readonly GivenPod[];
  readonly mesh: GivenMesh;
}

async function fromCluster(name: string | undefined, options: CheckInjectOptions, command: Command): Promise<Given> {
  const { readCheckedCluster } = await import('./checked-cluster.js');
  return withCluster(command, async ({ client, access }) => {
    const namespace = options.allNamespaces ? undefined : (options.namespace ?? access.namespace);
    const given = await readCheckedCluster(client, { namespace, name, selector: options.selector }, warn);
    if (given.pods.length === 0) {
      throw new CliError(
        `there is no such pod in ${namespace === undefined ? 'the cluster' : `namespace ${namespace}`}`,
      );
    }
    return given;
  });
}

async function fromFiles(name: string | undefined, options: CheckInjectOptions): Promise<Given> {
  const { readCheckedFiles } = await import('./checked-files.js');
  const files = readSources(options.filename, { recursive: false });
  const given = readCheckedFiles(files, options.namespace ?? DEFAULT_NAMESPACE, options.revision);
  const pods = name === undefined ? given.pods : given.pods.filter((pod) => pod.name === name);
  if (pods.length > 0) return { ...given, pods };
  throw new CliError(
    name === undefined ? 'there is no pod in what was given' : `there is no pod ${name} in what was given`,
  );
}

function warn(text: string): void {
  process.stderr.write(`${errorColors.yellow(text)}\n`);
}

function printChecked(pods: readonly CheckedPod[], format: string, text: () => string): void {
  if (format === 'json') printJson(pods);
  else if (format === 'yaml') printYaml(pods);
  else print(text());
}
