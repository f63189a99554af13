// The agent's entry: flags, signals, exit codes. The work is wired in pipeline.ts.

import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Agent, startAgent } from './pipeline.js';

interface Flags {
  readonly address: string;
  readonly monitoringPort: number;
  readonly stateDir: string;
  readonly sdsSocket?: string;
  readonly citadelAddress: string;
  readonly tokenFile: string;
  readonly rootCert: string;
  readonly trustDomain: string;
  readonly secretGracePeriodRatio: number;
  readonly certificateTtlSeconds?: number;
  readonly logLevel: LogLevel;
  readonly exitWithParent: boolean;
}

const version = process.env.LATEEN_VERSION ?? '0.0.0-dev';

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new InvalidArgumentError('expected 0 to 65535.');
  return value;
}

/** More than 0, since a certificate must not end before it is renewed, and less than 1. */
function ratio(text: string): number {
  const value = Number(text);
  if (!(value >= 0.05 && value <= 0.95)) throw new InvalidArgumentError('expected a number from 0.05 to 0.95.');
  return value;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number above 0.');
  return value;
}

const command = new Command('lateen-agent')
  .description(
    "Gives a stock Envoy its certificate: gets it from Citadel, renews it, and serves it by SDS on a Unix socket as 'default' and 'ROOTCA', beside files as 'file-cert:CERTIFICATE~KEY' and 'file-root:FILE'.",
  )
  .version(version)
  .requiredOption('--state-dir <dir>', 'where key and certificate are kept (0700)')
  .option(
    '--sds-socket <file>',
    'the socket, in a directory that only this user can enter; default: sds.sock in --state-dir',
  )
  .requiredOption('--citadel-address <host:port>', 'certificate service')
  .requiredOption('--token-file <file>', 'bearer token for the certificate service, read again at each use')
  .requiredOption('--root-cert <file>', 'PEM of the trust roots to start with; followed when it changes')
  .option('--trust-domain <name>', 'trust domain of the mesh', 'cluster.local')
  .addOption(
    new Option('--secret-grace-period-ratio <0..1>', "share of a certificate's life that is left when it is renewed")
      .argParser(ratio)
      .default(0.5),
  )
  .option('--certificate-ttl-seconds <n>', "life to ask for; default: the certificate service's", seconds)
  .option('--address <ip>', 'bind address of the monitoring port', '127.0.0.1')
  .option('--monitoring-port <port>', '/metrics, /version, /healthz, /ready; 0 picks a free port', port, 15_014)
  .addOption(new Option('--log-level <level>', 'least severe level that is logged').choices(LOG_LEVELS).default('info'))
  .option('--exit-with-parent', 'end when standard input closes', false)
  .addHelpText('after', '\nHow to run an Envoy with it: docs/interop.md')
  .parse();

// Whatever is made here is nobody else's, from its first moment: files, directories and the socket.
process.umask(0o077);

const flags = command.opts<Flags>();
const logger = createLogger('agent', flags.logLevel);
let agent: Agent | undefined;
let stopping = false;

async function stop(reason: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  logger.info({ reason }, 'stopping');
  await agent?.stop();
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
if (flags.exitWithParent) onParentGone(() => void stop('the parent is gone'));

async function start(): Promise<void> {
  try {
    agent = await startAgent({
      ...flags,
      rootCertFile: flags.rootCert,
      gracePeriodRatio: flags.secretGracePeriodRatio,
      version,
      logger,
    });
  } catch (error) {
    logger.fatal({ error }, `agent cannot start: ${(error as Error).message}`);
    process.exit(1);
  }
}

// The bundle is CommonJS, which cannot wait here.
void start();
