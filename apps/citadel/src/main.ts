// Citadel's entry: flags, signals, exit codes. The work is wired in pipeline.ts.

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { SIGNING_KEY_TYPES, type SigningKeyType } from '@lateen/identity/authority';
import { KubeClient, loadClusterAccess } from '@lateen/kubernetes';
import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { TtlLimits } from './certificate-service.js';
import type { ClusterOptions } from './cluster/cluster-citadel.js';
import { parseDurationSeconds } from './duration.js';
import { oidcOptions } from './oidc-flags.js';
import { type Citadel, startCitadel } from './pipeline.js';

interface Flags {
  readonly address?: string;
  readonly stateDir?: string;
  readonly kubernetes: boolean;
  readonly kubeconfig?: string;
  readonly kubeContext?: string;
  readonly revision: string;
  readonly leaseDuration: number;
  readonly logLevel: LogLevel;
  readonly exitWithParent: boolean;
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  readonly trustDomain: string;
  readonly adminRole: readonly string[];
  readonly tokenKey?: string;
  readonly tokenAudience: string;
  readonly tokenIssuer: string;
  readonly oidcIssuer: readonly string[];
  readonly oidcAudience: readonly string[];
  readonly oidcJwksUri: readonly string[];
  readonly certificateRenewal: boolean;
  readonly caDir?: string;
  readonly caPassphraseFile?: string;
  readonly workloadTtl: number;
  readonly minWorkloadTtl: number;
  readonly maxWorkloadTtl?: number;
  readonly rootTtl: number;
  readonly rootKeyType: SigningKeyType;
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

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

const command = new Command('citadel')
  .description("Lateen's certificate authority: checks tokens, signs SPIFFE certificates, keeps the root.")
  .version(version)
  .option('--address <ip>', 'bind address of all ports; default: 127.0.0.1, with --kubernetes 0.0.0.0')
  .option(
    '--state-dir <dir>',
    'directory of root, journal and checkpoints; in a cluster of journal and checkpoints, if any',
  )
  .option('--kubernetes', 'serves the cluster that it runs in, as the service account of its pod', false)
  .option('--kubeconfig <file>', 'serves the cluster of this kubeconfig')
  .option('--kube-context <name>', 'context of the kubeconfig; default: its current one')
  .option('--lease-duration <duration>', 'in a cluster: how long replicas respect a silent leader', duration, 15)
  .option('--revision <name>', 'revision of the control plane, for the names of its Service', 'default')
  .option('--grpc-port <port>', 'certificate service (gRPC over TLS); 0 picks a free port', port, 8060)
  .option('--admin-port <port>', 'admin API (mTLS)', port, 15_016)
  .option('--admin-role <role=id>', 'gives a SPIFFE id a role at the admin API: viewer, editor or admin', collect, [])
  .option('--monitoring-port <port>', '/metrics, /version, /healthz, /ready', port, 15_014)
  .option('--trust-domain <name>', 'trust domain of the certificates', 'cluster.local')
  .option('--token-key <file>', 'JWKS with the public keys of the local token signer; read again when it changes')
  .option('--token-audience <name>', 'audience that its tokens must have', 'istio-ca')
  .option('--token-issuer <name>', 'issuer that its tokens must have', 'lateen-local')
  .option(
    '--oidc-issuer <url>',
    'takes service account tokens of this issuer too (keys by discovery), such as a cluster; may be repeated',
    collect,
    [],
  )
  .option(
    '--oidc-audience <name>',
    'audience that their tokens must have: one for all issuers, or repeated, one for each; default: istio-ca',
    collect,
    [],
  )
  .option(
    '--oidc-jwks-uri <url>',
    'where the keys of an issuer are, repeated in the order of the issuers, "" for discovery; default: discovery for all',
    collect,
    [],
  )
  .option('--no-certificate-renewal', 'a certificate cannot be renewed by showing it; each request needs a token')
  .option(
    '--ca-dir <dir>',
    'signs with an intermediate from ca-cert.pem, ca-key.pem, root-cert.pem and cert-chain.pem there; followed when changed',
  )
  .option('--ca-passphrase-file <file>', 'passphrase of the CA key at rest; or in LATEEN_CA_PASSPHRASE')
  .option('--workload-ttl <duration>', 'life of a workload certificate where none is asked for', duration, 24 * 3600)
  .option('--min-workload-ttl <duration>', 'shortest life of a workload certificate', duration, 1)
  .option('--max-workload-ttl <duration>', 'longest life of a workload certificate; default: --workload-ttl', duration)
  .option('--root-ttl <duration>', 'life of a root that is made', duration, 10 * 365 * 24 * 3600)
  .addOption(
    new Option('--root-key-type <type>', 'key of a root that is made').choices(SIGNING_KEY_TYPES).default('ecdsa-p256'),
  )
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

/** From the file, else from the environment, where nobody who starts later shall find it. */
function passphrase(): string | undefined {
  const fromEnvironment = process.env.LATEEN_CA_PASSPHRASE;
  delete process.env.LATEEN_CA_PASSPHRASE;
  if (flags.caPassphraseFile === undefined) return fromEnvironment || undefined;
  const text = readFileSync(flags.caPassphraseFile, 'utf8').replace(/\r?\n$/, '');
  if (text === '') throw new Error(`${flags.caPassphraseFile} is empty, where a passphrase is expected`);
  return text;
}

function workloadTtl(): TtlLimits {
  const {
    workloadTtl: defaultSeconds,
    minWorkloadTtl: minSeconds,
    maxWorkloadTtl: maxSeconds = defaultSeconds,
  } = flags;
  if (minSeconds > defaultSeconds || defaultSeconds > maxSeconds)
    throw new Error('--min-workload-ttl, --workload-ttl and --max-workload-ttl must be in that order');
  return { defaultSeconds, minSeconds, maxSeconds };
}

/** Undefined without a cluster. @throws Error where the flags do not say which one, or it cannot be reached */
async function cluster(): Promise<ClusterOptions | undefined> {
  const { kubernetes, kubeconfig, kubeContext: context, revision } = flags;
  if (!kubernetes && kubeconfig === undefined) return undefined;
  if (kubernetes && kubeconfig !== undefined) throw new Error('give --kubernetes or --kubeconfig, not both');
  const access = await loadClusterAccess(
    kubernetes ? { inCluster: true } : { kubeconfig: kubeconfig!, ...(context === undefined ? {} : { context }) },
  );
  const leaseDurationMs = flags.leaseDuration * 1000;
  return {
    client: new KubeClient(access),
    podName: process.env.POD_NAME || `${hostname()}-${process.pid}`,
    revision,
    // In the proportions of Kubernetes' own components.
    ...{
      leaseDurationMs,
      renewDeadlineMs: Math.round((leaseDurationMs * 2) / 3),
      retryPeriodMs: Math.round((leaseDurationMs * 2) / 15),
    },
  };
}

function fail(error: Error): never {
  logger.fatal({ error }, `citadel cannot go on: ${error.message}`);
  process.exit(1);
}

async function start(): Promise<void> {
  try {
    const inCluster = await cluster();
    if (inCluster === undefined && flags.tokenKey === undefined && flags.oidcIssuer.length === 0)
      throw new Error('nobody could prove an identity: give --token-key, --oidc-issuer, --kubernetes or --kubeconfig');
    citadel = await startCitadel({
      ...flags,
      address: flags.address ?? (flags.kubernetes ? '0.0.0.0' : '127.0.0.1'),
      cluster: inCluster,
      version,
      tokenKeyFile: flags.tokenKey,
      oidc: oidcOptions(flags.oidcIssuer, flags.oidcAudience, flags.oidcJwksUri),
      renewal: flags.certificateRenewal,
      passphrase: passphrase(),
      workloadTtl: workloadTtl(),
      rootTtlSeconds: flags.rootTtl,
      limits: {
        identity: { perSecond: flags.identityRate, burst: flags.identityBurst },
        total: { perSecond: flags.totalRate, burst: flags.totalBurst },
      },
      logger,
      onFailure: fail,
    });
  } catch (error) {
    logger.fatal({ error }, `citadel cannot start: ${(error as Error).message}`);
    process.exit(1);
  }
}

// The bundle is CommonJS, which cannot wait here.
void start();
