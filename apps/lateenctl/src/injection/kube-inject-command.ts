// Commands: `lateenctl kube-inject`: puts proxies into the pods of files, as the webhook would, with no cluster.

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { collect, DEFAULT_NAMESPACE } from '../commands/context.js';
import { readSources } from '../documents/read-sources.js';
import { ReportedError } from '../output/cli-error.js';
import { errorColors } from '../output/print.js';
import type { InjectedPod } from './injected-text.js';
import type { InjectionFileOptions } from './injection-files.js';

interface KubeInjectOptions extends InjectionFileOptions {
  readonly filename: readonly string[];
  readonly namespace: string;
  readonly nativeSidecars: boolean;
  readonly output?: string;
}

export function addKubeInjectCommand(program: Command): void {
  program
    .command('kube-inject')
    .summary('put proxies into the pods of files, as the webhook would')
    .description(
      'Reads Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs and Lists of them, and writes them with a\n' +
        'proxy in each pod. Everything else, comments too, stays as it is. No cluster is asked: what the files of the options do\n' +
        'not say is the default. Labels of namespaces do not count; what a pod says itself does.',
    )
    .requiredOption('-f, --filename <path>', 'file, directory or - for standard input; may be repeated', collect, [])
    .option('-n, --namespace <name>', 'namespace of objects that name none', DEFAULT_NAMESPACE)
    .option('-o, --output <file>', 'where to write (default: standard output)')
    .option('--no-native-sidecars', 'for Kubernetes before 1.29: the proxy is a container beside the application')
    .option('--injectConfigFile <file>', 'the key `config` of the ConfigMap istio-sidecar-injector, or that ConfigMap')
    .option('--valuesFile <file>', 'its key `values`')
    .option('--meshConfigFile <file>', 'MeshConfig, as in the ConfigMap istio')
    .option('--revision <name>', 'whose control plane the proxies belong to', 'default')
    .addHelpText(
      'after',
      `
What was not injected, and why, goes to standard error. Exit codes: 0 done; 1 a file that cannot be injected; 2 the command
line is wrong.

Examples:
  lateenctl kube-inject -f examples/bookinfo/bookinfo.yaml | kubectl apply -f -
  lateenctl kube-inject -f app.yaml --revision canary --meshConfigFile mesh.yaml -o app-injected.yaml
  kubectl get deployment web -o yaml | lateenctl kube-inject -f -`,
    )
    .action(async (options: KubeInjectOptions) => {
      // Templates and their language are loaded for this command only.
      const [{ injectText }, { readInjectionFiles }] = await Promise.all([
        import('./injected-text.js'),
        import('./injection-files.js'),
      ]);
      const source = { ...readInjectionFiles(options), knowsNativeSidecars: options.nativeSidecars };
      const texts: string[] = [];
      let failed = false;
      for (const { name, content } of readSources(options.filename, { recursive: false })) {
        const { text, pods, problems } = injectText(content, options.namespace, source);
        for (const pod of pods) tell(name, pod);
        for (const problem of problems) process.stderr.write(`${errorColors.red(`${name}:${problem}`)}\n`);
        failed ||= problems.length > 0;
        texts.push(text);
      }
      if (failed) throw new ReportedError();
      const text = joinFiles(texts);
      if (options.output === undefined) process.stdout.write(text);
      else writeFileSync(options.output, text);
    });
}

function tell(file: string, { object, injected, reason, warnings }: InjectedPod): void {
  if (!injected) process.stderr.write(`${file}: ${object} is not injected: ${reason}\n`);
  for (const warning of warnings) process.stderr.write(`${errorColors.yellow(`${file}: ${object}: ${warning}`)}\n`);
}

/** Several files become one stream of documents. */
function joinFiles(texts: readonly string[]): string {
  return texts.reduce((all, text) => {
    if (all === '') return text;
    const ended = all.endsWith('\n') ? all : `${all}\n`;
    return /^---(?:\s|$)/.test(text) ? `${ended}${text}` : `${ended}---\n${text}`;
  }, '');
}
