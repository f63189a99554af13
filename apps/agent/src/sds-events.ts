// What happens on the streams, as log lines and counts: names and versions, never contents.

import type { Logger } from '@lateen/telemetry';
import type { AdsEvents, AdsResponseEvent } from '@lateen/xds-stream';
import type { AgentMetrics } from './metrics.js';

export function sdsEvents(metrics: AgentMetrics, logger: Logger): AdsEvents {
  return {
    onConnect: ({ streamId, node, form }) => {
      metrics.streams.inc();
      logger.debug({ streamId, node: node.id, form }, 'stream opened');
    },
    onDisconnect: ({ streamId }) => {
      metrics.streams.dec();
      logger.debug({ streamId }, 'stream ended');
    },
    onSent: (event) => {
      metrics.responses.inc();
      logger.debug(fieldsOf(event), 'secrets sent');
    },
    onAck: (event) => logger.info(fieldsOf(event), 'secrets accepted'),
    onNack: (event) => {
      metrics.rejections.inc();
      logger.warn({ ...fieldsOf(event), reason: event.error }, 'secrets rejected');
    },
    onAckTimeout: (event) => logger.warn(fieldsOf(event), 'secrets are neither accepted nor rejected'),
    onStreamError: (client, reason) => logger.debug({ streamId: client?.streamId, reason }, 'stream broke'),
  };
}

function fieldsOf({ client, version, resourceNames, removedNames }: AdsResponseEvent) {
  return { streamId: client.streamId, node: client.node.id, version, secrets: resourceNames, removed: removedNames };
}
