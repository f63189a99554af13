// Galley's entry: flags, signals, exit codes. The work is wired in pipeline.ts.

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { KubeClient, loadClusterAccess } from '@lateen/kubernetes';
import { createLogger, LOG_LEVELS, type LogLevel, onParentGone } from '@lateen/telemetry';
import { Command, InvalidArgumentError, Option } from 'commander';
import { istioRules } from './istio-rules.js';
import type { KubernetesOptions } from './kubernetes/kubernetes-sources.js';
import { DEFAULT_REVISION, webhookDnsNames } from './kubernetes/revision-name.js';
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
  readonly webhookPort: number;
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
  .option('--webhook-port <port>', 'webhooks for the API server (TLS), in a cluster', port, 15_017)
  .option('--config-dir <dir>', 'directory of YAML files to watch, beside what is applied')
  .option('--mesh-config <file>', 'MeshConfig to watch; the defaults without it')
  .option('--kubernetes', 'read configuration from the API server, by the service account of the pod', false)
  .option('--kubeconfig <file>', 'read configuration from the API server that a kubeconfig names')
  .option('--kube-context <name>', 'context of the kubeconfig; its current one without')
  .option('--revision <name>', 'revision of the control plane', DEFAULT_REVISION)
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

const inCluster = flags.kubernetes || flags.kubeconfig !== undefined;
const namespace = process.env.POD_NAMESPACE ?? 'istio-system';

/** @throws Error when flags contradict each other or the cluster's access is missing */
async function kubernetesOptions(): Promise<KubernetesOptions | undefined> {
  if (!inCluster) return undefined;
  const local = flags.configDir !== undefined ? '--config-dir' : flags.meshConfig !== undefined ? '--mesh-config' : '';
  if (local !== '')
    throw new Error(`${local} is for a mesh without a cluster; leave it out, or leave out --kubernetes`);
  const { kubeconfig, kubeContext: context, revision } = flags;
  const access = await loadClusterAccess(flags.kubernetes ? { inCluster: true } : { kubeconfig, context });
  const podName = process.env.POD_NAME ?? `galley-${randomUUID()}`;
  return { client: new KubeClient(access), namespace, podName, revision };
}

async function start(): Promise<void> {
  try {
    galley = await startGalley({
      ...flags,
      configDir: flags.configDir,
      meshConfig: flags.meshConfig,
      kubernetes: await kubernetesOptions(),
      identity: {
        citadelAddress: flags.citadelAddress,
        tokenFile: flags.tokenFile,
        rootCertFile: flags.rootCert,
        directory: join(flags.stateDir, 'identity'),
        dnsNames: inCluster ? webhookDnsNames(namespace, flags.revision) : undefined,
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
