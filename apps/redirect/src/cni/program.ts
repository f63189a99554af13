// lateen-cni: called by a container runtime it is the plugin; with `install` it keeps the plugin on its node.
import { existsSync, watch } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { KubeClient, loadClusterAccess } from '@lateen/kubernetes';
import { Command, InvalidArgumentError, Option } from 'commander';
import { RedirectError } from '../commands.js';
import { Installation } from './installation.js';
import { CniError, CODES, errorOutput } from './network-config.js';
import { runPlugin } from './plugin.js';
import { REPAIRS, type Repair, startRepair } from './repair.js';

interface InstallFlags {
  readonly cniBinDir: string;
  readonly nodeCniBinDir: string;
  readonly cniNetDir: string;
  readonly nodeCniNetDir: string;
  readonly cniConfName?: string;
  readonly excludeNamespaces: string;
  readonly podNamespace: string;
  readonly tokenFile: string;
  readonly caFile: string;
  readonly apiServer?: string;
  readonly repair: Repair;
  readonly nodeName?: string;
  readonly readinessPort: number;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Other plugins rewrite their configuration, and the account's token changes: looked at this often, and when files change. */
const LOOK_EVERY_MS = 5000;

function log(line: string): void {
  // Standard output is the runtime's.
  console.error(`lateen-cni: ${line}`);
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new InvalidArgumentError('expected 0 to 65535.');
  return value;
}

function installCommand(): Command {
  const command = new Command('lateen-cni').description(
    'CNI plugin that writes the redirect rules of injected pods, so that no pod needs NET_ADMIN. A container runtime calls it by the CNI specification (CNI_COMMAND…, 0.3.0 to 1.1.0).',
  );
  command
    .command('install')
    .description('puts the plugin in place on this node, keeps it there, and takes it away when it is told to end')
    .option('--cni-bin-dir <dir>', "the node's directory of plugins, as mounted here", '/host/opt/cni/bin')
    .option('--node-cni-bin-dir <dir>', 'the same directory, as the node calls it', '/opt/cni/bin')
    .option(
      '--cni-net-dir <dir>',
      "the node's directory of network configurations, as mounted here",
      '/host/etc/cni/net.d',
    )
    .option('--node-cni-net-dir <dir>', 'the same directory, as the node calls it', '/etc/cni/net.d')
    .option('--cni-conf-name <file>', 'the configuration to join; default: the one that runtimes take')
    .option('--exclude-namespaces <names>', 'namespaces whose pods are left alone', 'kube-system')
    .addOption(
      new Option('--pod-namespace <name>', 'namespace of this program').env('POD_NAMESPACE').default('istio-system'),
    )
    .option('--token-file <file>', 'token of the account that reads pods', `${ACCOUNT}/token`)
    .option('--ca-file <file>', "root of the API server's certificate", `${ACCOUNT}/ca.crt`)
    .option('--api-server <url>', 'default: that of the cluster, from KUBERNETES_SERVICE_HOST')
    .addOption(
      new Option('--repair <how>', 'pods of this node that started before the plugin was here')
        .choices(REPAIRS)
        .default('tell'),
    )
    .addOption(new Option('--node-name <name>', 'this node, whose pods are looked at').env('NODE_NAME'))
    .option('--readiness-port <port>', '/readyz and /healthz', port, 8000)
    .action((flags: InstallFlags) => install(flags));
  return command;
}

function apiServerOf({ apiServer }: InstallFlags): string {
  if (apiServer !== undefined) return apiServer;
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: servicePort = '443' } = process.env;
  if (host === undefined)
    throw new RedirectError('KUBERNETES_SERVICE_HOST is missing: run in a pod, or give --api-server');
  return `https://${host.includes(':') ? `[${host}]` : host}:${servicePort}`;
}

async function install(flags: InstallFlags): Promise<void> {
  const apiServer = apiServerOf(flags);
  for (const directory of [flags.cniBinDir, flags.cniNetDir]) {
    if (!existsSync(directory)) throw new RedirectError(`${directory} is not there: mount the node's directory to it`);
  }
  const installation = new Installation({
    binDirectory: flags.cniBinDir,
    nodeBinDirectory: flags.nodeCniBinDir,
    netDirectory: flags.cniNetDir,
    nodeNetDirectory: flags.nodeCniNetDir,
    networkFile: flags.cniConfName,
    excludeNamespaces: flags.excludeNamespaces.split(',').filter((name) => name !== ''),
    podNamespace: flags.podNamespace,
    tokenFile: flags.tokenFile,
    caFile: flags.caFile,
    apiServer,
    program: fileURLToPath(import.meta.url),
  });
  let missing: string | undefined = 'the first look';
  const keep = (): void => {
    try {
      const before = missing;
      const kept = installation.keep();
      missing = kept.missing;
      for (const file of kept.changed) log(`installed ${file}`);
      if (missing !== undefined && missing !== before) log(`waiting for ${missing}`);
    } catch (error) {
      const { message } = error as Error;
      if (missing !== message) log(message);
      missing = message;
    }
  };
  keep();
  const timer = setInterval(keep, LOOK_EVERY_MS);
  const watcher = watch(flags.cniNetDir, keep);
  const readiness = createServer((request, response) => {
    const ready = request.url === '/healthz' || missing === undefined;
    response.writeHead(ready ? 200 : 503, { 'content-type': 'text/plain' }).end(ready ? 'ok\n' : `${missing}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    readiness.once('error', reject);
    readiness.listen(flags.readinessPort, () => resolve());
  });
  const repair = await startRepairOf(flags);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  clearInterval(timer);
  watcher.close();
  readiness.close();
  readiness.closeAllConnections();
  await repair?.stop();
  installation.remove();
  log('taken away');
}

/** By the pod's own account; where the program runs by hand, with the files that it is given. */
async function startRepairOf({ nodeName, repair }: InstallFlags): Promise<{ stop(): Promise<void> } | undefined> {
  if (nodeName === undefined) {
    log('pods without rules are not looked for: --node-name (NODE_NAME) is missing');
    return undefined;
  }
  const client = new KubeClient(
    await loadClusterAccess(process.env.KUBECONFIG === undefined ? { inCluster: true } : {}),
  );
  return startRepair({ client, nodeName, repair, log });
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** The version to answer with, where the configuration may be what is wrong. */
function versionOf(input: string): string {
  try {
    return String((JSON.parse(input) as { cniVersion?: unknown }).cniVersion ?? '1.0.0');
  } catch {
    return '1.0.0';
  }
}

async function callPlugin(): Promise<number> {
  const input = process.env.CNI_COMMAND === 'VERSION' ? '' : await readInput();
  try {
    const output = await runPlugin(process.env, input, log);
    if (output !== '') process.stdout.write(`${output}\n`);
    return 0;
  } catch (error) {
    // Whatever it is, the runtime has to read it.
    const told =
      error instanceof CniError ? error : new CniError(CODES.notRedirected, (error as Error).stack ?? String(error));
    process.stdout.write(`${errorOutput(told, versionOf(input))}\n`);
    return 1;
  }
}

/** Runs the program to its exit code. */
export async function runCni(args: readonly string[]): Promise<number> {
  if (args.length === 0 && process.env.CNI_COMMAND !== undefined) return callPlugin();
  try {
    await installCommand().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (!(error instanceof RedirectError)) throw error;
    log(error.message);
    return 1;
  }
}
