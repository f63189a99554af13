// Pilot's entry: flags, signals, exit codes. The work is wired in pipeline.ts.

import { join } from 'node:path';
import { CertificateClient } from '@lateen/identity';
import { KubeClient, loadClusterAccess } from '@lateen/kubernetes';
import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { PodName } from './peers/peer-pilots.js';
import { type Pilot, type PilotFlags, startPilot } from './pipeline.js';

interface Flags extends PilotFlags {
  readonly citadelAddress: string;
  readonly tokenFile: string;
  readonly rootCert: string;
  readonly logLevel: LogLevel;
  readonly exitWithParent: boolean;
  readonly kubernetes: boolean;
  readonly kubeconfig?: string;
  readonly kubeContext?: string;
  readonly revision: string;
}

const version = process.env.LATEEN_VERSION ?? '0.0.0-dev';

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new InvalidArgumentError('expected 0 to 65535.');
  return value;
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('expected a number of milliseconds.');
  return value;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

const command = new Command('pilot')
  .description("Lateen's discovery: joins the registry and the configuration, and serves xDS to the proxies.")
  .version(version)
  .option('--address <ip>', 'bind address of all ports', '127.0.0.1')
  .requiredOption(
    '--state-dir <dir>',
    'directory of the certificate, the last configuration and the last registry report',
  )
  .requiredOption('--galley-address <host:port>', 'configuration server')
  .requiredOption('--citadel-address <host:port>', 'certificate service')
  .requiredOption('--token-file <file>', 'bearer token for the certificate service, read again at each use')
  .requiredOption('--root-cert <file>', 'PEM of the trust roots to start with')
  .option('--trust-domain <name>', 'trust domain of the mesh', 'cluster.local')
  .option('--plaintext-port <port>', 'xDS without TLS, only where the address is a loopback address', port, 15_010)
  .option('--xds-port <port>', 'xDS and the workload registry, over mTLS; 0 picks a free port', port, 15_012)
  .option('--admin-port <port>', 'debug API, over mTLS', port, 15_016)
  .option('--admin-role <role=id>', 'gives a SPIFFE id a role at the admin API: viewer, editor or admin', collect, [])
  .option('--monitoring-port <port>', '/metrics, /version, /healthz, /ready', port, 15_014)
  .option('--debounce-ms <ms>', 'push once nothing changed for this long', milliseconds, 100)
  .option('--debounce-max-ms <ms>', 'push at the latest this long after a change', milliseconds, 10_000)
  .option(
    '--ack-timeout-ms <ms>',
    'how long a proxy that does not answer holds back what waits for it',
    milliseconds,
    5_000,
  )
  .option('--removal-grace-ms <ms>', 'how long removed clusters stay after the routes changed', milliseconds, 1_500)
  .option(
    '--workload-grace-ms <ms>',
    'how long a workload that registered itself stays after its proxy has gone',
    milliseconds,
    10_000,
  )
  .option('--kubernetes', 'the registry is the cluster that this pod runs in, by its service account', false)
  .option('--kubeconfig <file>', 'the registry is the cluster of a kubeconfig')
  .option('--kube-context <name>', 'context of the kubeconfig; its current one without')
  .option('--revision <name>', 'of this control plane; proxies ask the one that they were given', 'default')
  .addOption(new Option('--log-level <level>', 'least severe level that is logged').choices(LOG_LEVELS).default('info'))
  .option('--exit-with-parent', 'end when standard input closes', false)
  .parse();

const flags = command.opts<Flags>();
const logger = createLogger('pilot', flags.logLevel);
const identity = new CertificateClient({
  citadelAddress: flags.citadelAddress,
  tokenFile: flags.tokenFile,
  rootCertFile: flags.rootCert,
  directory: join(flags.stateDir, 'identity'),
  trustDomain: flags.trustDomain,
  logger,
});
let pilot: Pilot | undefined;
let stopping = false;

async function stop(reason: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  logger.info({ reason }, 'stopping');
  await pilot?.stop();
  await identity.stop();
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
if (flags.exitWithParent) onParentGone(() => void stop('the parent is gone'));

/** Undefined in local mode. */
async function clusterOf({ kubernetes, kubeconfig, kubeContext }: Flags): Promise<KubeClient | undefined> {
  if (!kubernetes && kubeconfig === undefined) return undefined;
  const context = kubeContext === undefined ? {} : { context: kubeContext };
  const access = await loadClusterAccess(kubeconfig === undefined ? { inCluster: true } : { kubeconfig, ...context });
  logger.info({ server: access.server, revision: flags.revision, pod: process.env.POD_NAME }, 'serving a cluster');
  return new KubeClient(access);
}

/** As the pod's own manifest says; undefined outside of a cluster. */
function podOfOwn(): PodName | undefined {
  const { POD_NAME: name = '', POD_NAMESPACE: namespace = '' } = process.env;
  return name === '' || namespace === '' ? undefined : { namespace, name };
}

async function start(): Promise<void> {
  try {
    const cluster = await clusterOf(flags);
    await identity.start();
    pilot = await startPilot({ ...flags, cluster, self: podOfOwn(), version, logger, identity });
  } catch (error) {
    logger.fatal({ error }, `pilot cannot start: ${(error as Error).message}`);
    process.exit(1);
  }
}

// The bundle is CommonJS, which cannot wait here.
void start();
