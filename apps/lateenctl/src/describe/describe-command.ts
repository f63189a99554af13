// Commands: `lateenctl describe pod|service NAME`.

import type { PodDescription, ServiceDescription } from '@lateen/telemetry';
import type { Command } from 'commander';
import { DEFAULT_NAMESPACE, targetOf } from '../commands/context.js';
import { requirePod } from '../mesh/known-pods.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { outColors, outputFormat, print, printJson, printYaml } from '../output/print.js';
import { describePodText, describeServiceText } from './describe-text.js';

interface DescribeOptions {
  readonly namespace?: string;
  readonly output: string;
}

export function addDescribeCommand(program: Command): void {
  const describe = program
    .command('describe')
    .summary('everything that decides about a pod or a service, and what is wrong with it')
    .description(
      'Shows what the mesh makes of a pod or a service: the services that select a pod, the rules that hold for calls\n' +
        '(with the pods of each subset), what is accepted and why, the ways in from outside, what a Sidecar lets through,\n' +
        'and warnings. Each resource is named with the file and line that it came from.',
    )
    .addHelpText(
      'after',
      `
Examples:
  lateenctl describe pod productpage-v1
  lateenctl describe service reviews -n default
  lateenctl describe svc reviews.default -o json`,
    );
  addPod(describe);
  addService(describe);
}

const EXIT_CODES = 'Exit codes: 0 shown, also with warnings; 1 no such name; 3 the mesh does not answer.';

function addPod(describe: Command): void {
  describe
    .command('pod')
    .aliases(['pods', 'po'])
    .summary('a pod, its services and what it may call')
    .argument('<pod>', 'NAME, NAME.NAMESPACE or deployment/NAME')
    .option('-n, --namespace <name>', 'namespace of the pod; default: searched in all')
    .option('-o, --output <format>', 'short, json or yaml', 'short')
    .addHelpText(
      'after',
      `
${EXIT_CODES}

Examples:
  lateenctl describe pod productpage-v1
  lateenctl describe pod deployment/reviews-v2 -o json`,
    )
    .action(async (podText: string, options: DescribeOptions, command: Command) => {
      const format = outputFormat(options.output, ['short', 'json', 'yaml']);
      const { controlPlane, pods } = await targetOf(command);
      const { name, namespace } = requirePod(await pods(), podText, options.namespace);
      const path = `/debug/describe?proxyID=${encodeURIComponent(`${name}.${namespace}`)}`;
      const pod = await pilotDebug<PodDescription>(controlPlane, path);
      if (format === 'json') return printJson(pod);
      if (format === 'yaml') return printYaml(pod);
      print(describePodText(pod, outColors.yellow));
    });
}

function addService(describe: Command): void {
  describe
    .command('service')
    .aliases(['services', 'svc'])
    .summary('a service, its pods and the rules for calls to it')
    .argument('<service>', 'NAME, NAME.NAMESPACE or a full host name')
    .option('-n, --namespace <name>', 'namespace of a NAME that says none', DEFAULT_NAMESPACE)
    .option('-o, --output <format>', 'short, json or yaml', 'short')
    .addHelpText(
      'after',
      `
${EXIT_CODES}

Examples:
  lateenctl describe service reviews
  lateenctl describe service istio-ingressgateway.istio-system -o yaml`,
    )
    .action(async (name: string, options: DescribeOptions, command: Command) => {
      const format = outputFormat(options.output, ['short', 'json', 'yaml']);
      const full = name.includes('.') ? name : `${name}.${options.namespace}`;
      const path = `/debug/describe?service=${encodeURIComponent(full)}`;
      const service = await pilotDebug<ServiceDescription>((await targetOf(command)).controlPlane, path);
      if (format === 'json') return printJson(service);
      if (format === 'yaml') return printYaml(service);
      print(describeServiceText(service, outColors.yellow));
    });
}
