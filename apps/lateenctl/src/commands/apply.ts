// Commands: `lateenctl apply -f` and `lateenctl validate -f`.

import { compareProblems, isIstioKind, parseDocuments, parseMeshConfig } from '@lateen/istio-config';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { applyToCluster } from '../cluster/cluster-documents.js';
import type { SourceText } from '../control/control-api.js';
import { awaitChanges } from '../distribution/await-distribution.js';
import { addWaitOptions, refuseWaiting, type WaitOptions, waitChoice } from '../distribution/wait-choice.js';
import { bootstrapProblem, sortFiles } from '../documents/other-files.js';
import { readSources } from '../documents/read-sources.js';
import { ReportedError, UsageError } from '../output/cli-error.js';
import { errorColors, outputFormat, print, printJson, printProblems, problemCounts } from '../output/print.js';
import { applySources, parseSources } from './apply-sources.js';
import { printChanges } from './change-lines.js';
import { collect, DEFAULT_NAMESPACE, meansCluster, targetOf } from './context.js';

interface FileOptions {
  readonly filename: string[];
  readonly namespace: string;
  readonly recursive: boolean;
}

export function addApplyCommand(program: Command): void {
  addWaitOptions(program.command('apply'))
    .summary('apply Istio and Kubernetes documents')
    .description(
      'Applies documents to the running mesh: in a cluster to its API server; in a local mesh Istio kinds go to Galley,\n' +
        'Namespace, ServiceAccount, Service, Deployment and Secret to the supervisor. Everything is validated first; with one error anywhere nothing changes.\n' +
        'In a local mesh it returns when every proxy has taken the change, and the pods of Deployments are ready.',
    )
    .requiredOption('-f, --filename <path>', 'file, directory or - for standard input; may be repeated', collect, [])
    .option('-n, --namespace <name>', 'namespace of documents that name none', DEFAULT_NAMESPACE)
    .option('-R, --recursive', 'enter the directories of a directory too', false)
    .option('--dry-run', 'only say what would change', false)
    .addHelpText(
      'after',
      `
Exit codes: 0 applied (and taken by every proxy), 1 refused, or not taken by every proxy: who has not, and why, is told.

Examples:
  lateenctl apply -f examples/bookinfo/reviews-v3.yaml
  lateenctl apply -n shop -f routes/
  lateenctl apply --no-wait -f routes.yaml
  cat routes.yaml | lateenctl apply -f -`,
    )
    .action(async (options: FileOptions & WaitOptions & { dryRun: boolean }, command: Command) => {
      if (meansCluster(command)) return applyInCluster(options, command);
      const target = await targetOf(command);
      const choice = waitChoice(options, target);
      const sources = parseSources(readSources(options.filename, options), options.namespace);
      const changes = await applySources(target, sources, options.dryRun);
      printChanges(changes, options.dryRun);
      if (choice !== undefined && !options.dryRun) await awaitChanges(target, changes, choice);
    });
}

/** Documents of any kind go to the API server; of our own kinds what is wrong is told first, with file and line. */
async function applyInCluster(
  options: FileOptions & WaitOptions & { dryRun: boolean },
  command: Command,
): Promise<void> {
  refuseWaiting(options);
  const files = readSources(options.filename, options);
  const { problems } = parseDocuments(files, { defaultNamespace: options.namespace });
  const own = problems.filter(({ kind }) => isIstioKind(kind));
  printProblems(own);
  if (own.some(({ severity }) => severity === 'error')) {
    process.stderr.write(`${problemCounts(own)}; nothing was changed\n`);
    throw new ReportedError();
  }
  await withCluster(command, async ({ client }) =>
    printChanges(await applyToCluster(client, files, options.namespace, options.dryRun), options.dryRun),
  );
}

export function addValidateCommand(program: Command): void {
  program
    .command('validate')
    .summary('check documents without a mesh')
    .description(
      'Checks documents offline and lists every problem: file, line, column, object, field path, what is wrong and what to do.',
    )
    .requiredOption('-f, --filename <path>', 'file, directory or - for standard input; may be repeated', collect, [])
    .option('-n, --namespace <name>', 'namespace of documents that name none', DEFAULT_NAMESPACE)
    .option('-R, --recursive', 'enter the directories of a directory too', false)
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
A file without apiVersion and kind that has fields of MeshConfig is checked as one. JSON of a directory that has neither
(package.json) is skipped, with one line that says so.

Exit codes: 0 no error (warnings may be listed), 1 errors, 2 there is no document.

Examples:
  lateenctl validate -f examples/handbook
  lateenctl validate -f - -o json < routes.yaml`,
    )
    .action((options: FileOptions & { output: string }) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const files = readSources(options.filename, options);
      const { objects, meshConfigs, problems } = checkFiles(files, options.namespace);
      const sorted = [...problems].sort(compareProblems);
      if (format === 'json') printJson(sorted);
      else printProblems(sorted);
      const counts = problemCounts(sorted);
      if (sorted.some(({ severity }) => severity === 'error')) {
        if (format === 'table') process.stderr.write(`${errorColors.red(counts)}\n`);
        throw new ReportedError();
      }
      const count = objects + meshConfigs;
      if (count === 0) throw new UsageError(`there is no document in ${files.map(({ name }) => name).join(', ')}`);
      if (format === 'json') return;
      const verdict = `${count} ${count === 1 ? 'document is' : 'documents are'} valid`;
      print(counts === '' ? verdict : `${verdict}, with ${counts}`);
    });
}

/** Resources and mesh files are checked each by their own rules; a bootstrap file is only named. */
function checkFiles(files: readonly SourceText[], defaultNamespace: string) {
  const { documents, meshConfigs, bootstraps } = sortFiles(files);
  const { objects, problems } = parseDocuments(documents, { defaultNamespace });
  return {
    objects: objects.length,
    meshConfigs: meshConfigs.length,
    problems: [
      ...problems,
      ...meshConfigs.flatMap((file) => parseMeshConfig(file).problems),
      ...bootstraps.map((file) => bootstrapProblem(file, 'warning')),
    ],
  };
}
