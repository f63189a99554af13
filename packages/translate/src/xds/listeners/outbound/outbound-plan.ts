// Build: an outbound listener of a sidecar: HTTP by the rules for HTTP, what else comes to where connections go, or both.

import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type FilterChain,
  FilterChainMatchSchema,
  FilterChainSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ProxyView } from '../../../proxy-view.js';
import { stableHash } from '../../../stable-hash.js';
import { listenerName } from '../../names.js';
import type { ConnectionTarget, TcpDestinations } from '../../routes/tcp-destinations.js';
import { connectionManagers } from '../http-connection-manager.js';
import type { HttpAbilities } from '../http-filters.js';
import {
  additionalAddress,
  connectionMatch,
  type ListenerPlan,
  socketAddress,
  tlsInspector,
} from '../listener-plan.js';
import { detectionLimit, detectionTimeoutMs, httpInspector, PLAIN_HTTP_ALPN } from '../protocol-detection.js';
import { buildTcpFilters } from '../tcp-proxy.js';

/** What is listened for, and what becomes of it. */
export interface OutboundShape {
  readonly ip: string;
  readonly port: number;
  /** Addresses of the other family for the same port. */
  readonly alsoAt?: readonly string[];
  /** HTTP follows the route configuration of this name; undefined: no HTTP is looked for. */
  readonly http?: { readonly rds: string; readonly abilities: HttpAbilities } | undefined;
  /** Everything is HTTP: nothing is found out by the first bytes. */
  readonly httpOnly?: boolean;
  readonly targets: readonly ConnectionTarget[];
  /** Where connections go that are for no target; undefined: they are closed, or there are none. */
  readonly otherwise?: TcpDestinations | undefined;
  /** Nothing listens there: connections that were going there are handed over by the listener that captures them. */
  readonly captured?: boolean;
}

function isForAll({ serverNames, subnets }: ConnectionTarget): boolean {
  return serverNames.length === 0 && subnets.length === 0;
}

/** Chains with a condition, and the one for all others. */
interface Chains {
  readonly chosen: readonly FilterChain[];
  readonly fallback: FilterChain | undefined;
}

function tcpChains(view: ProxyView, { targets, otherwise }: OutboundShape, detects: boolean): Chains {
  const filtersTo = (to: TcpDestinations) => buildTcpFilters(view, 'sidecar-outbound', to);
  const forAll = targets.find(isForAll);
  const isAlone = !detects && otherwise === undefined;
  // Where nothing is found out, and nothing is left over, the order of the rules is that of the chains.
  const chosen = targets.filter((target) => isAlone || target !== forAll);
  const last =
    forAll !== undefined
      ? { name: detects ? 'tcp' : '', to: forAll.to }
      : otherwise && { name: 'PassthroughFilterChain', to: otherwise };
  return {
    chosen: chosen.map(({ to, ...target }) =>
      create(FilterChainSchema, { ...connectionMatch(target), filters: filtersTo(to) }),
    ),
    fallback:
      isAlone || !last ? undefined : create(FilterChainSchema, { name: last.name, filters: filtersTo(last.to) }),
  };
}

/** A chain without a match beside none: connections need not be looked at. */
function withFallback({ chosen, fallback }: Chains) {
  if (fallback !== undefined && chosen.length === 0) return { filterChains: [fallback] };
  // Not a chain without a match: one that asks for plain connections is chosen before, and there is no way back.
  return { filterChains: [...chosen], ...(fallback === undefined ? {} : { defaultFilterChain: fallback }) };
}

/** The listener `IP_PORT`. */
export function outboundPlan(view: ProxyView, shape: OutboundShape): ListenerPlan {
  const { ip, port, alsoAt = [], http, httpOnly = false, targets, captured = false } = shape;
  const { meshConfig } = view.snapshot;
  const name = listenerName(ip, port);
  const managers = connectionManagers(view);
  const detects = http !== undefined && !httpOnly;
  const byName = targets.some(({ serverNames }) => serverNames.length > 0);
  const httpChain = (): FilterChain[] => {
    if (http === undefined) return [];
    const filters = [managers.build('sidecar-outbound', name, { rds: http.rds }, http.abilities)];
    if (!detects) return [create(FilterChainSchema, { filters })];
    const match = { transportProtocol: 'raw_buffer', applicationProtocols: PLAIN_HTTP_ALPN };
    return [
      create(FilterChainSchema, {
        name: 'http',
        filterChainMatch: create(FilterChainMatchSchema, match),
        filters,
      }),
    ];
  };
  return {
    name,
    key: `outbound/${managers.key}/${detects || captured ? detectionTimeoutMs(meshConfig) : ''}/${stableHash(shape)}`,
    address: { ip, port },
    additionalAddresses: alsoAt.map((address) => ({ ip: address, port })),
    build: (additionalAddresses) => {
      const chains = tcpChains(view, shape, detects);
      return create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        additionalAddresses: additionalAddresses.map(additionalAddress),
        trafficDirection: TrafficDirection.OUTBOUND,
        ...(captured ? { bindToPort: false } : {}),
        listenerFilters: [
          // Only where names decide: a client that says nothing would have to wait for its server otherwise.
          ...(detects || byName ? [tlsInspector()] : []),
          ...(detects ? [httpInspector()] : []),
        ],
        // What is captured need not be meant for this service: it may wait for its server to speak.
        ...(detects || (captured && byName) ? detectionLimit(meshConfig) : {}),
        ...withFallback({ ...chains, chosen: [...httpChain(), ...chains.chosen] }),
      });
    },
  };
}
