// Distribution: which events of the streams to proxies may bring a change further.

import type { AdsEvents } from '@lateen/xds-stream';

/** Calls `moved` whenever a proxy has answered, come or gone. */
export function withDistribution(events: AdsEvents, moved: () => void): AdsEvents {
  return {
    ...events,
    onConnect: (client) => {
      events.onConnect?.(client);
      moved();
    },
    onDisconnect: (client) => {
      events.onDisconnect?.(client);
      moved();
    },
    onAck: (event) => {
      events.onAck?.(event);
      moved();
    },
    onNack: (event) => {
      events.onNack?.(event);
      moved();
    },
    onConverged: (client, snapshot, elapsedMs) => {
      events.onConverged?.(client, snapshot, elapsedMs);
      moved();
    },
  };
}
