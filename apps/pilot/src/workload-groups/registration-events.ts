// Workload groups: what the streams of proxies do to registrations.

import { parseProxyNode } from '@lateen/translate';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { AdsEvents, AdsPeer, AdsRefusal } from '@lateen/xds-stream';
import { groupNameOf, type Registrations } from './registrations.js';

type Authorize = (peer: Pick<AdsPeer, 'call'>, node: Node | undefined) => AdsRefusal | undefined;

/** Lets in whom `admit` lets in, and of those that ask to be registered the ones that may be. */
export function admitRegistrations(admit: Authorize, registrations: Registrations): Authorize {
  return (peer, node) => {
    const refusal = admit(peer, node);
    if (refusal !== undefined) return refusal;
    const parsed = parseProxyNode(node);
    return parsed.ok ? registrations.admit(parsed.proxy) : undefined;
  };
}

/** Nobody registers without a certificate: the proxy would wait for calls that never come. */
export function refuseRegistrations(admit: Authorize): Authorize {
  return (peer, node) => {
    const refusal = admit(peer, node);
    if (refusal !== undefined) return refusal;
    const parsed = parseProxyNode(node);
    if (!parsed.ok || groupNameOf(parsed.proxy) === undefined) return undefined;
    return { refused: 'workloads register over mutual TLS only; connect to the port for certificates (15012)' };
  };
}

function localityOf({ locality }: Node): string {
  const parts = locality === undefined ? [] : [locality.region, locality.zone, locality.subZone];
  return parts.filter((part) => part !== '').join('/');
}

/** The events of the streams that may register. */
export function withRegistrations(events: AdsEvents, registrations: Registrations): AdsEvents {
  return {
    ...events,
    onConnect: (client) => {
      events.onConnect?.(client);
      const parsed = parseProxyNode(client.node);
      if (parsed.ok) registrations.connect(client.streamId, parsed.proxy, localityOf(client.node));
    },
    onDisconnect: (client) => {
      events.onDisconnect?.(client);
      registrations.disconnect(client.streamId);
    },
    onHealthReport: (client, fault) => registrations.report(client.streamId, fault),
  };
}
