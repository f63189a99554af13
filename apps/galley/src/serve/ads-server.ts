// Serving: configuration to Pilot, by the ADS protocol over mutual TLS on port 9901.

import { Server, type ServerCredentials } from '@grpc/grpc-js';
import { GrpcAccessError, type PeerRule, requirePeerSpiffeId } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import {
  type AdsService,
  type AdsSubscriberReport,
  createAdsService,
  plainServedType,
  type ServedSnapshot,
} from '@lateen/xds-stream';
import type { ConfigStore } from '../store/config-store.js';
import { buildSnapshot, SERVED_TYPE_URLS } from './config-snapshot.js';

export interface AdsServerOptions {
  readonly store: ConfigStore;
  readonly address: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
  /** Who may subscribe. */
  readonly allowedClients: PeerRule;
  readonly logger: Logger;
}

export interface AdsServer {
  readonly port: number;
  clients(): readonly AdsSubscriberReport[];
  stop(): Promise<void>;
}

/** Starts the server. Rejects when the port is taken. */
export async function startAdsServer(options: AdsServerOptions): Promise<AdsServer> {
  const { store, logger } = options;
  let snapshot: ServedSnapshot = buildSnapshot(store.state, undefined);
  const listeners = new Set<() => void>();
  const unsubscribe = store.subscribe((state) => {
    snapshot = buildSnapshot(state, snapshot);
    for (const listener of [...listeners]) listener();
  });
  const ads = createAdsService({
    source: {
      open: (_client, onChange) => {
        listeners.add(onChange);
        return { current: () => snapshot, close: () => listeners.delete(onChange) };
      },
    },
    types: SERVED_TYPE_URLS.map(plainServedType),
    authorize: ({ call }) => {
      try {
        requirePeerSpiffeId(call, options.allowedClients);
        return undefined;
      } catch (error) {
        if (error instanceof GrpcAccessError) return { refused: error.details, code: error.code };
        throw error;
      }
    },
    events: {
      onConnect: ({ node, peer }) => logger.info({ node: node.id, peer }, 'subscriber connected'),
      onDisconnect: ({ node, peer }) => logger.info({ node: node.id, peer }, 'subscriber gone'),
      onRefused: (peer, node, reason) => logger.warn({ node: node?.id, peer, reason }, 'subscriber refused'),
      onNack: ({ client, typeUrl, error }) => logger.error({ node: client.node.id, typeUrl, error }, 'rejected by'),
      onStreamError: (client, message) => logger.warn({ node: client?.node.id, message }, 'subscription ended'),
    },
    controlPlaneId: 'galley',
  });
  const server = new Server({ 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000 });
  server.addService(ads.definition, ads.implementation);
  const host = options.address.includes(':') ? `[${options.address}]` : options.address;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${options.port}`, options.credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    port,
    clients: () => ads.clients(),
    stop: () => {
      unsubscribe();
      return stop(server, ads);
    },
  };
}

const STOP_TIMEOUT_MS = 2_000;

/** Sends the clients away, so that they reconnect at once, then closes. */
function stop(server: Server, ads: AdsService): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, STOP_TIMEOUT_MS);
    ads.close();
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
