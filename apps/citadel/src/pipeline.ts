// Citadel, in the order in which a request meets its parts: attestation → limits → signing request → signature → audit line.
// Beside it: checkpoints of audit logs.

import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AdminRoles, createMtlsHttpServer, formatSpiffeId, grpcServerCredentials } from '@lateen/identity';
import type { SigningKeyType } from '@lateen/identity/authority';
import { type Logger, startMonitoringServer } from '@lateen/telemetry';
import { createAdminHandler } from './admin-api.js';
import { createAttestors, type OidcOptions } from './attest/attestors.js';
import { TokenKeys } from './attest/token-keys.js';
import { openAuditLog } from './audit-log.js';
import { openAuthority } from './authority/authority-source.js';
import { takeStateLease } from './authority/state-lease.js';
import { createCertificateService, type TtlLimits } from './certificate-service.js';
import { CheckpointService } from './checkpoints/checkpoint-service.js';
import { startGrpcServer } from './grpc-server.js';
import { createCitadelMetrics } from './metrics.js';
import { OwnIdentity } from './own-identity.js';
import { createRateLimits, type RateLimitOptions } from './rate-limits.js';

export interface CitadelOptions {
  readonly address: string;
  readonly stateDir: string;
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
  readonly oidc?: OidcOptions | undefined;
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
  const { address, stateDir, trustDomain, logger } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await chmod(stateDir, 0o700);
  const lease = await takeStateLease(stateDir);
  const systemId = (serviceAccount: string) =>
    formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount });

  const auditFile = join(stateDir, 'audit.log');
  const audit = await openAuditLog(auditFile);
  const source = await openAuthority({
    ...options,
    caDir: options.caDir,
    passphrase: options.passphrase,
    audit,
    auditFile,
    lease,
  });
  const { authority } = source;
  const own = new OwnIdentity({
    authority,
    spiffeId: systemId('citadel'),
    ttlSeconds: options.workloadTtl.defaultSeconds,
    logger,
  });
  await own.start();
  const tokenKeys =
    options.tokenKeyFile === undefined ? undefined : new TokenKeys({ file: options.tokenKeyFile, logger });
  const metrics = createCitadelMetrics(authority);

  const roles = AdminRoles.create(trustDomain, options.adminRole);
  const service = createCertificateService({
    attestors: createAttestors({ ...options, oidc: options.oidc, tokenKeys }),
    limits: createRateLimits(options.limits),
    authority,
    trustDomain,
    ttl: options.workloadTtl,
    audit,
    onIssued: (entry) => source.issued(entry),
    metrics,
    logger,
  });
  const checkpoints = await CheckpointService.open({
    ...{ stateDir, trustDomain, lease, logger },
    passphrase: options.passphrase,
  });
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
      await source.close();
      await audit.close();
      await checkpoints.close();
      await lease.release();
    },
  };
}
