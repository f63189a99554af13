// Citadel, in the order in which a request meets its parts: attestation → limits → signing request → signature → audit line.
// Beside it: checkpoints of audit logs.

import { AdminRoles, createMtlsHttpServer, formatSpiffeId, grpcServerCredentials } from '@lateen/identity';
import type { SigningKeyType } from '@lateen/identity/authority';
import { type Logger, startMonitoringServer } from '@lateen/telemetry';
import { createAdminHandler } from './admin-api.js';
import { createAttestors, type OidcOptions } from './attest/attestors.js';
import { TokenKeys } from './attest/token-keys.js';
import { TokenReviewer } from './attest/token-review.js';
import { type AuthoritySource, openAuthority } from './authority/authority-source.js';
import { createCertificateService, type TtlLimits } from './certificate-service.js';
import { CheckpointService, NO_CHECKPOINTS } from './checkpoints/checkpoint-service.js';
import { type ClusterCitadel, type ClusterOptions, openCluster } from './cluster/cluster-citadel.js';
import { serviceDnsNames } from './dns-names.js';
import { startGrpcServer } from './grpc-server.js';
import { createCitadelMetrics } from './metrics.js';
import { OwnIdentity } from './own-identity.js';
import { createRateLimits, type RateLimitOptions } from './rate-limits.js';
import { type CitadelState, openState } from './state-directory.js';

export interface CitadelOptions {
  readonly address: string;
  /** May only be left out in a cluster; the journal is in the log alone then. */
  readonly stateDir?: string | undefined;
  /** The cluster that this Citadel serves; undefined in local mode. */
  readonly cluster?: ClusterOptions | undefined;
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  readonly trustDomain: string;
  /** Roles at the admin API beside the built-in ones: `ROLE=SPIFFE_ID`. */
  readonly adminRole?: readonly string[];
  /** JWKS of the local token signer; undefined where its tokens are not taken. */
  readonly tokenKeyFile?: string | undefined;
  readonly tokenAudience: string;
  readonly tokenIssuer: string;
  readonly oidc?: readonly OidcOptions[];
  /** Whether a certificate may be renewed by showing it. */
  readonly renewal: boolean;
  /** Directory of a plugged-in intermediate; undefined for a root of our own. */
  readonly caDir?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly workloadTtl: TtlLimits;
  readonly rootTtlSeconds: number;
  readonly rootKeyType: SigningKeyType;
  /** For tests: how long everybody must have followed before the next step of a rotation. */
  readonly rotationSettleMs?: number;
  readonly limits: { readonly identity: RateLimitOptions; readonly total: RateLimitOptions };
  readonly version: string;
  readonly logger: Logger;
  /** The state cannot be written any more, so that this process must end. */
  readonly onFailure: (error: Error) => void;
}

export interface Citadel {
  readonly ports: { readonly grpc: number; readonly admin: number; readonly monitoring: number };
  /** The trusted roots as they are now. */
  bundlePem(): string;
  /** Ends open requests within their time limit, then everything else. */
  stop(): Promise<void>;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** Starts Citadel. Rejects when the root is damaged, a port is taken or the state directory cannot be written. */
export async function startCitadel(options: CitadelOptions): Promise<Citadel> {
  const { address, trustDomain, logger } = options;
  const systemId = (serviceAccount: string) =>
    formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount });

  const state = await openState(options.stateDir);
  const { audit } = state;
  const { source, cluster } = await openSource(options, state);
  const { authority } = source;
  const own = new OwnIdentity({
    authority,
    spiffeId: systemId('citadel'),
    ...(options.cluster === undefined ? {} : { dnsNames: serviceDnsNames('citadel', options.cluster.revision) }),
    ttlSeconds: options.workloadTtl.defaultSeconds,
    logger,
  });
  await own.start();
  const tokenKeys =
    options.tokenKeyFile === undefined ? undefined : new TokenKeys({ file: options.tokenKeyFile, logger });
  const metrics = createCitadelMetrics(authority, cluster?.leads);
  const reviewer =
    options.cluster === undefined
      ? undefined
      : new TokenReviewer({
          client: options.cluster.client,
          audience: options.tokenAudience,
          onReview: (result) => metrics.tokenReviews.inc({ result }),
        });

  const roles = AdminRoles.create(trustDomain, options.adminRole);
  const service = createCertificateService({
    attestors: createAttestors({ ...options, oidc: options.oidc ?? [], tokenKeys, reviewer }),
    limits: createRateLimits(options.limits),
    authority,
    trustDomain,
    ttl: options.workloadTtl,
    audit,
    onIssued: (entry) => source.issued(entry),
    metrics,
    logger,
  });
  const checkpoints =
    state.directory === undefined
      ? NO_CHECKPOINTS
      : await CheckpointService.open({ ...state.directory, trustDomain, logger, passphrase: options.passphrase });
  const grpcServer = await startGrpcServer({
    service,
    checkpoints,
    address,
    port: options.grpcPort,
    // Who comes for the first time has no certificate yet.
    credentials: grpcServerCredentials(own, {
      requireClientCertificate: false,
      // For checkpoints; whether it may be renewed by showing it is the attestors' word.
      acceptClientCertificate: true,
    }),
  });
  const admin = await createMtlsHttpServer({
    source: own,
    allowedClients: roles.mayConnect,
    handler: createAdminHandler({
      authority,
      own,
      audit,
      roles,
      logger,
      status: () => source.status(),
      checkpoints: () => checkpoints.published,
      rotateRoot: (graceSeconds, requestedBy) => source.rotateRoot(graceSeconds, requestedBy),
    }),
    address,
    port: options.adminPort,
    onRefused: (reason, remoteAddress) =>
      logger.warn({ remoteAddress, reason: reason.message }, 'admin client refused'),
  });
  const monitoring = await startMonitoringServer({
    address,
    port: options.monitoringPort,
    registry: metrics.registry,
    version: options.version,
    notReadyReason: () => tokenKeys?.problem(),
  });

  cluster?.start(metrics);
  const ports = { grpc: grpcServer.port, admin: admin.port, monitoring: monitoring.port };
  const { rootIds, rootNotAfter } = authority.current;
  logger.info(
    { address, ports, trustDomain, roots: rootIds, rootNotAfter: rootNotAfter.toISOString() },
    'citadel is up',
  );
  return {
    ports,
    bundlePem: () => authority.current.bundlePem,
    stop: async () => {
      await Promise.all([grpcServer.stop(), admin.close(1_000)]);
      await monitoring.close();
      own.stop();
      await cluster?.stop();
      await source.close();
      await checkpoints.close();
      await state.close();
    },
  };
}

/** What signs. @throws Error naming what cannot be used, or which options do not go together */
async function openSource(
  options: CitadelOptions,
  { audit, directory }: CitadelState,
): Promise<{ readonly source: AuthoritySource; readonly cluster?: ClusterCitadel }> {
  const { caDir, passphrase } = options;
  if (options.cluster !== undefined) {
    if (caDir !== undefined)
      throw new Error('in a cluster an intermediate comes from the Secret cacerts in istio-system, not from --ca-dir');
    const cluster = await openCluster(options.cluster, { ...options, passphrase, audit });
    return { source: cluster.source, cluster };
  }
  if (directory === undefined)
    throw new Error('--state-dir says where the root is kept; it is needed outside of a cluster');
  return { source: await openAuthority({ ...options, caDir, passphrase, audit, ...directory }) };
}
