// Citadel's entry: flags, signals, exit codes. The work is wired in pipeline.ts.

import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseDurationSeconds } from './duration.js';
import { type Citadel, startCitadel } from './pipeline.js';

interface Flags {
  readonly address: string;
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  readonly exitWithParent: boolean;
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  readonly trustDomain: string;
  readonly tokenKey: string;
  readonly tokenAudience: string;
  readonly tokenIssuer: string;
  readonly workloadTtl: number;
  readonly rootTtl: number;
  readonly identityRate: number;
  readonly identityBurst: number;
  readonly totalRate: number;
  readonly totalBurst: number;
}

const version = process.env.LATEEN_VERSION ?? '0.0.0-dev';

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new InvalidArgumentError('expected 0 to 65535.');
  return value;
}

function duration(text: string): number {
  try {
    return parseDurationSeconds(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('expected a number above 0.');
  return value;
}

const command = new Command('citadel')
  .description("Lateen's certificate authority: checks tokens, signs SPIFFE certificates, keeps the root.")
  .version(version)
  .option('--address <ip>', 'bind address of all ports', '127.0.0.1')
  .requiredOption('--state-dir <dir>', 'directory of the root key, the root certificate and the audit log')
  .option('--grpc-port <port>', 'certificate service (gRPC over TLS); 0 picks a free port', port, 8060)
  .option('--admin-port <port>', 'admin API (mTLS)', port, 15_016)
  .option('--monitoring-port <port>', '/metrics, /version, /healthz, /ready', port, 15_014)
  .option('--trust-domain <name>', 'trust domain of the certificates', 'cluster.local')
  .requiredOption('--token-key <file>', 'JWKS with the public keys of the token signer; read again when it changes')
  .option('--token-audience <name>', 'audience that a token must have', 'istio-ca')
  .option('--token-issuer <name>', 'issuer that a token must have', 'lateen-local')
  .option('--workload-ttl <duration>', 'longest life of a workload certificate', duration, 24 * 3600)
  .option('--root-ttl <duration>', 'life of the root made on first start', duration, 10 * 365 * 24 * 3600)
  .option('--identity-rate <n>', 'certificates a second for one identity, sustained', positive, 20)
  .option('--identity-burst <n>', 'certificates at once for one identity', positive, 200)
  .option('--total-rate <n>', 'certificates a second in all, sustained', positive, 500)
  .option('--total-burst <n>', 'certificates at once in all', positive, 2000)
  .addOption(new Option('--log-level <level>', 'least severe level that is logged').choices(LOG_LEVELS).default('info'))
  .option('--exit-with-parent', 'end when standard input closes', false)
  .parse();

const flags = command.opts<Flags>();
const logger = createLogger('citadel', flags.logLevel);
let citadel: Citadel | undefined;
let stopping = false;

async function stop(reason: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  logger.info({ reason }, 'stopping');
  await citadel?.stop();
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
if (flags.exitWithParent) onParentGone(() => void stop('the parent is gone'));

async function start(): Promise<void> {
  try {
    citadel = await startCitadel({
      ...flags,
      version,
      tokenKeyFile: flags.tokenKey,
      workloadTtlSeconds: flags.workloadTtl,
      rootTtlSeconds: flags.rootTtl,
      limits: {
        identity: { perSecond: flags.identityRate, burst: flags.identityBurst },
        total: { perSecond: flags.totalRate, burst: flags.totalBurst },
      },
      logger,
    });
  } catch (error) {
    logger.fatal({ error }, `citadel cannot start: ${(error as Error).message}`);
    process.exit(1);
  }
}

// The bundle is CommonJS, which cannot wait here.
void start();
