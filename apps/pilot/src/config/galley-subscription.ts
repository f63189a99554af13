// Configuration: subscribes to every kind at Galley over ADS, and connects again for as long as Pilot lives.

import { create } from '@bufbuild/protobuf';
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Logger } from '@lateen/telemetry';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { ConfigResource } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import { AdsClient, createGrpcTransport } from '@lateen/xds-stream';
import { CONFIG_TYPE_URLS } from './config-kinds.js';
import { configName, decodeConfig } from './config-object.js';
import type { ConfigStore } from './config-store.js';

export interface GalleySubscriptionOptions {
  /** HOST:PORT of Galley's ADS server. */
  readonly target: string;
  readonly credentials: () => ChannelCredentials;
  readonly store: ConfigStore;
  readonly logger: Logger;
}

export interface GalleySubscription {
  readonly connected: boolean;
  close(): void;
}

/** Starts the subscription. What arrives goes to the store, which keeps it and tells of it. */
export function subscribeToGalley({
  target,
  credentials,
  store,
  logger,
}: GalleySubscriptionOptions): GalleySubscription {
  let failures = 0;
  const client = new AdsClient({
    transport: createGrpcTransport({ target, credentials }),
    protocol: 'delta',
    node: create(NodeSchema, { id: 'pilot', cluster: 'pilot.istio-system' }),
    onConnected: () => {
      failures = 0;
      logger.info({ target }, 'connected to galley');
    },
    onDisconnected: (reason, retryInMs) => {
      failures += 1;
      const fields = { target, reason, retryInMs: Math.round(retryInMs) };
      // One line for an outage; the attempts that follow are no news.
      if (failures === 1) logger.warn(fields, 'no connection to galley; serving what is known and trying again');
      else logger.debug(fields, 'still no connection to galley');
    },
    onReject: (typeUrl, message) => logger.error({ typeUrl, reason: message }, 'configuration refused'),
  });
  for (const typeUrl of CONFIG_TYPE_URLS) {
    client.subscribe<ConfigResource>(
      {
        typeUrl,
        mode: 'wildcard',
        decode: (any, name) => {
          const value = decodeConfig(typeUrl, any);
          return { name: name ?? configName(value), value };
        },
        onUpdate: async (update) => {
          await store.apply(update);
          return undefined;
        },
      },
      store.heldVersions(typeUrl),
    );
  }
  client.start();
  return {
    get connected() {
      return client.connected;
    },
    close: () => client.close(),
  };
}
