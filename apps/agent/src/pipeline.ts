// The agent beside a stock Envoy, in the order in which a secret passes its parts: identity or files → secrets → SDS → socket.

import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CertificateClient } from '@lateen/identity';
import { type Logger, startMonitoringServer } from '@lateen/telemetry';
import { createSdsService } from '@lateen/xds-stream';
import { createAgentMetrics } from './metrics.js';
import { sdsEvents } from './sds-events.js';
import { openSdsSocket } from './sds-socket.js';
import { SecretSource } from './secrets/secret-source.js';

export interface AgentOptions {
  /** Of the monitoring port. */
  readonly address: string;
  readonly monitoringPort: number;
  /** Key, certificate and, unless `sdsSocket` says otherwise, the socket; 0700. */
  readonly stateDir: string;
  readonly sdsSocket?: string | undefined;
  readonly citadelAddress: string;
  readonly tokenFile: string;
  readonly rootCertFile: string;
  readonly trustDomain: string;
  /** Share of a certificate's life that is left when it is renewed. */
  readonly gracePeriodRatio: number;
  /** Life to ask for; Citadel's default unless given. */
  readonly certificateTtlSeconds?: number | undefined;
  readonly version: string;
  readonly logger: Logger;
}

export interface Agent {
  readonly socketPath: string;
  readonly monitoringPort: number;
  stop(): Promise<void>;
}

/** Starts the agent. Rejects where the socket or the port cannot be had; a Citadel that is away is waited for. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { address, stateDir, logger, certificateTtlSeconds } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await chmod(stateDir, 0o700);
  const identity = new CertificateClient({
    ...options,
    directory: join(stateDir, 'identity'),
    ...(certificateTtlSeconds === undefined ? {} : { requestedTtlSeconds: certificateTtlSeconds }),
  });
  const metrics = createAgentMetrics(identity);
  const source = new SecretSource({ identity, logger, onFailure: () => metrics.fileFailures.inc() });
  // Who can open the socket is this user, and so may have the keys of this user.
  const authorize = () => undefined;
  const service = createSdsService({ source, authorize, events: sdsEvents(metrics, logger) });
  await identity.start();
  const socketPath = options.sdsSocket ?? join(stateDir, 'sds.sock');
  const socket = await openSdsSocket(socketPath, service);
  const monitoring = await startMonitoringServer({
    address,
    port: options.monitoringPort,
    registry: metrics.registry,
    version: options.version,
    notReadyReason: () => notReadyReason(identity),
  });
  logger.info({ socketPath, address, monitoringPort: monitoring.port }, 'agent is up');
  return {
    socketPath,
    monitoringPort: monitoring.port,
    stop: async () => {
      await socket.close();
      source.close();
      await Promise.all([identity.stop(), monitoring.close()]);
    },
  };
}

function notReadyReason({ current, status }: CertificateClient): string | undefined {
  const why = status.lastError === undefined ? '' : ` (${status.lastError})`;
  if (current === undefined) return `there is no certificate yet${why}`;
  return current.notAfter.getTime() <= Date.now() ? `the certificate has expired${why}` : undefined;
}
