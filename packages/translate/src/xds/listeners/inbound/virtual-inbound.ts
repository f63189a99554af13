// Build: the listener that all connections to a pod are led to: by the port that they were going to each is served as the
// port is, and those to ports of no service go on to them, by the same rules about who may.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type FilterChain,
  FilterChainMatchSchema,
  FilterChainSchema,
  type ListenerFilter,
  type ListenerFilterChainMatchPredicate,
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { OriginalDstSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { OriginalSrcSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import type { ProxyView } from '../../../proxy-view.js';
import type { InboundPort } from '../../../resolve/inbound-ports.js';
import { INBOUND_PORT, type Interception, wildcardsOf } from '../../../resolve/interception/interception.js';
import type { PassthroughPort } from '../../../resolve/interception/passthrough-ports.js';
import { stableHash } from '../../../stable-hash.js';
import {
  ANY_PORT,
  BLACK_HOLE_CLUSTER,
  INBOUND_PASSTHROUGH_CLUSTER,
  listenerName,
  VIRTUAL_INBOUND,
} from '../../names.js';
import { connectionManagers } from '../http-connection-manager.js';
import { additionalAddress, type ListenerPlan, socketAddress, tlsInspector } from '../listener-plan.js';
import { detectionLimit, detectionTimeoutMs, httpInspector } from '../protocol-detection.js';
import { buildTcpFilters } from '../tcp-proxy.js';
import { type Inspection, inboundChains, inboundKey, inspectionOf } from './inbound-chains.js';

/** As Istio's: packets with it are the proxy's own, which routing rules of TPROXY tell from others. */
const TPROXY_MARK = 1337;

/** Chains for connections that were going to a port. */
interface CapturedPort {
  /** `ANY_PORT`: every port that no other chains are for. */
  readonly port: number;
  readonly served: InboundPort;
  /** What statistics call it. */
  readonly name: string;
}

/** Ports that no service has: nothing is known of what they speak. */
function passthroughPort({ port, mtlsMode }: PassthroughPort, ip: string): CapturedPort {
  const served: InboundPort = {
    port: ANY_PORT,
    appAddress: '',
    appPort: ANY_PORT,
    mtlsMode,
    kind: 'any',
    protocol: 'auto',
    services: [],
    servicePort: ANY_PORT,
    pool: undefined,
    ip,
    tls: undefined,
    captured: true,
    goesOn: true,
  };
  return { port, served, name: INBOUND_PASSTHROUGH_CLUSTER };
}

function capturedPorts({ inboundPorts, passthroughPorts }: ProxyView, ip: string): readonly CapturedPort[] {
  const served = inboundPorts.filter(({ captured }) => captured);
  return [
    ...passthroughPorts.map((each) => passthroughPort(each, ip)),
    ...served.map((each) => ({ port: each.port, served: each, name: listenerName(ip, each.port) })),
  ];
}

/** An address that nobody calls is a way to call for ever. */
function blackHoleChain(view: ProxyView): FilterChain {
  const to = {
    statPrefix: BLACK_HOLE_CLUSTER,
    clusters: [{ name: BLACK_HOLE_CLUSTER, weight: 1 }],
    idleTimeout: undefined,
    hashesSource: false,
  };
  return create(FilterChainSchema, {
    name: 'virtualInbound-blackhole',
    filterChainMatch: { destinationPort: INBOUND_PORT },
    filters: buildTcpFilters(view, 'sidecar-inbound', to),
  });
}

function chainsOf(view: ProxyView, { port, served, name }: CapturedPort): readonly FilterChain[] {
  return inboundChains(view, served, name).map((chain) => {
    const filterChainMatch = chain.filterChainMatch ?? create(FilterChainMatchSchema);
    if (port === ANY_PORT) return { ...chain, name: `${VIRTUAL_INBOUND}-catchall-${chain.name}`, filterChainMatch };
    return {
      ...chain,
      name: `${name} ${chain.name}`,
      filterChainMatch: { ...filterChainMatch, destinationPort: port },
    };
  });
}

function portPredicate(ports: readonly number[]): ListenerFilterChainMatchPredicate {
  const rules = ports.map((port) =>
    create(ListenerFilterChainMatchPredicateSchema, {
      rule: { case: 'destinationPortRange', value: { start: port, end: port + 1 } },
    }),
  );
  const [only, second] = rules;
  if (only !== undefined && second === undefined) return only;
  return create(ListenerFilterChainMatchPredicateSchema, { rule: { case: 'orMatch', value: { rules } } });
}

/** Looks at connections to all ports but those that need not be looked at: their server may speak first. */
function exceptFor(
  filter: ListenerFilter,
  ports: readonly CapturedPort[],
  needed: (inspection: Inspection) => boolean,
): ListenerFilter {
  const unneeded = ports.filter(({ port, served }) => port !== ANY_PORT && !needed(inspectionOf(served)));
  if (unneeded.length === 0) return filter;
  return { ...filter, filterDisabled: portPredicate(unneeded.map(({ port }) => port)) };
}

function originalDestination(): ListenerFilter {
  return create(ListenerFilterSchema, {
    name: 'envoy.filters.listener.original_dst',
    configType: { case: 'typedConfig', value: packAny(OriginalDstSchema, create(OriginalDstSchema)) },
  });
}

/** Applications see who calls. */
function originalSource(): ListenerFilter {
  const config = create(OriginalSrcSchema, { mark: TPROXY_MARK });
  return create(ListenerFilterSchema, {
    name: 'envoy.filters.listener.original_src',
    configType: { case: 'typedConfig', value: packAny(OriginalSrcSchema, config) },
  });
}

/** The listener of a pod whose connections are intercepted. */
export function virtualInbound(view: ProxyView, interception: Interception): ListenerPlan {
  const [ip = '0.0.0.0', ...others] = wildcardsOf(interception);
  const { meshConfig } = view.snapshot;
  const address = { ip, port: INBOUND_PORT };
  const ports = capturedPorts(view, ip);
  const isTransparent = interception.mode === 'TPROXY';
  const parts = ports.map(({ port, served }) => [port, inboundKey(view, served)]);
  return {
    name: VIRTUAL_INBOUND,
    key: [
      VIRTUAL_INBOUND,
      interception.key,
      connectionManagers(view).key,
      detectionTimeoutMs(meshConfig),
      stableHash(parts),
    ].join('/'),
    address,
    additionalAddresses: others.map((other) => ({ ip: other, port: INBOUND_PORT })),
    build: (additionalAddresses) =>
      create(ListenerSchema, {
        name: VIRTUAL_INBOUND,
        address: socketAddress(address),
        additionalAddresses: additionalAddresses.map(additionalAddress),
        trafficDirection: TrafficDirection.INBOUND,
        ...(isTransparent ? { transparent: true } : {}),
        listenerFilters: [
          originalDestination(),
          // A Lateen sidecar cannot do that yet, and would refuse the listener.
          ...(isTransparent && !view.understandsIstioFilters ? [originalSource()] : []),
          exceptFor(tlsInspector(), ports, ({ tls }) => tls),
          exceptFor(httpInspector(), ports, ({ http }) => http),
        ],
        ...detectionLimit(meshConfig),
        filterChains: [blackHoleChain(view), ...ports.flatMap((port) => chainsOf(view, port))],
      }),
  };
}
