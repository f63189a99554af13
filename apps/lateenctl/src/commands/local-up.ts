// Commands: `lateenctl local up`: starts a mesh, in this process or in one of its own, and applies files to it.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseMeshConfig } from '@lateen/istio-config';
import { createLogger, type LogLevel, onParentGone } from '@lateen/telemetry';
import { type Command, Option } from 'commander';
import { readSources } from '../documents/read-sources.js';
import { ControlClient } from '../mesh/control-client.js';
import { localControlPlane, openMesh } from '../mesh/open-mesh.js';
import { waitUntilReady } from '../mesh/wait-until-ready.js';
import { CliError, ReportedError, UnreachableError, UsageError } from '../output/cli-error.js';
import { errorColors, outColors, print, printProblems } from '../output/print.js';
import { makePrivateDirectory } from '../state/private-directory.js';
import { type StateLayout, stateLayout } from '../state/state-layout.js';
import { VERSION } from '../version.js';
import { type ParsedSources, parseSources, sendToGalley, sendToSupervisor } from './apply-sources.js';
import { collect, DEFAULT_NAMESPACE, stateDirOf, timeoutMsOf } from './context.js';

interface UpOptions {
  readonly filename: string[];
  readonly namespace: string;
  readonly recursive: boolean;
  readonly ingressPort: string;
  readonly ingressHttpsPort?: string;
  readonly meshConfig?: string;
  readonly caDir?: string;
  readonly caPassphraseFile?: string;
  readonly workloadTtl?: string;
  readonly isolation: 'none' | 'netns';
  readonly foreground: boolean;
  readonly exitWithParent: boolean;
  readonly logLevel: LogLevel;
  readonly timeout: string;
}

const POLL_MS = 100;
const TRUST_DOMAIN = 'cluster.local';
const NO_OUTSIDE =
  'warning: pods in network namespaces reach the mesh only: no host outside of it, and nothing on this machine';

export function addLocalUp(local: Command): void {
  local
    .command('up')
    .summary('start a mesh on this machine')
    .description(
      'Starts Galley, Pilot, Citadel and the ingress gateway, and for each replica of each Deployment its application and a\n' +
        'sidecar, as processes of this user. A container runs as the command in the annotation lateen.io/local-command (a JSON\n' +
        "array; working directory: the file's). An application gets PORT and HOST to listen on, and *_SERVICE_HOST and\n" +
        '*_SERVICE_PORT for the services that it calls. The mesh keeps what was applied in its state directory.',
    )
    .option('-f, --filename <path>', 'apply a file, directory or - once the mesh is up; may be repeated', collect, [])
    .option('-n, --namespace <name>', 'namespace of documents that name none', DEFAULT_NAMESPACE)
    .option('-R, --recursive', 'enter the directories of a directory too', false)
    .option('--ingress-port <port>', 'port of 127.0.0.1 for the ingress gateway; 0 takes a free one', '8080')
    .option(
      '--ingress-https-port <port>',
      'the same for HTTPS; default: 8443 beside 8080, a free one beside 0, else none',
    )
    .option('--mesh-config <file>', 'MeshConfig; default: mesh.yaml in the state directory')
    .option(
      '--ca-dir <dir>',
      "directory of an intermediate's ca-cert.pem, ca-key.pem, root-cert.pem and cert-chain.pem",
    )
    .option('--ca-passphrase-file <file>', 'passphrase of the key that signs certificates')
    .option('--workload-ttl <duration>', 'life of certificates; default: 24h')
    .addOption(
      new Option('--isolation <mode>', 'netns: a network namespace for each pod, with redirected connections (Linux)')
        .choices(['none', 'netns'])
        .default('none'),
    )
    .option('--foreground', 'stay and end the mesh with this command (Ctrl-C)', false)
    .option('--exit-with-parent', 'with --foreground: end the mesh when standard input closes', false)
    .option('--detach', 'return when the mesh is ready (the default)')
    .option('--log-level <level>', "level of the mesh's own processes", 'info')
    .option('--timeout <seconds>', 'how long to wait until everything is ready', '60')
    .addHelpText(
      'after',
      `
Exit codes: 0 ready, 1 not ready in time or refused documents, 2 usage.

Examples:
  lateenctl local up -f examples/bookinfo/bookinfo.yaml
  lateenctl local up -f app/ --ingress-port 0 --state-dir /tmp/mesh-2
  lateenctl local up --foreground
  lateenctl local up -f examples/bookinfo/bookinfo.yaml --isolation netns`,
    )
    .action(async (options: UpOptions, command: Command) => {
      const layout = stateLayout(stateDirOf(command));
      timeoutMsOf(options.timeout);
      const sources =
        options.filename.length === 0
          ? undefined
          : parseSources(readSources(options.filename, options), options.namespace);
      if (options.meshConfig !== undefined) checkMeshConfig(options.meshConfig);
      await refuseRunning(layout);
      if (options.foreground) await runInForeground(layout, options, sources);
      else await runDetached(layout, options, sources);
    });
}

function portOf(option: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new UsageError(`${option} ${text}: not a port (0 to 65535)`);
  }
  return port;
}

function ingressPortsOf({ ingressPort, ingressHttpsPort }: UpOptions) {
  return {
    ingressPort: portOf('--ingress-port', ingressPort),
    ingressHttpsPort: ingressHttpsPort === undefined ? undefined : portOf('--ingress-https-port', ingressHttpsPort),
  };
}

/** The authority's own options, checked by itself. */
function citadelFlagsOf({ caDir, caPassphraseFile, workloadTtl }: UpOptions): string[] {
  return [
    ...(caDir === undefined ? [] : ['--ca-dir', resolve(caDir)]),
    ...(caPassphraseFile === undefined ? [] : ['--ca-passphrase-file', resolve(caPassphraseFile)]),
    ...(workloadTtl === undefined ? [] : ['--workload-ttl', workloadTtl]),
  ];
}

