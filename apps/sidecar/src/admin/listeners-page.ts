// Admin API: /listeners, the addresses that are really bound, as Envoy's text lines or JSON.

import type { UnboundListener } from '../config/store/bind-retry.js';
import type { ListenerView } from '../data-plane.js';

type UnboundListeners = ReadonlyMap<string, UnboundListener>;

/** `NAME::ADDRESS:PORT`, one line for each address; and `NAME::cannot bind ADDRESS:PORT: REASON`. */
export function listenersText(listeners: readonly ListenerView[], unbound: UnboundListeners): string {
  const bound = listeners
    .flatMap(({ name, addresses }) =>
      addresses.map(({ address, port }) => `${name}::${address.includes(':') ? `[${address}]` : address}:${port}\n`),
    )
    .join('');
  return bound + [...unbound.values()].map(({ name, reason }) => `${name}::${reason}\n`).join('');
}

/** The JSON form of envoy.admin.v3.Listeners; with `error_state`, as in the dump, where an address cannot be bound. */
export function listenersJson(listeners: readonly ListenerView[], unbound: UnboundListeners): unknown {
  const errorOf = (name: string) => {
    const found = unbound.get(name);
    if (found === undefined) return {};
    return { error_state: { details: found.reason, last_update_attempt: new Date(found.atMs).toISOString() } };
  };
  const names = new Set(listeners.map(({ name }) => name));
  return {
    listener_statuses: [
      ...listeners.map(({ name, addresses }) => {
        const [first, ...others] = addresses.map(({ address, port }) => ({
          socket_address: { address, port_value: port },
        }));
        return { name, local_address: first, additional_local_addresses: others, ...errorOf(name) };
      }),
      ...[...unbound.keys()].filter((name) => !names.has(name)).map((name) => ({ name, ...errorOf(name) })),
    ],
  };
}
