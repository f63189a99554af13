// Galley's entry: flags, signals, exit codes. The work is wired in pipeline.ts.

import { join } from 'node:path';
import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { Command, InvalidArgumentError, Option } from 'commander';
import { istioRules } from './istio-rules.js';
import { type Galley, startGalley } from './pipeline.js';

interface Flags {
  readonly address: string;
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  readonly exitWithParent: boolean;
  readonly xdsPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  readonly configDir?: string;
  readonly meshConfig?: string;
  readonly citadelAddress: string;
  readonly tokenFile: string;
  readonly rootCert: string;
  readonly trustDomain: string;
  readonly adminRole: readonly string[];
}

const version = process.env.LATEEN_VERSION ?? '0.0.0-dev';

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new InvalidArgumentError('expected 0 to 65535.');
  return value;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

const command = new Command('galley')
  .description("Lateen's configuration service: validates, stores, and serves Istio resources to Pilot.")
  .version(version)
  .option('--address <ip>', 'bind address of all ports', '127.0.0.1')
  .requiredOption('--state-dir <dir>', 'directory of the applied resources and of the own certificate')
  .option('--xds-port <port>', 'configuration to Pilot (ADS over mTLS); 0 picks a free port', port, 9901)
  .option('--admin-port <port>', 'admin API for lateenctl (mTLS)', port, 15_016)
  .option('--admin-role <role=id>', 'gives a SPIFFE id a role at the admin API: viewer, editor or admin', collect, [])
  .option('--monitoring-port <port>', '/metrics, /version, /healthz, /ready', port, 15_014)
  .option('--config-dir <dir>', 'directory of YAML files to watch, beside what is applied')
  .option('--mesh-config <file>', 'MeshConfig to watch; the defaults without it')
  .requiredOption('--citadel-address <host:port>', 'the certificate service')
  .requiredOption('--token-file <file>', 'bearer token for Citadel, read again at each use')
  .requiredOption('--root-cert <file>', 'PEM of the trust roots to start with')
  .option('--trust-domain <name>', 'trust domain of the mesh', 'cluster.local')
  .addOption(new Option('--log-level <level>', 'least severe level that is logged').choices(LOG_LEVELS).default('info'))
  .option('--exit-with-parent', 'end when standard input closes', false)
  .parse();

const flags = command.opts<Flags>();
const logger = createLogger('galley', flags.logLevel);
let galley: Galley | undefined;
let stopping = false;

async function stop(reason: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  logger.info({ reason }, 'stopping');
  await galley?.stop();
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
if (flags.exitWithParent) onParentGone(() => void stop('the parent is gone'));

async function start(): Promise<void> {
  try {
    galley = await startGalley({
      ...flags,
      configDir: flags.configDir,
      meshConfig: flags.meshConfig,
      identity: {
        citadelAddress: flags.citadelAddress,
        tokenFile: flags.tokenFile,
        rootCertFile: flags.rootCert,
        directory: join(flags.stateDir, 'identity'),
      },
      rules: istioRules,
      version,
      logger,
      onFatal: (error) => {
        logger.fatal({ error }, `galley must restart: ${error.message}`);
        process.exit(1);
      },
    });
  } catch (error) {
    logger.fatal({ error }, `galley cannot start: ${(error as Error).message}`);
    process.exit(1);
  }
}

// The bundle is CommonJS, which cannot wait here.
void start();
