// Pilot, in the order in which data meets its parts: configuration and registry → snapshot → a view for each proxy →
// resources → ordered pushes. Read this first.

import { mkdir } from 'node:fs/promises';
import { BlockList, isIPv6 } from 'node:net';
import { join } from 'node:path';
import { ServerCredentials } from '@grpc/grpc-js';
import {
  AdminRoles,
  createMtlsHttpServer,
  formatSpiffeId,
  grpcChannelCredentials,
  grpcServerCredentials,
  type IdentitySource,
} from '@lateen/identity';
import type { KubeClient } from '@lateen/kubernetes';
import { type Logger, startMonitoringServer } from '@lateen/telemetry';
import { addressedHosts, TranslationCache, type Workload } from '@lateen/translate';
import { NAME_TABLE_TYPE_URL } from '@lateen/xds-proto';
import { createAdsService, ENVOY_SERVED_TYPES, plainServedType } from '@lateen/xds-stream';
import { ConfigStore } from './config/config-store.js';
import { subscribeToGalley } from './config/galley-subscription.js';
import { createDebugHandler } from './debug/debug-server.js';
import { proxyIdOfClient } from './debug/proxies.js';
import { withDistribution } from './distribution/distribution-events.js';
import { DistributionWaits } from './distribution/distribution-waits.js';
import { firstIdentity } from './first-identity.js';
import { type GrpcListener, type GrpcService, startGrpcListener } from './grpc-listener.js';
import { ClusterRegistry } from './kubernetes/cluster-registry.js';
import { createPilotMetrics } from './observe/pilot-metrics.js';
import { createPushEvents } from './observe/push-events.js';
import { PeerPilots, type PodName } from './peers/peer-pilots.js';
import { admitCertifiedProxy, admitProxyNode, admitQuotaReports } from './push/admission.js';
import { ProxySource } from './push/proxy-source.js';
import { QuotaRelay } from './quota/quota-relay.js';
import { Quotas } from './quota/quota-service.js';
import type { RegistrySource } from './registry/registry-source.js';
import { RegistryStore } from './registry/registry-store.js';
import { createWorkloadRegistry } from './registry/workload-registry.js';
import { ChangeCounter } from './snapshot/change-counter.js';
import { Debounce } from './snapshot/debounce.js';
import { SnapshotBuilder } from './snapshot/snapshot-builder.js';
import { TokenKeys } from './token-keys/token-keys.js';
import { EntryObjects } from './workload-groups/entry-objects.js';
import { isWorkloadEntry } from './workload-groups/group-entry.js';
import { admitRegistrations, refuseRegistrations, withRegistrations } from './workload-groups/registration-events.js';
import { Registrations } from './workload-groups/registrations.js';

/** What the command line sets; main.ts says what each means. */
export interface PilotFlags {
  readonly address: string;
  readonly stateDir: string;
  readonly galleyAddress: string;
  readonly trustDomain: string;
  /** Roles at the admin API beside the built-in ones: `ROLE=SPIFFE_ID`. All of them may read, which is all there is. */
  readonly adminRole?: readonly string[];
  readonly plaintextPort: number;
  readonly xdsPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  readonly debounceMs: number;
  readonly debounceMaxMs: number;
  readonly ackTimeoutMs: number;
  readonly removalGraceMs: number;
  readonly workloadGraceMs: number;
}

export interface PilotOptions extends PilotFlags {
  /** The cluster whose Services and Pods are the registry; without one a supervisor reports it. */
  readonly cluster?: KubeClient | undefined;
  /** The pod that this is: the replicas that share its Service are found by it. */
  readonly self?: PodName | undefined;
  readonly version: string;
  readonly logger: Logger;
  /** Key, certificate and roots. In the process a certificate client; tests give their own. */
  readonly identity: IdentitySource;
}

export interface Pilot {
  /** `plaintext` is undefined where the address is not a loopback address. */
  readonly ports: {
    readonly plaintext: number | undefined;
    readonly xds: number;
    readonly admin: number;
    readonly monitoring: number;
  };
  /** Tells clients to come back, lets them go, and resolves when nothing is left. */
  stop(): Promise<void>;
}

const SYSTEM_NAMESPACE = 'istio-system';
const SHUTDOWN_GRACE_MS = 1_000;

