// Build: the clusters of a proxyless gRPC client and their endpoints: a sidecar's, with the fields that gRPC acts on (gRFCs
// A27, A29, A32, A37, A42, A50), and no cluster of a kind that it would refuse.

import { create } from '@bufbuild/protobuf';
import type { TrafficPolicy } from '@lateen/istio-config';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  Cluster_RingHashLbConfigSchema,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ConfigSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { NO_CREDENTIALS } from '../../resolve/credentials.js';
import { policyForPort } from '../../resolve/destination-rules.js';
import type { ClientPlace } from '../../resolve/locality/client-place.js';
import { endpointPart, entryAssignment } from '../clusters/endpoints.js';
import { goesWhereRequestsSay } from '../clusters/forward-hosts.js';
import {
  type ClientTraits,
  type OutboundCluster,
  outboundClusterPart,
  outboundClusters,
} from '../clusters/outbound-clusters.js';
import { BLACK_HOLE_CLUSTER } from '../names.js';
import type { RecipeList, ResourcePart, ResourceRecipe } from '../recipe.js';
import { grpcMutualTls } from './grpc-mutual-tls.js';
import { unsupportedForGrpc } from './grpc-problems.js';

const TRAITS = { exchanges: false, detects: false, intercepted: false, credentials: NO_CREDENTIALS, proxyHeaders: {} };

/** Names and policies of clusters are the same wherever the client is; their endpoints are not. */
function traitsAt(place: ClientPlace): ClientTraits {
  return { ...TRAITS, place };
}

function policyOf(scope: ClientScope, { service, subset, port }: OutboundCluster): TrafficPolicy {
  return policyForPort(scope.destinationRule(service), subset, port.port);
}

/** The one name that a client is to resolve; undefined where there is none, or more than one. */
function resolvedName(scope: ClientScope, cluster: OutboundCluster): LbEndpoint | undefined {
  const { resolution } = cluster.service;
  if (resolution === 'EDS' || goesWhereRequestsSay(cluster.service, false)) return undefined;
  const [only, second] = entryAssignment(scope.snapshot, cluster).endpoints.flatMap(({ lbEndpoints }) => lbEndpoints);
  return second === undefined ? only : undefined;
}

/** Why calls are refused rather than made in another way than the configuration says; undefined where they are not. */
function refusalOf(scope: ClientScope, cluster: OutboundCluster): string | undefined {
  const { service, tlsFault } = cluster;
  const { tls, proxyProtocol } = policyOf(scope, cluster);
  if (tlsFault !== undefined) return tlsFault;
  if (proxyProtocol !== undefined) return 'proxyProtocol is not for them';
  if (tls?.mode === 'SIMPLE' || tls?.mode === 'MUTUAL') return `tls.mode ${tls.mode} is not for them`;
  if (service.resolution !== 'EDS' && resolvedName(scope, cluster) === undefined) {
    return 'they resolve one name for each destination, and nothing else';
  }
  return undefined;
}

/** Rings by XXHash, and in turn: nothing else is taken by all of gRPC's libraries. */
function loadBalancing({ lbPolicy, lbConfig }: Cluster): Pick<Cluster, 'lbPolicy' | 'lbConfig'> {
  if (lbPolicy !== Cluster_LbPolicy.RING_HASH && lbPolicy !== Cluster_LbPolicy.MAGLEV) {
    return { lbPolicy: Cluster_LbPolicy.ROUND_ROBIN, lbConfig: { case: undefined } };
  }
  const value = lbConfig.case === 'ringHashLbConfig' ? lbConfig.value : create(Cluster_RingHashLbConfigSchema);
  return { lbPolicy: Cluster_LbPolicy.RING_HASH, lbConfig: { case: 'ringHashLbConfig', value } };
}

function byAds(serviceName: string) {
  return {
    clusterDiscoveryType: { case: 'type' as const, value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      serviceName,
      edsConfig: create(ConfigSourceSchema, { configSourceSpecifier: { case: 'ads', value: {} } }),
    },
  };
}

function byName(name: string, endpoint: LbEndpoint) {
  return {
    clusterDiscoveryType: { case: 'type' as const, value: Cluster_DiscoveryType.LOGICAL_DNS },
    loadAssignment: { clusterName: name, endpoints: [{ locality: {}, lbEndpoints: [endpoint] }] },
  };
}

function grpcCluster(scope: ClientScope, cluster: OutboundCluster): Cluster {
  const { name, service } = cluster;
  const { tls } = policyOf(scope, cluster);
  const message = cluster.build();
  const maxRequests = message.circuitBreakers?.thresholds[0]?.maxRequests;
  const resolved = resolvedName(scope, cluster);
  return create(ClusterSchema, {
    name,
    ...(resolved === undefined ? byAds(name) : byName(name, resolved)),
    ...loadBalancing(message),
    circuitBreakers: { thresholds: [{ maxRequests }] },
    transportSocket: tls?.mode === 'ISTIO_MUTUAL' ? grpcMutualTls(scope.snapshot, service, tls) : undefined,
    metadata: message.metadata,
  });
}

