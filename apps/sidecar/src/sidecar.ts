// Wires the sidecar: bootstrap file, identity, configuration store, ADS, data path, admin API. Started and ended by main.ts.

import { mkdir } from 'node:fs/promises';
import type { Logger, LogLevel } from '@lateen/telemetry';
import { TYPE_URL } from '@lateen/xds-proto';
import { type AdminServers, startAdminServers } from './admin/admin-servers.js';
import { AdminToken } from './admin/admin-token.js';
import { AdsSession } from './config/ads-session.js';
import { createAdsTransport, createControlPlaneChannel } from './config/ads-transport.js';
import { parseBootstrap, type SidecarBootstrap } from './config/bootstrap.js';
import { bootstrapOf } from './config/check-bootstrap.js';
import { FileSources } from './config/files/file-sources.js';
import type { FileSource, ResourceSource } from './config/files/resource-source.js';
import { SecretFiles } from './config/files/secret-files.js';
import { LastKnownGood } from './config/last-known-good.js';
import { createStaticResources } from './config/store/assemble-config.js';
import { ConfigStore } from './config/store/config-store.js';
import type { ResourceState } from './config/store/resource-state.js';
import type { DataPlane, DataPlaneOptions } from './data-plane.js';
import { DnsCapture, type DnsCaptureOptions } from './dns/dns-capture.js';
import { OwnIdentity } from './identity/own-identity.js';
import { AccessLogs } from './observe/access-logs.js';
import { CheckpointClient } from './observe/audit/checkpoint-client.js';
import type { PodServing } from './pod/pod-settings.js';
import { QuotaSession } from './quota/quota-session.js';
import { StartError } from './start-error.js';
import { DnsDiscovery } from './upstream/discovery/dns-discovery.js';
import { createProxy, type RunningProxy } from './workers/create-proxy.js';
import { startHealthLoop } from './workload-health/health-loop.js';
import { readReadinessProbe } from './workload-health/readiness-probe.js';

/** Like the default of `initial_fetch_timeout`, for a file without dynamic resources: static ones may name secrets. */
const DEFAULT_FETCH_TIMEOUT_MS = 15_000;
/** Static clusters whose endpoints are names are waited for this long at the start; a slow name does not stop the rest. */
const FIRST_NAMES_MS = 5_000;

export interface SidecarOptions {
  /** The bootstrap file, or where its text is from. */
  readonly configPath: string;
  /** Where it is no file. */
  readonly bootstrapText?: string | undefined;
  /** The application's DNS questions come here; undefined: they do not. */
  readonly dns?: Pick<DnsCaptureOptions, 'namespace' | 'addresses' | 'port'> | undefined;
  /** What the ports of a pod serve; undefined where the proxy is in none. */
  readonly serving?: PodServing | undefined;
  /** Undefined where nothing needs to be kept: a static bootstrap file without admin API and identity. */
  readonly stateDir: string | undefined;
  /** Undefined where the bootstrap file does not use the own identity. */
  readonly citadel:
    | {
        readonly address: string;
        readonly tokenFile: string;
        readonly rootCertFile: string;
        readonly trustDomain: string;
        readonly gracePeriodRatio: number;
      }
    | undefined;
  readonly drainTimeMs: number;
  /** Processes that serve; more than one: workers, which run `program` with WORKER_ARGUMENT. */
  readonly concurrency: number;
  readonly program: string;
  readonly version: string;
  readonly logger: Logger;
  readonly createDataPlane: (options: DataPlaneOptions) => Promise<DataPlane>;
  /** Called once, when somebody asks for the readiness and it is there. */
  readonly onReady?: () => void;
  /** Called when POST /quitquitquit asks the process to end. */
  readonly onQuit: () => void;
}

export interface Sidecar {
  /** Not ready from now on; clients are asked to leave, and still served. */
  leave(): void;
  /** Clients that are connected. */
  connections(): Promise<number>;
  /** Stops accepting, lets requests finish up to the drain time, keeps what must be kept. */
  stop(): Promise<void>;
}

