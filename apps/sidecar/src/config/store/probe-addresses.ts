// Store: looks, before a listener that still waits for its routes is acknowledged, whether its addresses can be bound.

import { createServer } from 'node:net';
import { TYPE_URL } from '@lateen/xds-proto';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ConfigProblem, ListenerView } from '../../data-plane.js';

/** @param bound what the data path serves: its own addresses are free for it, also under another listener's name */
export async function findUnbindable(
  listeners: Iterable<Listener>,
  bound: readonly ListenerView[],
): Promise<ConfigProblem[]> {
  const own = new Set(bound.flatMap(({ addresses }) => addresses.map(({ address, port }) => `${address}:${port}`)));
  const problems: ConfigProblem[] = [];
  for (const { name, address, additionalAddresses, bindToPort } of listeners) {
    if (bindToPort === false) continue;
    const all = [
      { address, path: 'address' },
      ...additionalAddresses.map((each, index) => ({ ...each, path: `additional_addresses[${index}].address` })),
    ];
    for (const { address: each, path } of all) {
      const socket = each?.address.case === 'socketAddress' ? each.address.value : undefined;
      if (socket?.portSpecifier.case !== 'portValue' || socket.portSpecifier.value === 0) continue;
      const port = socket.portSpecifier.value;
      if (own.has(`${socket.address}:${port}`)) continue;
      const error = await bindOnce(socket.address, port, !socket.ipv4Compat);
      if (error === undefined) continue;
      const message = `cannot bind ${socket.address}:${port}: ${error.message}`;
      problems.push({ resourceType: TYPE_URL.listener, resourceName: name, path, message, mayPass: true });
    }
  }
  return problems;
}

function bindOnce(host: string, port: number, ipv6Only: boolean): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', resolve);
    server.listen({ host, port, ipv6Only }, () => server.close(() => resolve(undefined)));
  });
}
