// Analyze: `lateenctl analyze`: what is wrong with the configuration of a mesh as a whole, of files, of a cluster, or of both.

import {
  ALL_CODES,
  type AnalysisInput,
  analyze,
  type Finding,
  formatFinding,
  type Level,
  levelOf,
  nameOf,
  readFiles,
} from '@lateen/analysis';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { collect, DEFAULT_NAMESPACE, meansCluster, targetOf } from '../commands/context.js';
import { readSources } from '../documents/read-sources.js';
import { EXIT, ReportedError, UsageError } from '../output/cli-error.js';
import { errorColors, outColors, outputFormat, print, printJson, printYaml } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { readCluster, readLocalMesh } from './read-cluster.js';

interface AnalyzeOptions {
  readonly namespace?: string;
  readonly filename: readonly string[];
  readonly recursive: boolean;
  readonly useKube?: boolean;
  readonly output: string;
  readonly failureThreshold: string;
  readonly outputThreshold: string;
  readonly suppress: readonly string[];
  readonly listCodes: boolean;
}

const LEVELS: readonly Level[] = ['Info', 'Warning', 'Error'];

export function addAnalyzeCommand(program: Command): void {
  program
    .command('analyze')
    .summary('what is wrong with a mesh as a whole: files, a cluster, or files over a cluster')
    .argument('[files...]', 'files or directories; without: the mesh that runs')
    .option('-f, --filename <path>', 'the same', collect, [])
    .option('-n, --namespace <name>', 'only findings of this namespace; namespace of documents that name none')
    .option('-R, --recursive', 'enter the directories of a directory too', false)
    .option('-k, --use-kube', 'files over what the cluster has (default: the files alone)')
    .option('-o, --output <format>', 'log, json or yaml', 'log')
    .option('--failure-threshold <level>', 'from which level on the exit code is 1: Info, Warning, Error', 'Error')
    .option('--output-threshold <level>', 'from which level on findings are shown', 'Info')
    .option('-S, --suppress <code[=resource]>', 'leave a finding out: IST0102, or IST0103=Pod shop/old-*', collect, [])
    .option('-L, --list-codes', 'print every code with its name and level', false)
    .addHelpText(
      'after',
      `
Codes that begin with IST are those that Istio's own analysis has; LAT are Lateen's. A resource suppresses findings about
itself by the annotation galley.istio.io/analyze-suppress: IST0103,IST0118 (or *).
Exit codes: 0 nothing of that level is wrong, 1 something is, 2 the command line is wrong, 3 the mesh does not answer.

Examples:
  lateenctl analyze examples/bookinfo
  lateenctl analyze --use-kube -f routes.yaml
  lateenctl analyze -n shop --failure-threshold Warning
  lateenctl analyze --list-codes`,
    )
    .action(async (paths: string[], options: AnalyzeOptions, command: Command) => {
      if (options.listCodes) return listCodes();
      const format = outputFormat(options.output === 'log' ? 'table' : options.output, ['table', 'json', 'yaml']);
      const [failure, shown] = [
        levelOption('--failure-threshold', options.failureThreshold),
        levelOption('--output-threshold', options.outputThreshold),
      ];
      const input = await readInput([...paths, ...options.filename], options, command);
      const findings = analyze(input).filter(
        (finding) =>
          (options.namespace === undefined ||
            finding.namespace === options.namespace ||
            finding.resource === options.namespace) &&
          !isSuppressed(finding, options.suppress, input) &&
          LEVELS.indexOf(finding.level) >= shown,
      );
      if (format === 'json') printJson(findings);
      else if (format === 'yaml') printYaml(findings);
      else printFindings(findings);
      if (findings.some(({ level }) => LEVELS.indexOf(level) >= failure)) throw new ReportedError(EXIT.failed);
    });
}

async function readInput(paths: readonly string[], options: AnalyzeOptions, command: Command): Promise<AnalysisInput> {
  const files = paths.length === 0 ? [] : readSources(paths, { recursive: options.recursive });
  const ofFiles = readFiles(files, options.namespace ?? DEFAULT_NAMESPACE);
  if (files.length > 0 && options.useKube !== true) return ofFiles;
  const running = await readRunning(command);
  return files.length === 0 ? running : over(running, ofFiles);
}

async function readRunning(command: Command): Promise<AnalysisInput> {
  if (!meansCluster(command)) return readLocalMesh(await targetOf(command));
  return withCluster(command, async ({ client }) => {
    const { input, unread } = await readCluster(client);
    if (unread.length > 0) {
      process.stderr.write(
        `${errorColors.yellow('warning:')} not looked at, since you may not list them: ${unread.join(', ')}\n`,
      );
    }
    return input;
  });
}

/** Files as if they were applied. */
function over(
  running: AnalysisInput,
  files: Pick<AnalysisInput, 'objects' | 'raw' | 'problems' | 'mesh'>,
): AnalysisInput {
  const keyOf = (object: { kind: string; metadata: { name: string; namespace?: string } }) =>
    `${object.kind}/${object.metadata.namespace ?? ''}/${object.metadata.name}`;
  const replaced = new Set([...files.objects, ...files.raw].map(keyOf));
  const kept = <T extends { kind: string; metadata: { name: string; namespace?: string } }>(objects: readonly T[]) =>
    objects.filter((object) => !replaced.has(keyOf(object)));
  return {
    objects: [...kept(running.objects), ...files.objects],
    raw: [...kept(running.raw), ...files.raw],
    problems: [
      ...running.problems.filter(({ kind, namespace, name }) => !replaced.has(`${kind}/${namespace}/${name}`)),
      ...files.problems,
    ],
    mesh: files.mesh ?? running.mesh,
  };
}

const SUPPRESS_ANNOTATION = 'galley.istio.io/analyze-suppress';

function isSuppressed(
  { code, kind, namespace, resource }: Finding,
  suppress: readonly string[],
  { objects, raw }: AnalysisInput,
): boolean {
  const own = [...objects, ...raw].find(
    (object) =>
      object.kind === kind && object.metadata.name === resource && (object.metadata.namespace ?? '') === namespace,
  );
  const said = (own?.metadata.annotations?.[SUPPRESS_ANNOTATION] ?? '').split(',').map((each) => each.trim());
  if (said.includes('*') || said.includes(code)) return true;
  const name = namespace === '' ? `${kind} ${resource}` : `${kind} ${namespace}/${resource}`;
  return suppress.some((text) => {
    const [wanted, pattern = '*'] = text.split(/=(.*)/s);
    return wanted === code && globMatches(pattern, name);
  });
}

/** `*` stands for any text. */
function globMatches(pattern: string, text: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const found = isLast
      ? text.endsWith(part) && text.length - part.length >= at
        ? text.length - part.length
        : -1
      : text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return parts.length > 0 || at === text.length;
}

function levelOption(option: string, text: string): number {
  const found = LEVELS.findIndex((level) => level.toLowerCase() === text.toLowerCase());
  if (found < 0) throw new UsageError(`${option} ${text}: expected Info, Warning or Error`);
  return found;
}

function printFindings(findings: readonly Finding[]): void {
  if (findings.length === 0) print(outColors.green('no finding'));
  const color = { Error: outColors.red, Warning: outColors.yellow, Info: (text: string) => text };
  for (const finding of findings) {
    const line = formatFinding(finding);
    print(`${color[finding.level](finding.level)}${line.slice(finding.level.length)}`);
  }
}

function listCodes(): void {
  print(
    formatTable(
      ['CODE', 'LEVEL', 'NAME'],
      ALL_CODES.map((code) => [code, levelOf(code), nameOf(code)]),
    ),
  );
}
