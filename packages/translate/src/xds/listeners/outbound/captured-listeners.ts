// Build: the outbound listeners of an intercepted proxy: the one that all connections are led to, and those that it hands them
// to by the address that they were going to.

import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ProxyView } from '../../../proxy-view.js';
import { type Interception, OUTBOUND_PORT, wildcardsOf } from '../../../resolve/interception/interception.js';
import { stableHash } from '../../../stable-hash.js';
import { forwardsHosts } from '../../clusters/forward-hosts.js';
import { BLACK_HOLE_CLUSTER, VIRTUAL_OUTBOUND } from '../../names.js';
import { unknownCluster } from '../../routes/catch-all.js';
import type { TcpDestinations } from '../../routes/tcp-destinations.js';
import { connectionManagers } from '../http-connection-manager.js';
import { additionalAddress, type ListenerPlan, socketAddress } from '../listener-plan.js';
import { buildTcpFilters } from '../tcp-proxy.js';
import { capturedOutbound } from './captured-outbound.js';
import { outboundPlan } from './outbound-plan.js';

function toCluster(name: string): TcpDestinations {
  return { statPrefix: name, clusters: [{ name, weight: 1 }], idleTimeout: undefined, hashesSource: false };
}

/** Where connections go whose destination no service has. */
export function toUnknown({ scope }: ProxyView): TcpDestinations {
  return toCluster(unknownCluster(scope, true) ?? BLACK_HOLE_CLUSTER);
}

/** Takes what the redirection hands over; connections that nobody else takes pass, or are closed. */
function virtualOutbound(view: ProxyView, interception: Interception): ListenerPlan {
  const [ip = '0.0.0.0', ...others] = wildcardsOf(interception);
  const address = { ip, port: OUTBOUND_PORT };
  const unknown = toUnknown(view);
  return {
    name: VIRTUAL_OUTBOUND,
    key: `${VIRTUAL_OUTBOUND}/${connectionManagers(view).key}/${interception.key}/${stableHash(unknown)}`,
    address,
    additionalAddresses: others.map((other) => ({ ip: other, port: OUTBOUND_PORT })),
    build: (additionalAddresses) =>
      create(ListenerSchema, {
        name: VIRTUAL_OUTBOUND,
        address: socketAddress(address),
        additionalAddresses: additionalAddresses.map(additionalAddress),
        trafficDirection: TrafficDirection.OUTBOUND,
        useOriginalDst: true,
        ...(interception.mode === 'TPROXY' ? { transparent: true } : {}),
        filterChains: [
          {
            // Who calls the listener itself would be passed on to it, for ever.
            name: 'virtualOutbound-blackhole',
            filterChainMatch: { destinationPort: OUTBOUND_PORT },
            filters: buildTcpFilters(view, 'sidecar-outbound', toCluster(BLACK_HOLE_CLUSTER)),
          },
          {
            name: 'virtualOutbound-catchall-tcp',
            filters: buildTcpFilters(view, 'sidecar-outbound', unknown),
          },
        ],
      }),
  };
}

/** In the order in which addresses are given away. */
export function capturedListeners(view: ProxyView): readonly ListenerPlan[] {
  const { interception, scope } = view;
  if (interception === undefined) return [];
  const otherwise = toUnknown(view);
  const forwards = forwardsHosts(scope);
  // Whoever calls the pod's own address is not led here.
  const listeners = [...capturedOutbound(view).listeners.values()].filter(
    ({ ip }) => !interception.ownAddresses.includes(ip),
  );
  return [
    virtualOutbound(view, interception),
    ...listeners.map(({ ip, alsoAt, port, rds, grpcWeb, targets }) =>
      outboundPlan(view, {
        ip,
        alsoAt,
        port,
        http: rds === undefined ? undefined : { rds, abilities: { forwards, grpcWeb } },
        targets,
        otherwise,
        captured: true,
      }),
    ),
  ];
}
