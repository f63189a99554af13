// Commands: `lateenctl check-inject`: whether pods get a proxy, and why.

import type { Command } from 'commander';
import { collect, DEFAULT_NAMESPACE } from '../commands/context.js';
import { readSources } from '../documents/read-sources.js';
import { CliError } from '../output/cli-error.js';
import { errorColors, outputFormat, print, printJson, printYaml } from '../output/print.js';
import type { CheckedPod } from './checked-pods.js';

interface CheckInjectOptions {
  readonly filename: readonly string[];
  readonly namespace: string;
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
        'decided, or what would have to change.',
    )
    .argument('[pod]', 'one of them: NAME, or Deployment/NAME')
    .requiredOption(
      '-f, --filename <path>',
      'files with pods or workloads, and with their Namespaces; may be repeated',
      collect,
      [],
    )
    .option('-n, --namespace <name>', 'namespace of objects that name none', DEFAULT_NAMESPACE)
    .option('--revision <name>', 'a revision that is installed beside the default one', 'default')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText(
      'after',
      `
Files may hold MutatingWebhookConfigurations and the ConfigMap istio-sidecar-injector too; without them those of an
installation count.

Examples:
  lateenctl check-inject -f examples/bookinfo/bookinfo.yaml
  lateenctl check-inject Deployment/web -f app.yaml -f namespaces.yaml --revision canary -o json`,
    )
    .action(async (name: string | undefined, options: CheckInjectOptions) => {
      // The rules are loaded for this command only.
      const [{ readCheckedFiles }, { checkedPodsText, checkPods }] = await Promise.all([
        import('./checked-files.js'),
        import('./checked-pods.js'),
      ]);
      const format = outputFormat(options.output, ['table', 'json', 'yaml']);
      const files = readSources(options.filename, { recursive: false });
      const { pods, mesh } = readCheckedFiles(files, options.namespace, options.revision);
      const wanted = name === undefined ? pods : pods.filter((pod) => pod.name === name);
      if (wanted.length === 0) {
        throw new CliError(
          name === undefined ? 'there is no pod in what was given' : `there is no pod ${name} in what was given`,
        );
      }
      const checked = checkPods(wanted, mesh, warn);
      printChecked(checked, format, () => checkedPodsText(checked, false));
      const unknown = new Set(wanted.map(({ namespace }) => namespace).filter((each) => !mesh.namespaces.has(each)));
      for (const each of unknown) warn(`Namespace ${each} is not among the files: it counts as one without labels`);
    });
}

function warn(text: string): void {
  process.stderr.write(`${errorColors.yellow(text)}\n`);
}

function printChecked(pods: readonly CheckedPod[], format: string, text: () => string): void {
  if (format === 'json') printJson(pods);
  else if (format === 'yaml') printYaml(pods);
  else print(text());
}
