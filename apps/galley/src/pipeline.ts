// Galley, in the order in which configuration meets its parts: sources → rules → store → Pilot and the CLI.

import {
  AdminRoles,
  CertificateClient,
  type CertificateClientOptions,
  formatSpiffeId,
  grpcServerCredentials,
  type IdentitySource,
} from '@lateen/identity';
import { type Logger, startMonitoringServer } from '@lateen/telemetry';
import { type ClusterPart, startClusterPart } from './kubernetes/cluster-part.js';
import {
  type KubernetesOptions,
  type KubernetesSources,
  startKubernetesSources,
} from './kubernetes/kubernetes-sources.js';
import { createGalleyMetrics } from './metrics.js';
import type { ConfigRules } from './rules.js';
import { startAdminServer } from './serve/admin-server.js';
import { startAdsServer } from './serve/ads-server.js';
import type { FileStatus } from './sources/config-directory.js';
import { startLocalSources } from './sources/local-sources.js';
import { ConfigStore } from './store/config-store.js';

export interface GalleyOptions {
  readonly address: string;
  readonly stateDir: string;
  readonly xdsPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  /** With `kubernetes`: the webhooks' port. */
  readonly webhookPort?: number;
  readonly configDir: string | undefined;
  readonly meshConfig: string | undefined;
  readonly trustDomain: string;
  /** The cluster whose API server holds the configuration, in place of directory, file and `apply`. */
  readonly kubernetes?: KubernetesOptions;
  /** Roles at the admin API beside the built-in ones: `ROLE=SPIFFE_ID`. */
  readonly adminRole?: readonly string[];
  /** Where the certificate comes from: Citadel's address and files, or an identity that is there already. */
  readonly identity: Omit<CertificateClientOptions, 'trustDomain' | 'logger'> | IdentitySource;
  readonly rules: ConfigRules;
  readonly version: string;
  readonly logger: Logger;
  /** The process must end: a change is decided and only a restart completes it. */
  readonly onFatal: (error: Error) => void;
}

export interface Galley {
  readonly ports: {
    readonly xds: number;
    readonly admin: number;
    readonly monitoring: number;
    readonly webhook: number | undefined;
  };
  readonly store: ConfigStore;
  stop(): Promise<void>;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** Starts Galley; resolves when it serves. Rejects when stored files are damaged or a port is taken. */
export async function startGalley(options: GalleyOptions): Promise<Galley> {
  const { address, logger, rules, trustDomain } = options;
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const store = await ConfigStore.open({ stateDir: options.stateDir, onFatal: options.onFatal });
    stops.push(() => store.settled());
    const metrics = createGalleyMetrics(store);
    let waitingFor: string | undefined = 'the configuration is being read';
    const monitoring = await startMonitoringServer({
      address,
      port: options.monitoringPort,
      registry: metrics.registry,
      version: options.version,
      notReadyReason: () => waitingFor,
    });
    stops.push(() => monitoring.close());

    const onStatus = (status: FileStatus) => {
      metrics.recordFile(status);
      logStatus(status, logger);
    };
    let inCluster: KubernetesSources | undefined;
    if (options.kubernetes !== undefined) {
      const onRead = metrics.recordRead;
      inCluster = await startKubernetesSources({ ...options.kubernetes, store, rules, onStatus, onRead, logger });
      metrics.observe(inCluster);
    }
    const sources = inCluster ?? (await startLocalSources({ ...options, store, onStatus }));
    stops.push(() => sources.stop());
    let cluster: ClusterPart | undefined;

    waitingFor = 'there is no certificate yet';
    const source = await startIdentity(options, stops);
    waitingFor = 'the ports are not open yet';
    const systemId = (serviceAccount: string) =>
      formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount });
    const ads = await startAdsServer({
      store,
      address,
      port: options.xdsPort,
      credentials: grpcServerCredentials(source, { requireClientCertificate: true }),
      allowedClients: [systemId('pilot')],
      logger,
    });
    stops.push(() => ads.stop());
    const admin = await startAdminServer({
      store,
      rules,
      metrics,
      logger,
      applyRefusal: options.kubernetes && APPLY_BY_KUBECTL,
      source,
      roles: AdminRoles.create(trustDomain, options.adminRole),
      address,
      port: options.adminPort,
      status: () => ({
        version: store.state.version,
        resources: store.state.resources.size,
        ...sources.status(),
        ...cluster?.status(),
        subscribers: ads.clients().map(({ client, types }) => ({
          node: client.node.id,
          peer: client.peer,
          types: types.map(({ typeUrl, status, ackedVersion, error }) => ({ typeUrl, status, ackedVersion, error })),
        })),
      }),
    });
    stops.push(() => admin.close(1_000));
    if (options.kubernetes !== undefined && inCluster !== undefined) {
      cluster = await startClusterPart({
        ...options.kubernetes,
        sources: inCluster,
        store,
        rules,
        source,
        metrics,
        version: options.version,
        logger,
        address,
        webhookPort: options.webhookPort ?? 0,
      });
      stops.push(() => cluster?.stop());
    }
    waitingFor = undefined;

    const ports = { xds: ads.port, admin: admin.port, monitoring: monitoring.port, webhook: cluster?.webhookPort };
    logger.info(
      { address, ports, version: store.state.version, resources: store.state.resources.size },
      'galley is up',
    );
    return { ports, store, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startIdentity(
  { identity, trustDomain, logger }: GalleyOptions,
  stops: (() => Promise<unknown> | unknown)[],
): Promise<IdentitySource> {
  if ('subscribe' in identity) return identity;
  const client = new CertificateClient({ ...identity, trustDomain, logger });
  stops.push(() => client.stop());
  await client.ready();
  return client;
}

const APPLY_BY_KUBECTL =
  'resources are kept by the Kubernetes API server, which Galley only reads; use `kubectl apply` and `kubectl delete`';

function logStatus({ file, accepted, problems }: FileStatus, logger: Logger): void {
  if (accepted) logger.info({ file, problems }, 'file accepted');
  else logger.error({ file, problems }, 'file not accepted; what it held before stays in force');
}
