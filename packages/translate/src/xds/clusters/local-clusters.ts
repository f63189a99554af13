// Build: clusters that lead to the own application, and the ones for calls that lead nowhere or anywhere.

import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf';
import type { MeshConfig } from '@lateen/istio-config';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { BindConfigSchema, SocketAddressSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { clusterHeadersKey, introducesInMeshOnly, type ProxyHeaders } from '../../proxy-headers.js';
import type { ProxyView } from '../../proxy-view.js';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import type { Interception } from '../../resolve/interception/interception.js';
import { ownLoopback } from '../../resolve/own-listeners.js';
import { stableJson } from '../../stable-hash.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { endpointAddress } from '../endpoint-address.js';
import {
  BLACK_HOLE_CLUSTER,
  FORWARD_PROXY_PORT,
  forwardProxyClusterName,
  INBOUND_PASSTHROUGH_CLUSTER,
  inboundClusterName,
  PASSTHROUGH_CLUSTER,
} from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { serviceMetadata } from './cluster-metadata.js';
import { circuitBreakersOf, connectionOptionsOf } from './cluster-policy.js';
import { forwardDiscovery } from './forward-hosts.js';
import { sniClusterRecipes } from './sni-clusters.js';
import { inboundStatName } from './stat-names.js';
import { http1Options, isHttp2Protocol, protocolOptionsOf, type UpstreamProtocol } from './upstream-protocol.js';

const CONNECT_TIMEOUT_MS = 10_000;

/** The application gets what its port is declared for, whatever came; where nothing is, it gets what came. */
function appProtocolOf({ protocol, pool }: InboundPort): UpstreamProtocol {
  if (pool?.http?.useClientProtocol === true) return 'client';
  if (isHttp2Protocol(protocol)) return 'http/2';
  return protocol === 'auto' ? 'client' : 'http/1.1';
}

type ClusterFields = Exclude<MessageInitShape<typeof ClusterSchema>, Cluster>;

/** Where connections go to that came to the pod: it must not be taken for one of its application's. */
function inboundSource({ families }: Interception): Pick<ClusterFields, 'upstreamBindConfig'> {
  const [sourceAddress, ...others] = families.map((family) =>
    create(SocketAddressSchema, {
      address: family === 'IPv4' ? '127.0.0.6' : '::6',
      portSpecifier: { case: 'portValue', value: 0 },
    }),
  );
  const extraSourceAddresses = others.map((address) => ({ address }));
  return { upstreamBindConfig: create(BindConfigSchema, { sourceAddress, extraSourceAddresses }) };
}

const WHERE_IT_WENT = {
  clusterDiscoveryType: { case: 'type' as const, value: Cluster_DiscoveryType.ORIGINAL_DST },
  lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
};

/** The address that was called, or the one that the application says: on loopback, or of the pod, or a socket. */
function applicationOf(
  { port, appAddress, appPort, goesOn }: InboundPort,
  interception: Interception | undefined,
): ClusterFields {
  const source = interception === undefined ? {} : inboundSource(interception);
  if (goesOn) return { ...WHERE_IT_WENT, ...source };
  const address = endpointAddress(appAddress, appPort);
  return {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    ...(interception?.ownAddresses.includes(appAddress) ? source : {}),
    loadAssignment: create(ClusterLoadAssignmentSchema, {
      clusterName: inboundClusterName(port),
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }],
    }),
  };
}

/** `inbound|PORT||`: the application's own port. */
function buildInboundCluster(
  inbound: InboundPort,
  meshConfig: MeshConfig,
  headers: ProxyHeaders,
  interception: Interception | undefined,
): Cluster {
  const { port, services, kind, pool } = inbound;
  const name = inboundClusterName(port);
  const istio: JsonObject = { services: serviceMetadata(services) };
  return create(ClusterSchema, {
    name,
    altStatName: inboundStatName(meshConfig.inboundClusterStatName, inbound),
    connectTimeout: durationOfText(pool?.tcp?.connectTimeout) ?? durationOfMs(CONNECT_TIMEOUT_MS),
    circuitBreakers: circuitBreakersOf({ connectionPool: pool }),
    upstreamConnectionOptions: connectionOptionsOf(pool, meshConfig),
    typedExtensionProtocolOptions:
      kind === 'tcp'
        ? protocolOptionsOf('http/1.1', pool)
        : protocolOptionsOf(appProtocolOf(inbound), pool, http1Options(headers)),
    metadata: services.length === 0 ? undefined : { filterMetadata: { istio } },
    ...applicationOf(inbound, interception),
  });
}

/** Goes where connections to the pod were going, whatever port that is. */
function buildInboundPassthroughCluster(interception: Interception, headers: ProxyHeaders): Cluster {
  return create(ClusterSchema, {
    name: INBOUND_PASSTHROUGH_CLUSTER,
    ...WHERE_IT_WENT,
    ...inboundSource(interception),
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
    circuitBreakers: circuitBreakersOf({}),
    typedExtensionProtocolOptions: protocolOptionsOf('client', undefined, http1Options(headers)),
  });
}