/**
 * Starts a sidecar; resolves when the first configuration is in effect: the static one, and what was kept on disk.
 * @throws BootstrapRejected, StartError
 */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const startedMs = Date.now();
  const { logger } = options;
  const log = (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) =>
    logger[level](fields, message);
  const bootstrapFile = bootstrapOf(options);
  const bootstrap = parseBootstrap(bootstrapFile.text, bootstrapFile.path);
  for (const warning of bootstrap.warnings) log('warn', 'the bootstrap file is taken with a difference', { warning });
  const probe = readReadinessProbe(bootstrap.node.metadata);
  const stateDir = await prepareStateDir(options, bootstrap);

  const identity = createIdentity(options, bootstrap, stateDir);
  const lastKnownGood =
    stateDir === undefined || bootstrap.dynamic === undefined
      ? undefined
      : new LastKnownGood({ stateDir, nodeId: bootstrap.node.id, log });
  const [kept] = await Promise.all([lastKnownGood?.load(), identity?.start()]);

  const checkpoints = createCheckpoints(options, bootstrap, identity);
  const accessLogs = new AccessLogs({
    log,
    node: bootstrap.node,
    // Nothing is logged before there is a data path.
    call: (target, message) => dataPlane.call(target, message),
    signCheckpoint: checkpoints?.sign,
    auditDirectory: stateDir,
    auditWriter: () => ({ workload: identity?.current?.spiffeId, node: bootstrap.node.id, version: options.version }),
  });
  const proxy: RunningProxy = await createProxy({
    concurrency: options.concurrency,
    program: options.program,
    bootstrap,
    bootstrapFile,
    auditDirectory: stateDir,
    citadel: options.citadel && { citadelAddress: options.citadel.address, trustDomain: options.citadel.trustDomain },
    version: options.version,
    // Pino knows these levels alone.
    logLevel: () => logger.level as LogLevel,
    accessLogs,
    createDataPlane: options.createDataPlane,
    log,
  });
  const { dataPlane } = proxy;

  let session: AdsSession | undefined;
  const discovery = new DnsDiscovery({
    resolverConfig: bootstrap.message.typedDnsResolverConfig,
    onChange: () => store.refresh(),
    log,
  });
  const dns = options.dns && stateDir !== undefined ? new DnsCapture({ ...options.dns, stateDir, log }) : undefined;
  const statics = createStaticResources(bootstrap);
  const store: ConfigStore = new ConfigStore({
    dataPlane,
    statics,
    discovery,
    fetchTimeoutMs: bootstrap.dynamic?.initialFetchTimeoutMs ?? DEFAULT_FETCH_TIMEOUT_MS,
    log,
    onApplied: (accepted) => lastKnownGood?.save(accepted),
    onSecrets: (secrets) => secretFiles.follow(secrets),
    onBound: (name) => session?.listenerBound(name),
    onNeeded: (typeUrl, names) => {
      files.setNeeded(typeUrl, names);
      session?.setNeeded(typeUrl, names);
    },
  });
  const secretFiles = new SecretFiles({ onChange: () => store.reloadSecrets(), log });
  const files = new FileSources({
    store,
    listeners: fileOf(bootstrap.dynamic?.listeners),
    clusters: fileOf(bootstrap.dynamic?.clusters),
    log,
  });
  if (bootstrap.ads !== undefined) {
    session = new AdsSession({
      config: bootstrap.ads,
      node: bootstrap.node,
      transport: createAdsTransport(bootstrap.ads, identity?.source),
      store,
      more: dns === undefined ? [] : [dns.subscription],
      log,
    });
  }
  const tellHealth = (fault: string | undefined) => {
    if (fault === undefined) log('info', 'the application is healthy', {});
    else log('warn', 'the application is not healthy', { fault });
    session?.reportHealth(fault);
  };
  const quotas =
    bootstrap.ads === undefined
      ? undefined
      : new QuotaSession({
          ...createControlPlaneChannel(bootstrap.ads, identity?.source),
          buckets: dataPlane.quotas,
          nodeId: bootstrap.node.id,
          nowMs: () => performance.now(),
          log,
        });
  if (identity !== undefined) {
    store.setLocalSecrets(identity.secrets);
    identity.onChange(() => store.setLocalSecrets(identity.secrets));
  }
  if (kept !== undefined) store.restore(restorable(kept, bootstrap.dynamic));
  discovery.follow(statics.clusters);
  const unresolved = await discovery.whenReady(statics.clusters, FIRST_NAMES_MS);
  if (unresolved.length > 0) log('warn', 'names are not resolved yet; the rest serves', { clusters: unresolved });
  files.start();
  const refused = await store.applyNow();
  if (!store.appliedOnce) {
    files.close();
    secretFiles.close();
    discovery.close();
    await dataPlane.close();
    throw bootstrap.rejected(refused);
  }
  // What the files' listeners and clusters name is in other files, which are read by now.
  while (store.hasPending) await store.applyNow();
  const dnsAddresses = await dns?.start();
  if (dnsAddresses !== undefined) log('info', 'DNS of the application is answered', { addresses: dnsAddresses });
  session?.start();

  const registers = bootstrap.node.metadata?.AUTO_REGISTER_GROUP !== undefined;
  const health = probe && startHealthLoop(probe, tellHealth);

  let stopping = false;
  let wasReady = false;
  const keptConfiguration = kept !== undefined;
  const notReadyReason = () => {
    if (stopping) return 'draining';
    // Also with a kept configuration: who sends requests to an address that is not served must learn of it.
    for (const { name, reason, olderServes } of store.unbound.values()) {
      if (!olderServes) return `${reason} (listener ${name})`;
    }
    if (keptConfiguration) return undefined;
    if (files.missing !== undefined) return files.missing;
    if (session?.initialized === false) return 'no configuration has come from the control plane yet';
    if (dns?.isLate()) return 'no table of names has come from the control plane yet';
    if (store.warmingNames.length > 0) return `waiting for ${store.warmingNames.join(', ')}`;
    // Later changes are put in effect while what was before them serves.
    if (!wasReady && store.isApplying) return 'the first configuration is being put in effect';
    const [unchecked] = wasReady ? [] : dataPlane.warmingClusters();
    if (unchecked !== undefined) return `waiting for the first health checks of ${unchecked}`;
    if (!wasReady) options.onReady?.();
    wasReady = true;
    return undefined;
  };
  const admin: AdminServers = await startAdminServers({
    bootstrap,
    store,
    session,
    files,
    proxy,
    identity,
    token: stateDir === undefined ? undefined : await AdminToken.create(stateDir),
    notReadyReason,
    logger,
    version: options.version,
    startedMs,
    dns,
    serving: options.serving,
    onQuit: options.onQuit,
  });
  logger.info({ startMs: Date.now() - startedMs, keptConfiguration, admin: admin.addresses }, 'sidecar started');

  return {
    leave: () => {
      stopping = true;
      dataPlane.askToLeave();
    },
    connections: async () => (await proxy.see()).dataPlane.stats.downstreamCxActive,
    stop: async () => {
      stopping = true;
      health?.stop();
      if (registers) await session?.leave();
      session?.close();
      quotas?.close();
      files.close();
      secretFiles.close();
      discovery.close();
      store.close();
      await dataPlane.drain(options.drainTimeMs, () => accessLogs.closeCollectors());
      await dataPlane.close();
      await Promise.all([admin.close(), identity?.stop(), lastKnownGood?.flush()]);
      await Promise.all([accessLogs.close(), dns?.close()]);
      checkpoints?.close();
    },
  };
}

