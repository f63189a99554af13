// gRPC: binds a server of Pilot's to an address, and ends it gracefully.

import {
  Server,
  type ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

/** A connection whose peer is silently gone is noticed after both of these. */
const KEEPALIVE_TIME_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
/** Clients ping more often than gRPC's default of five minutes allows. */
const MIN_PING_INTERVAL_MS = 5_000;

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcListener {
  readonly port: number;
  /** Stops accepting; streams that have not ended after `graceMs` are cut. */
  close(graceMs: number): Promise<void>;
}

/** Rejects when the address cannot be bound. @param port 0 picks a free port */
export async function startGrpcListener(
  address: string,
  port: number,
  credentials: ServerCredentials,
  services: readonly GrpcService[],
): Promise<GrpcListener> {
  const server = new Server({
    'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.http2.min_ping_interval_without_data_ms': MIN_PING_INTERVAL_MS,
  });
  for (const { definition, implementation } of services) server.addService(definition, implementation);
  const host = address.includes(':') ? `[${address}]` : address;
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, credentials, (error, boundPort) => {
      if (error === null) resolve(boundPort);
      else reject(new Error(`cannot listen on ${host}:${port}: ${error.message}`));
    });
  });
  return {
    port: bound,
    close: (graceMs) =>
      new Promise((resolve) => {
        const cut = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(cut);
          resolve();
        });
      }),
  };
}