/** Starts Pilot. Rejects when a port is taken or the state directory cannot be used. */
export async function startPilot(options: PilotOptions): Promise<Pilot> {
  const { address, stateDir, trustDomain, logger, identity } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const systemId = (serviceAccount: string) =>
    formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount });

  // What comes in: the last known state first, then what Galley and the supervisor send.
  const debounce = new Debounce({
    quietMs: options.debounceMs,
    maxMs: options.debounceMaxMs,
    act: (changedAtMs) => {
      builder.rebuild(changedAtMs);
      distribution.moved();
    },
  });
  const changes = new ChangeCounter();
  const changed = () => {
    debounce.changed();
    return changes.next();
  };
  const config = await ConfigStore.open(join(stateDir, 'config'), logger, changed);
  const reports = await RegistryStore.open(join(stateDir, 'registry.json'), logger, changed);
  const cluster =
    options.cluster &&
    (await ClusterRegistry.open({ client: options.cluster, directory: stateDir, logger, onChange: changed }));
  const registry: RegistrySource = cluster ?? reports;
  let entryObjects: EntryObjects | undefined;
  const registrations = await Registrations.open({
    file: join(stateDir, 'registered-workloads.json'),
    graceMs: options.workloadGraceMs,
    configs: () => config.objects(),
    podAt: (at) => podAtAddress(registry.current?.workloads ?? [], at),
    logger,
    onChange: () => {
      entryObjects?.changed();
      return changed();
    },
  });
  const { self } = options;
  if (cluster !== undefined && self === undefined) {
    logger.warn({}, 'POD_NAME and POD_NAMESPACE do not say which pod this is: other replicas are not known');
  }
  if (cluster !== undefined && options.cluster !== undefined && self !== undefined) {
    entryObjects = new EntryObjects({
      client: options.cluster,
      controller: self.name,
      isAlive: (pod) => !cluster.isSynced || cluster.latest?.workloads.some(isPod({ ...self, name: pod })) === true,
      desired: () => registrations.desiredEntries(config.objects()),
      stored: () => config.objects().filter(isWorkloadEntry),
      logger,
    });
  }

  const tokenKeys = await TokenKeys.open({ file: join(stateDir, 'token-keys.json'), logger, onChange: changed });

  // What is made of it.
  const cache = new TranslationCache();
  const metrics = createPilotMetrics({
    cache,
    snapshot: () => builder.current,
    proxies: () => source.statuses(),
    ...(cluster && { secrets: () => cluster.secrets() }),
  });
  const source = new ProxySource({ cache, logger, onTranslated: metrics.observeTranslation });
  const peers =
    cluster && self && new PeerPilots({ self, registry: () => cluster.latest, identity, spiffeId: systemId('pilot') });
  const toPilot = () => grpcChannelCredentials(identity, { expectedSpiffeIds: [systemId('pilot')] });
  const quotas = new Quotas(logger, peers && new QuotaRelay({ peers, credentials: toPilot, logger }));
  const builder = new SnapshotBuilder({
    config,
    registry,
    registrations,
    tokenKeys,
    changes,
    trustDomain,
    logger,
    publish: (snapshot) => {
      quotas.publish(snapshot.mesh);
      tokenKeys.follow(snapshot.mesh);
      source.publish(snapshot);
      workloads.hostsChanged();
    },
  });
  const workloads = createWorkloadRegistry({
    store: reports,
    // A cluster has no supervisor.
    allowedClients: cluster === undefined ? [systemId('lateen-supervisor')] : [],
    addressedHosts: () => (builder.current === undefined ? undefined : addressedHosts(builder.current.mesh)),
    logger,
  });
  const distribution = new DistributionWaits(
    {
      arrivals: config.arrivals,
      holds: (typeUrl, name) => config.holds(typeUrl, name),
      snapshots: builder,
      standings: (revision) => [...certifiedAds.standings(revision), ...plaintextAds.standings(revision)],
      proxyIdOf: proxyIdOfClient,
      statuses: () => source.statuses(),
      addressesAreGiven: () => workloads.reporting,
    },
    changes,
  );
  builder.rebuild(Date.now());

  // Health can be asked for from here on; everything else needs a certificate.
  const monitoring = await startMonitoringServer({
    address,
    port: options.monitoringPort,
    registry: metrics.registry,
    version: options.version,
    notReadyReason: () => {
      if (identity.current === undefined) return 'no certificate from citadel yet';
      return builder.current === undefined ? (builder.missing() ?? 'no snapshot yet') : undefined;
    },
  });
  await firstIdentity(identity);

  // What goes out.
  const ads = {
    source,
    types: [...ENVOY_SERVED_TYPES, plainServedType(NAME_TABLE_TYPE_URL)],
    events: withDistribution(createPushEvents(metrics, logger), () => distribution.moved()),
    ackTimeoutMs: options.ackTimeoutMs,
    removalGraceMs: options.removalGraceMs,
    controlPlaneId: `pilot ${options.version}`,
  };
  const certifiedAds = createAdsService({
    ...ads,
    events: withRegistrations(ads.events, registrations),
    authorize: admitRegistrations(admitCertifiedProxy(trustDomain), registrations),
  });
  const plaintextAds = createAdsService({
    ...ads,
    source: source.withoutSecrets,
    authorize: refuseRegistrations((_peer, node) => admitProxyNode(node)),
  });

  const xds = await startGrpcListener(
    address,
    options.xdsPort,
    grpcServerCredentials(identity, { requireClientCertificate: true }),
    [certifiedAds, workloads, quotas.createService(admitQuotaReports(trustDomain, systemId('pilot')))],
  );
  const plaintext = await startPlaintext(options, [
    plaintextAds,
    quotas.createService(() => ({ identity: 'plaintext', mayReport: () => true })),
  ]);
  const galley = subscribeToGalley({
    target: options.galleyAddress,
    credentials: () => grpcChannelCredentials(identity, { expectedSpiffeIds: [systemId('galley')] }),
    store: config,
    logger,
  });
  const debug = await createMtlsHttpServer({
    source: identity,
    // Replicas ask each other about their proxies.
    allowedClients: AdminRoles.create(trustDomain, [
      ...(peers === undefined ? [] : [`viewer=${systemId('pilot')}`]),
      ...(options.adminRole ?? []),
    ]).mayConnect,
    handler: createDebugHandler({
      proxies: () => [...certifiedAds.clients(), ...plaintextAds.clients()],
      builder,
      source,
      cache,
      distribution,
      secrets: () => cluster?.secrets() ?? [],
      peers,
      logger,
    }),
    address,
    port: options.adminPort,
    onRefused: (reason, peer) => logger.warn({ peer, reason: reason.message }, 'debug client refused'),
  });

  const ports = { plaintext: plaintext?.port, xds: xds.port, admin: debug.port, monitoring: monitoring.port };
  logger.info({ address, ports, snapshot: builder.current?.version }, 'pilot is up');
  return {
    ports,
    stop: async () => {
      debounce.stop();
      galley.close();
      certifiedAds.close();
      plaintextAds.close();
      workloads.close();
      quotas.close();
      await Promise.all([
        xds.close(SHUTDOWN_GRACE_MS),
        plaintext?.close(SHUTDOWN_GRACE_MS),
        debug.close(SHUTDOWN_GRACE_MS),
      ]);
      await Promise.all([
        config.flushed(),
        reports.close(),
        cluster?.close(),
        peers?.close(),
        entryObjects?.close(),
        registrations.close(),
        tokenKeys.close(),
        monitoring.close(),
      ]);
    },
  };
}

function isPod(pod: PodName): (workload: Workload) => boolean {
  return ({ namespace, name }) => namespace === pod.namespace && name === pod.name;
}

/** The pod that has an address for itself. */
function podAtAddress(workloads: readonly Workload[], address: string): string | undefined {
  return workloads.find(
    (workload) =>
      workload.sharesAddress !== true &&
      (workload.address === address || workload.otherAddresses?.includes(address) === true),
  )?.name;
}

/** Plaintext xDS is for proxies of this host only. */
async function startPlaintext(
  options: PilotOptions,
  services: readonly GrpcService[],
): Promise<GrpcListener | undefined> {
  const { address, plaintextPort, logger } = options;
  if (!isLoopback(address)) {
    logger.info({ address }, 'plaintext xDS is off: the address is not a loopback address');
    return undefined;
  }
  return startGrpcListener(address, plaintextPort, ServerCredentials.createInsecure(), services);
}

function isLoopback(address: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
