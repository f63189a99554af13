// Admin API: /listeners, the addresses that are really bound, as Envoy's text lines or JSON.

import type { ListenerView } from '../data-plane.js';

/** `NAME::ADDRESS:PORT`, one line for each address. */
export function listenersText(listeners: readonly ListenerView[]): string {
  return listeners
    .flatMap(({ name, addresses }) =>
      addresses.map(({ address, port }) => `${name}::${address.includes(':') ? `[${address}]` : address}:${port}\n`),
    )
    .join('');
}

/** The JSON form of envoy.admin.v3.Listeners. */
export function listenersJson(listeners: readonly ListenerView[]): unknown {
  return {
    listener_statuses: listeners.map(({ name, addresses }) => {
      const [first, ...others] = addresses.map(({ address, port }) => ({
        socket_address: { address, port_value: port },
      }));
      return { name, local_address: first, additional_local_addresses: others };
    }),
  };
}