/** Calls of a host that its rule makes something of that gRPC does not do. */
function policyProblems(scope: ClientScope, cluster: OutboundCluster): readonly Problem[] {
  const rule = scope.destinationRule(cluster.service);
  const subject =
    rule === undefined
      ? `${cluster.service.kind}/${cluster.service.namespace}/${cluster.service.name}`
      : `DestinationRule/${rule.namespace}/${rule.name}`;
  const refusal = refusalOf(scope, cluster);
  if (refusal !== undefined) {
    return [unsupportedForGrpc(subject, `calls by ${cluster.name} end as UNAVAILABLE: ${refusal}`)];
  }
  const { loadBalancer, outlierDetection, connectionPool } = policyOf(scope, cluster);
  const { http2MaxRequests: _acted, ...otherLimits } = connectionPool?.http ?? {};
  const effects = [
    ...(loadBalancer?.consistentHash?.maglev === undefined ? [] : ['a ring takes the place of Maglev']),
    ...(loadBalancer?.simple === 'LEAST_REQUEST' || loadBalancer?.simple === 'RANDOM'
      ? [`endpoints are taken in turn, not by ${loadBalancer.simple}`]
      : []),
    ...(loadBalancer?.warmup === undefined && loadBalancer?.warmupDurationSecs === undefined
      ? []
      : ['new endpoints get their whole share at once']),
    ...(outlierDetection === undefined ? [] : ['outlierDetection does nothing there']),
    ...(cluster.healthCheck === undefined ? [] : ['HealthChecks are not made there']),
    ...(connectionPool?.tcp === undefined && Object.keys(otherLimits).length === 0
      ? []
      : ['of connectionPool only http.http2MaxRequests counts']),
  ];
  return effects.map((effect) => unsupportedForGrpc(subject, effect));
}

function grpcClusters(scope: ClientScope, place: ClientPlace): readonly OutboundCluster[] {
  return [...outboundClusters(scope, traitsAt(place)).byName.values()].filter(({ port }) => port.http);
}

/** Without endpoints: calls fail. */
function emptyCluster(name: string): ResourceRecipe<Cluster> {
  const build = () => create(ClusterSchema, { name, ...byAds(name), lbPolicy: Cluster_LbPolicy.ROUND_ROBIN });
  return { name, key: `grpc-empty/${name}`, build };
}

function listClusters(scope: ClientScope, place: ClientPlace): RecipeList<Cluster> {
  const clusters = grpcClusters(scope, place);
  const recipes = clusters.map((cluster) =>
    refusalOf(scope, cluster) === undefined
      ? { name: cluster.name, key: `grpc/${cluster.key}`, build: () => grpcCluster(scope, cluster) }
      : emptyCluster(cluster.name),
  );
  return {
    recipes: [...recipes, emptyCluster(BLACK_HOLE_CLUSTER)],
    problems: clusters.flatMap((cluster) => policyProblems(scope, cluster)),
  };
}

/** The clusters of a scope, and one that leads nowhere. */
export function grpcClusterPart(scope: ClientScope, place: ClientPlace): ResourcePart<Cluster> {
  const { key } = outboundClusterPart(scope, traitsAt(place));
  return { key: `grpc/${key}`, list: () => listClusters(scope, place) };
}

/** A client refuses all endpoints where an address is there twice. */
function withoutRepetition(assignment: ClusterLoadAssignment): ClusterLoadAssignment {
  const seen = new Set<string>();
  const isNew = ({ hostIdentifier }: LbEndpoint) => {
    const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
    if (address?.case !== 'socketAddress') return false;
    const text = `${address.value.address}:${address.value.portSpecifier.value}`;
    const isFirst = !seen.has(text);
    seen.add(text);
    return isFirst;
  };
  const endpoints = assignment.endpoints.map((group) => ({ ...group, lbEndpoints: group.lbEndpoints.filter(isNew) }));
  return { ...assignment, endpoints };
}

function emptyAssignment(name: string): ResourceRecipe<ClusterLoadAssignment> {
  const build = () => create(ClusterLoadAssignmentSchema, { clusterName: name });
  return { name, key: `grpc-empty/${name}`, build };
}

/** The endpoints of the clusters that discover them. */
export function grpcEndpointPart(scope: ClientScope, place: ClientPlace): ResourcePart<ClusterLoadAssignment> {
  const part = endpointPart(scope, traitsAt(place));
  return {
    key: `grpc/${part.key}`,
    list: () => {
      const clusters = grpcClusters(scope, place);
      const refused = clusters.filter((cluster) => refusalOf(scope, cluster) !== undefined).map(({ name }) => name);
      const isServed = new Set(clusters.map(({ name }) => name));
      for (const name of refused) isServed.delete(name);
      const recipes = part
        .list()
        .recipes.filter(({ name }) => isServed.has(name))
        .map(({ name, key, build }) => ({ name, key: `grpc/${key}`, build: () => withoutRepetition(build()) }));
      return { recipes: [...recipes, ...[...refused, BLACK_HOLE_CLUSTER].map(emptyAssignment)], problems: [] };
    },
  };
}
