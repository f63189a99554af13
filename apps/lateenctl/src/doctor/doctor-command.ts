// Doctor: `lateenctl doctor pod|service NAME`: the four questions of users, answered for one of theirs.

import { type Command, Option } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { DEFAULT_NAMESPACE, meansCluster, type Target, targetOf } from '../commands/context.js';
import { CliError, EXIT, ReportedError } from '../output/cli-error.js';
import { errorColors, outColors, outputFormat, print, printJson } from '../output/print.js';
import { type Answer, diagnose, QUESTIONS, type Question } from './diagnosis.js';
import type { DoctorFacts } from './facts.js';

interface DoctorOptions {
  readonly namespace: string;
  readonly question?: Question;
  readonly output: string;
}

const HEADINGS: Readonly<Record<Question, string>> = {
  injection: 'Is it in the mesh?',
  routing: 'Do its routes take effect?',
  mtls: 'Does mutual TLS work?',
  latency: 'Is it slow?',
};

export function addDoctorCommand(program: Command): void {
  const doctor = program.command('doctor').description('what is wrong with a pod or a service, why, and what to do');
  for (const kind of ['pod', 'service'] as const) {
    doctor
      .command(kind)
      .summary(`of a ${kind}: injection, routing, mutual TLS, latency`)
      .argument('<name>')
      .option('-n, --namespace <name>', 'its namespace', DEFAULT_NAMESPACE)
      .addOption(new Option('-q, --question <question>', 'only this one').choices(QUESTIONS))
      .option('-o, --output <format>', 'table or json', 'table')
      .addHelpText(
        'after',
        `
Asks the API server, Pilot and the proxies themselves; what does not answer is said, and the rest is answered all the same.
Exit codes: 0 nothing is wrong as far as can be seen, 1 something is (or it is not there), 3 the mesh does not answer.

Examples:
  lateenctl doctor ${kind} ${kind === 'pod' ? 'reviews-v1' : 'reviews'} -n default
  lateenctl doctor ${kind} ${kind === 'pod' ? 'reviews-v1' : 'reviews'} --question mtls`,
      )
      .action(async (name: string, options: DoctorOptions, command: Command) => {
        const format = outputFormat(options.output, ['table', 'json']);
        const facts = await factsOf({ kind, name, namespace: options.namespace }, command);
        const answers = diagnose(facts, options.question === undefined ? QUESTIONS : [options.question]);
        if (format === 'json') printJson({ subject: facts.subject, answers, unknown: facts.unknown });
        else printAnswers(facts, answers);
        if (answers.some(({ causes }) => causes.length > 0)) throw new ReportedError(EXIT.failed);
      });
  }
}

async function factsOf(
  asked: { kind: 'pod' | 'service'; name: string; namespace: string },
  command: Command,
): Promise<DoctorFacts> {
  const { gather, readClusterPods, readLocalPods } = await import('./gather.js');
  if (!meansCluster(command)) {
    const target = await targetOf(command);
    return gather(await readLocalPods(target, asked.namespace), asked, target, Date.now());
  }
  return withCluster(command, async ({ client }) => {
    const reading = await readClusterPods(client, asked.namespace);
    const unknown: string[] = [];
    const target = await reached(command, unknown);
    return gather({ ...reading, unknown: [...reading.unknown, ...unknown] }, asked, target, Date.now());
  });
}

/** The control plane; where it is away, that is said, and what the API server knows is looked at. */
async function reached(command: Command, unknown: string[]): Promise<Target | undefined> {
  try {
    return await targetOf(command);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    unknown.push(`what Pilot and the proxies know: ${error.message}`);
    return undefined;
  }
}

function printAnswers({ subject, pods, unknown }: DoctorFacts, answers: readonly Answer[]): void {
  print(`${subject}: ${pods.length} ${pods.length === 1 ? 'pod' : 'pods'}`);
  for (const { question, causes, well } of answers) {
    print(`\n${HEADINGS[question]}`);
    if (causes.length === 0) print(`  ${outColors.green('ok')}  ${well}`);
    for (const { cause, remedy } of causes) print(`  ${outColors.red('!')}   ${cause}\n      ${remedy}`);
  }
  for (const each of unknown) process.stderr.write(`${errorColors.yellow('not known:')} ${each}\n`);
}