/** Without the types that have no source any more, since nobody would ever remove them. */
function restorable(kept: ResourceState, dynamic: SidecarBootstrap['dynamic']): ResourceState {
  return {
    ...kept,
    ...(dynamic?.listeners === undefined ? { [TYPE_URL.listener]: new Map() } : {}),
    ...(dynamic?.clusters === undefined ? { [TYPE_URL.cluster]: new Map() } : {}),
  };
}

function fileOf(source: ResourceSource | undefined): FileSource | undefined {
  return source === 'ads' ? undefined : source;
}

async function prepareStateDir(options: SidecarOptions, bootstrap: SidecarBootstrap): Promise<string | undefined> {
  if (options.stateDir === undefined) {
    if (bootstrap.ads !== undefined) {
      throw new StartError(
        '--state-dir is required: the configuration of the control plane is kept there for a restart',
      );
    }
    if (options.citadel !== undefined)
      throw new StartError('--state-dir is required: key and certificate are kept there');
    return undefined;
  }
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  return options.stateDir;
}

function createIdentity(
  options: SidecarOptions,
  bootstrap: SidecarBootstrap,
  stateDir: string | undefined,
): OwnIdentity | undefined {
  const { citadel, logger } = options;
  if (citadel === undefined || stateDir === undefined) {
    if (bootstrap.ads?.security.kind === 'own-identity') {
      throw new StartError(
        `${options.configPath} reaches the control plane with the own certificate; --citadel-address, --token-file and ` +
          '--root-cert are required',
      );
    }
    return undefined;
  }
  return new OwnIdentity({
    citadelAddress: citadel.address,
    tokenFile: citadel.tokenFile,
    rootCertFile: citadel.rootCertFile,
    trustDomain: citadel.trustDomain,
    gracePeriodRatio: citadel.gracePeriodRatio,
    stateDir,
    logger,
  });
}

/** Who has an identity of the mesh can have its audit logs signed. */
function createCheckpoints(
  { citadel }: SidecarOptions,
  { node }: SidecarBootstrap,
  identity: OwnIdentity | undefined,
): CheckpointClient | undefined {
  if (citadel === undefined || identity === undefined) return undefined;
  const { address: citadelAddress, trustDomain } = citadel;
  return new CheckpointClient({ citadelAddress, trustDomain, identity: identity.source, node: node.id });
}
