// Process of the sidecar: flags, exit codes and signals. The parts are wired in sidecar.ts and pipeline.ts.

import './small-heap.js';
import '@lateen/telemetry/held-optimizer.js';
import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { releaseOptimizer } from '@lateen/telemetry/held-optimizer.js';
import { Command, InvalidArgumentError, Option } from 'commander';
import { BootstrapRejected } from './config/bootstrap.js';
import { validateBootstrap } from './config/check-bootstrap.js';
import { createDataPlane } from './pipeline.js';
import { leavePod } from './pod/leave-pod.js';
import { type PodDrain, readPodSettings } from './pod/pod-settings.js';
import { waitCommand } from './pod/wait-ready.js';
import { type SidecarOptions, startSidecar } from './sidecar.js';
import { StartError } from './start-error.js';
import { runWorker } from './workers/run-worker.js';
import { WORKER_ARGUMENT } from './workers/worker-process.js';

const VERSION = process.env.LATEEN_VERSION ?? 'unbuilt';

/** Each process has memory of its own, and more than there are cores make nothing faster. */
const MAX_CONCURRENCY = 64;

interface Flags {
  readonly configPath?: string;
  readonly pod?: 'sidecar' | 'router';
  readonly mode: 'serve' | 'validate';
  readonly stateDir?: string;
  readonly citadelAddress?: string;
  readonly tokenFile?: string;
  readonly rootCert?: string;
  readonly trustDomain: string;
  readonly secretGracePeriodRatio: number;
  readonly drainTime: number;
  readonly concurrency: number;
  readonly logLevel: LogLevel;
  readonly exitWithParent: boolean;
}

function parseFlags(): Flags {
  const command = new Command('lateen-sidecar')
    .description('Proxy of the Lateen mesh: takes an Envoy v3 bootstrap file, static or with a control plane over ADS.')
    .version(VERSION)
    .option('-c, --config-path <file>', 'Envoy v3 bootstrap file, YAML or JSON')
    .addOption(
      new Option('--pod <type>', 'proxy of a pod, which says everything by its environment: no file').choices([
        'sidecar',
        'router',
      ]),
    )
    .addOption(
      new Option('--mode <mode>', 'serve, or check the file and end').choices(['serve', 'validate']).default('serve'),
    )
    .option('--state-dir <dir>', 'where key, certificate, the last configuration and the admin token are kept (0700)')
    .option('--citadel-address <host:port>', 'certificate service')
    .option('--token-file <file>', 'bearer token for the certificate service, read again at each use')
    .option('--root-cert <file>', 'PEM of the trust roots to start with')
    .option('--trust-domain <domain>', 'trust domain of the mesh', 'cluster.local')
    .addOption(
      new Option('--secret-grace-period-ratio <0..1>', "share of a certificate's life that is left when it is renewed")
        .argParser(parseRatio)
        .default(0.5),
    )
    .addOption(
      new Option('--drain-time <duration>', 'how long requests in flight may take at the end')
        .argParser(parseDurationMs)
        .default(5_000, '5s'),
    )
    .addOption(
      new Option('--concurrency <processes>', 'processes that serve, one for each core that the proxy is to use')
        .argParser(parseConcurrency)
        .default(1),
    )
    .addOption(new Option('--log-level <level>', 'least severe messages logged').choices(LOG_LEVELS).default('info'))
    .option('--exit-with-parent', 'end when standard input closes', false)
    .addHelpText(
      'after',
      '\nExamples:\n  lateen-sidecar --config-path bootstrap.yaml --mode validate\n' +
        '  lateen-sidecar --config-path bootstrap.yaml\n' +
        '  lateen-sidecar --pod sidecar\n  lateen-sidecar wait\n' +
        '\nExit codes: 0 ended as asked, 1 the configuration or a flag is wrong.\n',
    )
    .parse();
  const flags = command.opts<Flags>();
  if ((flags.configPath === undefined) === (flags.pod === undefined)) {
    command.error(
      flags.pod === undefined
        ? "error: required option '-c, --config-path <file>' not specified"
        : 'error: --config-path and --pod do not go together',
    );
  }
  return flags;
}

type Start = Pick<
  SidecarOptions,
  'configPath' | 'bootstrapText' | 'stateDir' | 'citadel' | 'drainTimeMs' | 'concurrency' | 'serving' | 'dns'
