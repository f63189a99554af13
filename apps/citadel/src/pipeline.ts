// Citadel, in the order in which a request meets its parts: token → limits → signing request → signature → audit line.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createMtlsHttpServer, formatSpiffeId, grpcServerCredentials } from '@lateen/identity';
import { createCertificateIssuer } from '@lateen/identity/authority';
import { type Logger, startMonitoringServer } from '@lateen/telemetry';
import { createAdminHandler } from './admin-api.js';
import { openAuditLog } from './audit-log.js';
import { createCertificateService } from './certificate-service.js';
import { startGrpcServer } from './grpc-server.js';
import { createCitadelMetrics } from './metrics.js';
import { OwnIdentity } from './own-identity.js';
import { createRateLimits, type RateLimitOptions } from './rate-limits.js';
import { loadOrCreateRoot } from './root-store.js';
import { TokenKeys } from './token-keys.js';

export interface CitadelOptions {
  readonly address: string;
  readonly stateDir: string;
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly monitoringPort: number;
  readonly trustDomain: string;
  readonly tokenKeyFile: string;
  readonly tokenAudience: string;
  readonly tokenIssuer: string;
  readonly workloadTtlSeconds: number;
  readonly rootTtlSeconds: number;
  readonly limits: { readonly identity: RateLimitOptions; readonly total: RateLimitOptions };
  readonly version: string;
  readonly logger: Logger;
}

export interface Citadel {
  readonly ports: { readonly grpc: number; readonly admin: number; readonly monitoring: number };
  readonly rootCertPem: string;
  /** Ends open requests within their time limit, then everything else. */
  stop(): Promise<void>;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** Starts Citadel. Rejects when the root is damaged, a port is taken or the state directory cannot be written. */
export async function startCitadel(options: CitadelOptions): Promise<Citadel> {
  const { address, stateDir, trustDomain, logger } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const root = await loadOrCreateRoot({ stateDir, trustDomain, ttlSeconds: options.rootTtlSeconds, logger });
  const issuer = await createCertificateIssuer(root);
  const systemId = (serviceAccount: string) =>
    formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount });

  const own = new OwnIdentity({
    issuer,
    root,
    spiffeId: systemId('citadel'),
    ttlSeconds: options.workloadTtlSeconds,
    logger,
  });
  await own.start();
  const tokenKeys = new TokenKeys({ file: options.tokenKeyFile, logger });
  const metrics = createCitadelMetrics(root.notAfter);
  const audit = await openAuditLog(join(stateDir, 'audit.log'));

  const service = createCertificateService({
    tokenKeys,
    tokenAudience: options.tokenAudience,
    tokenIssuer: options.tokenIssuer,
    limits: createRateLimits(options.limits),
    issuer,
    rootCertPem: root.certPem,
    trustDomain,
    maxTtlSeconds: options.workloadTtlSeconds,
    audit,
    metrics,
    logger,
  });
  const grpcServer = await startGrpcServer({
    service,
    address,
    port: options.grpcPort,
    // Clients authenticate by token: they have no certificate yet.
    credentials: grpcServerCredentials(own, { requireClientCertificate: false }),
  });
  const admin = await createMtlsHttpServer({
    source: own,
    allowedClients: [systemId('lateen-admin'), systemId('lateen-supervisor')],
    handler: createAdminHandler({ rootCertPem: root.certPem, own, audit }),
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
    notReadyReason: () => tokenKeys.problem(),
  });

  const ports = { grpc: grpcServer.port, admin: admin.port, monitoring: monitoring.port };
  logger.info({ address, ports, trustDomain, rootNotAfter: root.notAfter.toISOString() }, 'citadel is up');
  return {
    ports,
    rootCertPem: root.certPem,
    stop: async () => {
      await Promise.all([grpcServer.stop(), admin.close(1_000)]);
      await monitoring.close();
      own.stop();
      await audit.close();
    },
  };
}
