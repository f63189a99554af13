// Commands: `lateenctl explain`: what becomes of a request under documents, with no mesh running, or in the running mesh.

import type { Command } from 'commander';
import { collect, DEFAULT_NAMESPACE, targetOf } from '../commands/context.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { outColors, outputFormat, print, printJson, printYaml } from '../output/print.js';
import { explainText } from './explain-text.js';
import type { DocumentOptions, ReadMesh } from './read-mesh.js';

interface ExplainOptions extends DocumentOptions {
  readonly from?: string;
  readonly request: string;
  readonly header: readonly string[];
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
    .argument('[workload]', 'the same as --from')
    .option('-c, --config <path>', 'file, directory or - with the documents; left out: the running mesh', collect, [])
    .option('--services <path>', 'Services and Deployments, where they stand elsewhere; may be repeated', collect, [])
    .option('--mesh-config <file>', 'MeshConfig; also taken from a mesh file among the documents')
    .option('--from <workload>', "who calls: Deployment, pod, app or app/version, or 'ingress gateway'")
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
Of documents all replicas count as ready. Without documents the running mesh is asked about: its configuration, its pods.
Exit codes: 0 explained, whatever the answer is; 1 invalid documents, an unknown workload; 2 the command line is wrong;
3 the mesh does not answer.

Examples:
  lateenctl explain -c examples/bookinfo --from productpage-v1 --request http://reviews:9080/reviews/0
  lateenctl explain -c examples/bookinfo -c examples/handbook/gateway-bookinfo.yaml --from 'ingress gateway' \\
      --request http://localhost:8080/productpage
  lateenctl explain -c routes/ --services app.yaml --from web --request 'POST http://shop/cart' -H 'end-user: jason' -o json
  lateenctl explain productpage-v1 --request http://reviews:9080/reviews/0`,
    )
    .action(async (workload: string | undefined, options: ExplainOptions, command: Command) => {
      const format = outputFormat(options.output, ['short', 'json', 'yaml']);
      const from = callerText(workload, options);
      // The translation and the data plane's core are loaded for this command only.
      const [library, { readDocuments, readRunningMesh }] = await Promise.all([
        import('@lateen/explain'),
        import('./read-mesh.js'),
      ]);
      const mesh =
        options.config.length === 0
          ? await readRunningMesh((await targetOf(command)).controlPlane)
          : readDocuments(options);
      const answer = await explainRequest(library, mesh, from, options, command);
      if (format === 'json') return printJson(answer);
      if (format === 'yaml') return printYaml(answer);
      print(explainText(options.request, answer, outColors.dim));
    });
}

type Library = typeof import('@lateen/explain');

/** Who calls, and that the options fit together. @throws UsageError */
function callerText(workload: string | undefined, { from, config, services, meshConfig }: ExplainOptions): string {
  if (config.length === 0 && (services.length > 0 || meshConfig !== undefined)) {
    throw new UsageError('--services and --mesh-config go with documents: give them by --config');
  }
  if (workload !== undefined && from !== undefined) throw new UsageError('give the workload once: by --from, or alone');
  const caller = from ?? workload;
  if (caller === undefined) throw new UsageError('say who calls: --from WORKLOAD');
  return caller;
}

async function explainRequest(
  library: Library,
  mesh: ReadMesh,
  from: string,
  options: ExplainOptions,
  command: Command,
) {
  const { explainWithTokens, findCaller, parseRequest } = library;
  const { RefusedConfigurationError, RequestSyntaxError, UnknownCallerError } = library;
  try {
    const request = parseRequest(options.request, options.header);
    const namespace = command.getOptionValueSource('namespace') === 'cli' ? options.namespace : undefined;
    const caller = findCaller(mesh.snapshot, from, namespace);
    return await explainWithTokens({ ...mesh, caller, request }, Date.now());
  } catch (error) {
    if (error instanceof RequestSyntaxError) throw new UsageError(error.message);
    if (error instanceof UnknownCallerError) throw new CliError(`--from: ${error.message}`);
    if (error instanceof RefusedConfigurationError) throw new CliError(error.message);
    throw error;
  }
}