> & { readonly drain?: PodDrain };

/** How the sidecar is started: by a file and flags, or by what its pod says. @throws StartError */
function startOf(flags: Flags): Start {
  const { stateDir, drainTime: drainTimeMs, concurrency } = flags;
  if (flags.pod === undefined) {
    const configPath = flags.configPath as string;
    return { configPath, stateDir, citadel: citadelOf(flags), drainTimeMs, concurrency };
  }
  const { bootstrap, drain, ...pod } = readPodSettings(flags.pod, VERSION, process.env);
  const configPath = "the pod's environment";
  return { configPath, bootstrapText: bootstrap, ...pod, drainTimeMs: drain.durationMs, drain };
}

/** More than 0, since a certificate must not end before it is renewed, and less than 1. */
function parseRatio(text: string): number {
  const ratio = Number(text);
  if (!(ratio >= 0.05 && ratio <= 0.95)) throw new InvalidArgumentError('expected a number from 0.05 to 0.95');
  return ratio;
}

function parseConcurrency(text: string): number {
  const count = Number(text);
  if (!(Number.isInteger(count) && count >= 1 && count <= MAX_CONCURRENCY)) {
    throw new InvalidArgumentError(`expected a whole number from 1 to ${MAX_CONCURRENCY}`);
  }
  return count;
}

/** `5s`, `500ms`, `2m` or seconds without a unit. */
function parseDurationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected a duration, for example 5s or 500ms');
  const unitMs = { ms: 1, s: 1_000, m: 60_000 }[(match[2] ?? 's') as 'ms' | 's' | 'm'];
  return Number(match[1]) * unitMs;
}

function citadelOf(flags: Flags) {
  const { citadelAddress, tokenFile, rootCert, trustDomain, secretGracePeriodRatio: gracePeriodRatio } = flags;
  if (citadelAddress === undefined) return undefined;
  if (tokenFile === undefined) throw new StartError('--token-file is required with --citadel-address');
  if (rootCert === undefined) throw new StartError('--root-cert is required with --citadel-address');
  return { address: citadelAddress, tokenFile, rootCertFile: rootCert, trustDomain, gracePeriodRatio };
}

async function serve(flags: Flags): Promise<void> {
  const logger = createLogger('sidecar', flags.logLevel);
  let ending = false;
  let stop: (() => Promise<void>) | undefined;
  const end = (reason: string) => {
    if (ending) {
      // Asked twice: whoever asks does not want to wait.
      if (reason.startsWith('SIG')) process.exit(1);
      return;
    }
    ending = true;
    logger.info({ reason }, 'sidecar ends');
    // Before it has started there is nothing to drain.
    (stop?.() ?? Promise.resolve()).then(
      () => process.exit(0),
      (error: Error) => {
        logger.error({ reason: error.message }, 'sidecar did not end in order');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  if (flags.exitWithParent) onParentGone(() => end('parent gone'));
  const { drain, ...start } = startOf(flags);
  const sidecar = await startSidecar({
    ...start,
    program: process.argv[1] as string,
    version: VERSION,
    logger,
    createDataPlane,
    onReady: releaseOptimizer,
    onQuit: () => end('asked by the admin API'),
  });
  stop = () => (drain === undefined ? sidecar.stop() : leavePod(sidecar, drain));
}

async function main(): Promise<void> {
  if (process.argv[2] === WORKER_ARGUMENT && process.connected) {
    runWorker({ createDataPlane, onReady: releaseOptimizer });
    return;
  }
  if (process.argv[2] === 'wait') {
    process.exitCode = await waitCommand(process.argv.slice(3));
    return;
  }
  const flags = parseFlags();
  try {
    if (flags.mode === 'validate') {
      const { configPath, bootstrapText } = startOf(flags);
      const warnings = await validateBootstrap({ configPath, bootstrapText, createDataPlane });
      for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
      process.stdout.write(`${configPath}: OK\n`);
      return;
    }
    await serve(flags);
  } catch (error) {
    if (!(error instanceof BootstrapRejected || error instanceof StartError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

// The bundle is CommonJS, which cannot wait here; what main() throws ends the process all the same.
void main();