/** Galley would only log what is wrong with it; who starts a mesh is told. */
function checkMeshConfig(path: string): void {
  const [file] = readSources([path], { recursive: false });
  const { problems } = parseMeshConfig(file!);
  printProblems(problems);
  if (problems.some(({ severity }) => severity === 'error')) throw new ReportedError();
}

async function refuseRunning(layout: StateLayout): Promise<void> {
  if (!existsSync(layout.meshFile)) return;
  try {
    await new ControlClient(layout.controlSocket).status();
  } catch (error) {
    // The supervisor was killed: its mesh.json is stale and will be overwritten.
    if (error instanceof UnreachableError) return;
    throw error;
  }
  throw new CliError(
    `a mesh already runs in ${layout.root}; apply files with \`lateenctl apply -f\`, end it with \`lateenctl local down\`, ` +
      'or start another with --state-dir DIR --ingress-port 0',
  );
}

/** Runs the supervisor here until it is told to end. */
async function runInForeground(
  layout: StateLayout,
  options: UpOptions,
  sources: ParsedSources | undefined,
): Promise<void> {
  // Loaded here alone: gRPC and the xDS types are half of what other commands would load.
  const { startSupervisor } = await import('../supervisor/pipeline.js');
  const supervisor = await startSupervisor({
    layout,
    ...ingressPortsOf(options),
    meshConfigFile: options.meshConfig === undefined ? undefined : resolve(options.meshConfig),
    citadelFlags: citadelFlagsOf(options),
    isolation: options.isolation,
    trustDomain: TRUST_DOMAIN,
    logLevel: options.logLevel,
    version: VERSION,
    ownLogFile: process.send === undefined ? '' : layout.supervisorLog,
    logger: createLogger('supervisor', options.logLevel),
  }).catch((error: Error) => {
    reportToParent({ error: error.message });
    throw new CliError(error.message);
  });
  const end = () => void supervisor.close();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
  if (options.exitWithParent) onParentGone(end);
  reportToParent({ started: true });
  if (process.send === undefined) {
    const up = applyAndWait(layout, options, sources).then(() => print('Ctrl-C ends the mesh.'));
    await Promise.race([up, supervisor.closed]).catch(async (error) => {
      await supervisor.close();
      throw error;
    });
    // Told to end while it was starting: what then fails to be applied is no news.
    up.catch(() => undefined);
  }
  await supervisor.closed;
  // Standard input, watched for the parent's end, would keep this process alive.
  if (options.exitWithParent) process.stdin.destroy();
}

interface StartMessage {
  readonly started?: boolean;
  readonly error?: string;
}

/** Tells the command that started this supervisor how it went, and lets it go. */
function reportToParent(message: StartMessage): void {
  if (process.send === undefined || !process.connected) return;
  process.send(message, () => process.disconnect?.());
}

/** Starts a supervisor in a process of its own, waits for the mesh and leaves it running. */
async function runDetached(layout: StateLayout, options: UpOptions, sources: ParsedSources | undefined): Promise<void> {
  makePrivateDirectory(layout.supervisor);
  const log = openSync(layout.supervisorLog, 'a', 0o600);
  const args = ['local', 'up', '--foreground', '--state-dir', layout.root];
  const { ingressPort, ingressHttpsPort } = ingressPortsOf(options);
  args.push('--ingress-port', String(ingressPort), '--log-level', options.logLevel);
  if (ingressHttpsPort !== undefined) args.push('--ingress-https-port', String(ingressHttpsPort));
  if (options.meshConfig !== undefined) args.push('--mesh-config', resolve(options.meshConfig));
  args.push('--isolation', options.isolation, ...citadelFlagsOf(options));
  const child = spawn(process.execPath, [process.argv[1]!, ...args], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  await startMessage(child, layout);
  child.unref();
  await applyAndWait(layout, options, sources);
}

function startMessage(child: ChildProcess, layout: StateLayout): Promise<void> {
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code) =>
      fail(new CliError(`the supervisor ended at once (exit code ${code}); see ${layout.supervisorLog}`)),
    );
    child.once('message', (message: StartMessage) => {
      child.removeAllListeners('exit');
      if (message.error === undefined) done();
      else fail(new CliError(message.error));
    });
  });
}

/** Applies the files, waits until everything is ready and says where to look. */
async function applyAndWait(
  layout: StateLayout,
  options: UpOptions,
  sources: ParsedSources | undefined,
): Promise<void> {
  const timeoutMs = timeoutMsOf(options.timeout);
  const control = new ControlClient(layout.controlSocket);
  const deadline = Date.now() + timeoutMs;
  if (sources !== undefined) await sendToSupervisor(control, sources, false);
  const remaining = () => Math.max(0, deadline - Date.now());
  if (sources !== undefined)
    await retryUnreachable(() => sendToGalley(localControlPlane(openMesh(layout.root)), sources, false), remaining);
  const status = await waitUntilReady(control, remaining);
  const { address, port } = status.ingress;
  if (options.isolation === 'netns') process.stderr.write(`${errorColors.yellow(NO_OUTSIDE)}\n`);
  print(
    `${outColors.green('ready')}: ${status.pods.length} pods; ingress at http://${address}:${port}; state in ${layout.root}`,
  );
}

/** Galley and the client certificate need a moment after the start. */
async function retryUnreachable<T>(call: () => Promise<T>, remainingMs: () => number): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof UnreachableError) || remainingMs() === 0) throw error;
    }
    await sleep(POLL_MS);
  }
}