function buildBlackHoleCluster(): Cluster {
  return create(ClusterSchema, {
    name: BLACK_HOLE_CLUSTER,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
  });
}

function buildPassthroughCluster(view: ProxyView): Cluster {
  const discovery = isIntercepted(view) ? WHERE_IT_WENT : forwardDiscovery(view.snapshot.meshConfig);
  return create(ClusterSchema, {
    name: PASSTHROUGH_CLUSTER,
    ...discovery,
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
    circuitBreakers: circuitBreakersOf({}),
    typedExtensionProtocolOptions: protocolOptionsOf('client', undefined, http1Options(view.proxyHeaders)),
    ...(introducesInMeshOnly(view.proxyHeaders) ? { metadata: { filterMetadata: { istio: { external: true } } } } : {}),
  });
}

/** Connections come with the address that they were going to. */
export function isIntercepted({ interception }: ProxyView): boolean {
  return interception !== undefined;
}

/** Calls of unknown hosts may go where they were going. Without interception that is the host that they name. */
export function hasPassthrough(view: ProxyView): boolean {
  return view.type === 'sidecar' && (isIntercepted(view) || view.scope.outboundMode === 'ALLOW_ANY');
}

function inboundRecipe(
  inbound: InboundPort,
  { snapshot, proxyHeaders, interception }: ProxyView,
): ResourceRecipe<Cluster> {
  const { meshConfig } = snapshot;
  const name = inboundClusterName(inbound.port);
  const hosts = inbound.services.map(({ hostname }) => hostname);
  const settings = stableJson({
    pool: inbound.pool ?? {},
    keepalive: meshConfig.tcpKeepalive ?? {},
    preservesCase: proxyHeaders.preserveHttp1HeaderCase === true,
    countedAs: inboundStatName(meshConfig.inboundClusterStatName, inbound),
    intercepted: interception && [
      interception.key,
      inbound.goesOn,
      interception.ownAddresses.includes(inbound.appAddress),
    ],
  });
  return {
    name,
    key: [name, inbound.appAddress, inbound.appPort, inbound.protocol, inbound.kind, settings, ...hosts].join('/'),
    build: () => buildInboundCluster(inbound, meshConfig, proxyHeaders, interception),
  };
}

function fixedRecipe(name: string, build: () => Cluster): ResourceRecipe<Cluster> {
  return { name, key: name, build };
}

function passthroughRecipe(view: ProxyView): ResourceRecipe<Cluster> {
  const where = isIntercepted(view) ? 'intercepted' : view.snapshot.hashes.settings;
  const key = `${where}/${clusterHeadersKey(view.proxyHeaders)}`;
  return {
    ...fixedRecipe(PASSTHROUGH_CLUSTER, () => buildPassthroughCluster(view)),
    key: `${PASSTHROUGH_CLUSTER}/${key}`,
  };
}

/** Where requests of tunnels to ports of HTTP come back to be routed. */
function forwardProxyRecipe(ip: string, port: number): ResourceRecipe<Cluster> {
  const name = forwardProxyClusterName(port);
  const build = () =>
    create(ClusterSchema, {
      name,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
      circuitBreakers: circuitBreakersOf({}),
      loadAssignment: {
        clusterName: name,
        endpoints: [
          { lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address: endpointAddress(ip, port) } } }] },
        ],
      },
    });
  return { name, key: `${name}/${ip}`, build };
}

/** Those of the sidecar, and of its Sidecar resource. */
function forwardProxyRecipes(view: ProxyView): ResourceRecipe<Cluster>[] {
  if (view.type !== 'sidecar' || isIntercepted(view)) return [];
  const own = view.ownOutbound.filter(({ forwardProxy, port }) => forwardProxy && port !== FORWARD_PROXY_PORT);
  return [
    forwardProxyRecipe(ownLoopback(view.address), FORWARD_PROXY_PORT),
    ...own.map(({ ip, port }) => forwardProxyRecipe(ip, port)),
  ];
}

/** The clusters of a view that are not outbound ones: the same for all replicas of a workload. */
export function localClusterPart(view: ProxyView): ResourcePart<Cluster> {
  const recipes = [
    fixedRecipe(BLACK_HOLE_CLUSTER, buildBlackHoleCluster),
    ...view.inboundPorts.map((inbound) => inboundRecipe(inbound, view)),
  ];
  recipes.push(...forwardProxyRecipes(view), ...sniClusterRecipes(view));
  if (hasPassthrough(view)) recipes.push(passthroughRecipe(view));
  const { interception, proxyHeaders } = view;
  if (interception !== undefined) {
    const key = `${INBOUND_PASSTHROUGH_CLUSTER}/${interception.key}/${clusterHeadersKey(proxyHeaders)}`;
    const build = () => buildInboundPassthroughCluster(interception, proxyHeaders);
    recipes.push({ name: INBOUND_PASSTHROUGH_CLUSTER, key, build });
  }
  return { key: ['local', ...recipes.map(({ key }) => key)].join(' '), list: () => ({ recipes, problems: [] }) };
}
