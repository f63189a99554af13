// Commands: `lateenctl explain`: what becomes of a request under a configuration, with no mesh running.

import type { ExplainInput } from '@lateen/explain';
import {
  type ConfigObject,
  compareProblems,
  parseDocuments,
  parseMeshConfig,
  validateObjects,
} from '@lateen/istio-config';
import type { Command } from 'commander';
import { collect, DEFAULT_NAMESPACE } from '../commands/context.js';
import { bootstrapProblem, sortFiles } from '../documents/other-files.js';
import { readSources } from '../documents/read-sources.js';
import { CliError, ReportedError, UsageError } from '../output/cli-error.js';
import {
  errorColors,
  outColors,
  outputFormat,
  print,
  printJson,
  printProblems,
  printYaml,
  problemCounts,
} from '../output/print.js';
import { explainText } from './explain-text.js';
import { meshOfDocuments } from './mesh-of-documents.js';

interface ExplainOptions {
  readonly config: readonly string[];
  readonly services: readonly string[];
  readonly meshConfig?: string;
  readonly from: string;
  readonly request: string;
  readonly header: readonly string[];
  readonly namespace: string;
  readonly recursive: boolean;
  readonly output: string;
}

export function addExplainCommand(program: Command): void {
  program
    .command('explain')
    .summary('what would become of a request, and which line of which file decides it')
    .description(
      "Translates documents as Pilot would, and puts one request through the proxy's own decision: virtual host, route, clusters\n" +
        'with weights and endpoints, rewrites, header changes, timeout, retries, faults, mirrors and limits, each with the file and\n' +
        'line that decided it; why the other rules were not chosen; and what the receiving side does. Nothing has to run.',
    )
    .requiredOption('-c, --config <path>', 'file, directory or - with the documents; may be repeated', collect, [])
    .option('--services <path>', 'Services and Deployments, where they stand elsewhere; may be repeated', collect, [])
    .option('--mesh-config <file>', 'MeshConfig; also taken from a mesh file among the documents')
    .requiredOption('--from <workload>', "who calls: Deployment, pod, app or app/version, or 'ingress gateway'")
    .requiredOption('--request <text>', "the request, as 'GET http://reviews:9080/path'")
    .option(
      '-H, --header <header>',
      "a header, as 'end-user: jason'; `host` replaces the address's; may be repeated",
      collect,
      [],
    )
    .option('-n, --namespace <name>', 'namespace of documents that name none, and of the caller', DEFAULT_NAMESPACE)
    .option('-R, --recursive', 'enter the directories of a directory too', false)
    .option('-o, --output <format>', 'short, json or yaml', 'short')
    .addHelpText(
      'after',
      `
All replicas count as ready. Exit codes: 0 explained, whatever the answer is; 1 invalid documents, an unknown workload;
2 the command line is wrong.

Examples:
  lateenctl explain -c examples/bookinfo --from productpage-v1 --request http://reviews:9080/reviews/0
  lateenctl explain -c examples/bookinfo -c examples/handbook/gateway-bookinfo.yaml --from 'ingress gateway' \\
      --request http://localhost:8080/productpage
  lateenctl explain -c routes/ --services app.yaml --from web --request 'POST http://shop/cart' -H 'end-user: jason' -o json`,
    )
    .action(async (options: ExplainOptions, command: Command) => {
      const format = outputFormat(options.output, ['short', 'json', 'yaml']);
      // The translation and the data plane's core are loaded for this command only.
      const library = await import('@lateen/explain');
      const mesh = readMesh(options);
      const answer = await explainRequest(library, mesh, options, command);
      if (format === 'json') return printJson(answer);
      if (format === 'yaml') return printYaml(answer);
      print(explainText(options.request, answer, outColors.dim));
    });
}

type Library = typeof import('@lateen/explain');

interface ReadMesh {
  readonly objects: readonly ConfigObject[];
  readonly snapshot: ReturnType<typeof meshOfDocuments>;
  readonly meshFile: ExplainInput['meshFile'];
}

function explainRequest(
  library: Library,
  { snapshot, objects, meshFile }: ReadMesh,
  options: ExplainOptions,
  command: Command,
) {
  const { explain, findCaller, parseRequest } = library;
  const { RefusedConfigurationError, RequestSyntaxError, UnknownCallerError } = library;
  try {
    const request = parseRequest(options.request, options.header);
    const namespace = command.getOptionValueSource('namespace') === 'cli' ? options.namespace : undefined;
    const caller = findCaller(snapshot, options.from, namespace);
    return explain({ snapshot, documents: objects, meshFile, caller, request });
  } catch (error) {
    if (error instanceof RequestSyntaxError) throw new UsageError(error.message);
    if (error instanceof UnknownCallerError) throw new CliError(`--from: ${error.message}`);
    if (error instanceof RefusedConfigurationError) throw new CliError(error.message);
    throw error;
  }
}

/** Reads and checks everything that was named; warnings are printed. @throws ReportedError after printing every error */
function readMesh(options: ExplainOptions): ReadMesh {
  const files = [
    ...readSources(options.config, options),
    ...(options.services.length > 0 ? readSources(options.services, options) : []),
  ];
  const { documents, meshConfigs, bootstraps } = sortFiles(files);
  const named = options.meshConfig === undefined ? [] : readSources([options.meshConfig], { recursive: false });
  const meshFiles = named.length > 0 ? named : meshConfigs;
  if (meshFiles.length > 1) {
    throw new UsageError(
      `${meshFiles.map(({ name }) => name).join(' and ')} are both mesh files; give one by --mesh-config`,
    );
  }
  const { objects, problems } = parseDocuments(documents, { defaultNamespace: options.namespace });
  const mesh = meshFiles.map((file) => ({ name: file.name, ...parseMeshConfig(file) }));
  const all = [
    ...problems,
    ...mesh.flatMap((each) => each.problems),
    ...bootstraps.map((file) => bootstrapProblem(file, 'warning')),
    ...validateObjects(objects),
  ].sort(compareProblems);
  printProblems(all);
  if (all.some(({ severity }) => severity === 'error')) {
    process.stderr.write(`${errorColors.red(problemCounts(all))}\n`);
    throw new ReportedError();
  }
  if (objects.length === 0) throw new UsageError(`there is no document in ${files.map(({ name }) => name).join(', ')}`);
  return { objects, snapshot: meshOfDocuments(objects, mesh[0]?.config), meshFile: mesh[0] };
}
