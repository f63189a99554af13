// Observe: what happens between Pilot and its proxies, as log lines and metrics.

import type { Logger } from '@lateen/telemetry';
import { shortTypeName } from '@lateen/xds-proto';
import type { AdsEvents, AdsResponseEvent } from '@lateen/xds-stream';
import { type PilotMetrics, proxyVersion } from './pilot-metrics.js';

function fieldsOf({ client, typeUrl, version, nonce }: AdsResponseEvent): object {
  return { proxy: client.node.id, type: shortTypeName(typeUrl), version, nonce };
}

/** Events for the ADS services: everything is counted, what people should know of is logged. */
export function createPushEvents({ adsEvents: metrics }: PilotMetrics, logger: Logger): AdsEvents {
  return {
    onConnect: (client) => {
      metrics.onConnect?.(client);
      const { node, peer, form } = client;
      logger.info({ proxy: node.id, peer, form, version: proxyVersion(client) }, 'proxy connected');
    },
    onDisconnect: (client) => {
      metrics.onDisconnect?.(client);
      logger.info({ proxy: client.node.id, peer: client.peer }, 'proxy disconnected');
    },
    onRefused: (peer, node, reason) => logger.warn({ peer, proxy: node?.id, reason }, 'proxy refused'),
    onSent: (event) => {
      metrics.onSent?.(event);
      const { resourceNames, removedNames, pushMs } = event;
      logger.debug(
        { ...fieldsOf(event), resources: resourceNames.length, removed: removedNames, pushMs },
        'resources sent',
      );
    },
    onAck: (event) => logger.debug({ ...fieldsOf(event), elapsedMs: event.elapsedMs }, 'resources acknowledged'),
    onNack: (event) => {
      metrics.onNack?.(event);
      logger.warn(
        { ...fieldsOf(event), reason: event.error },
        'resources rejected by the proxy; it keeps the old ones',
      );
    },
    onConverged: (client, snapshot, elapsedMs) => {
      metrics.onConverged?.(client, snapshot, elapsedMs);
      logger.debug({ proxy: client.node.id, version: snapshot.version, elapsedMs }, 'proxy converged');
    },
    onAckTimeout: (event) => logger.warn(fieldsOf(event), 'the proxy does not answer; the push goes on without it'),
    onStreamError: (client, message) => logger.warn({ proxy: client?.node.id, reason: message }, 'xDS stream failed'),
  };
}
