// Build: a cluster for each visible service port and each of its subsets.

import { create, type JsonObject } from '@bufbuild/protobuf';
import type { Subset, TrafficPolicy } from '@lateen/istio-config';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_TransportSocketMatchSchema,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { NamedResource, Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { type EffectiveDestinationRule, policyForPort } from '../../resolve/destination-rules.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { outboundClusterName, sniOf } from '../names.js';
import { circuitBreakersOf, lbPolicyOf, protocolOptionsOf, unsupportedSettings } from './cluster-policy.js';
import { rawBuffer, spiffeIds, upstreamMutualTls } from './tls-context.js';

/** An outbound cluster and what its endpoints are chosen by. */
export interface OutboundCluster {
  readonly name: string;
  readonly service: MeshService;
  readonly port: MeshPort;
  /** Undefined for the whole service. */
  readonly subset: Subset | undefined;
  readonly message: Cluster;
  /** It has no endpoints from discovery: calls are refused on purpose. */
  readonly closed: boolean;
}

export interface OutboundClusters {
  /** By name. */
  readonly byName: ReadonlyMap<string, OutboundCluster>;
  readonly clusters: readonly NamedResource<Cluster>[];
  readonly problems: readonly Problem[];
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Whom a cluster leads to, for metrics: in cluster metadata `istio`. */
export function serviceMetadata(services: readonly MeshService[]): JsonObject[] {
  return services.map(({ hostname, name, namespace }) => ({ host: hostname, name, namespace }));
}

function istioMetadata(
  service: MeshService,
  port: MeshPort,
  subset: Subset | undefined,
  rule: EffectiveDestinationRule | undefined,
): JsonObject {
  const metadata: JsonObject = { services: serviceMetadata([service]), default_original_port: port.port };
  if (rule !== undefined) {
    metadata.config = `/apis/networking.istio.io/v1/namespaces/${rule.namespace}/destination-rule/${rule.name}`;
  }
  if (subset !== undefined) metadata.subset = subset.name;
  return metadata;
}

/** TLS toward the service: what the rule says, else mutual TLS with those endpoints whose sidecar takes it. */
function transportOf(scope: ClientScope, service: MeshService, policy: TrafficPolicy, sni: string) {
  const { tls } = policy;
  const { snapshot } = scope;
  if (tls?.mode === 'DISABLE') return {};
  const uris = tls?.subjectAltNames?.length ? tls.subjectAltNames : spiffeIds(snapshot, service.workloads);
  if (tls?.mode === 'ISTIO_MUTUAL') return { transportSocket: upstreamMutualTls(snapshot, tls.sni || sni, uris) };
  if (snapshot.meshConfig.enableAutoMtls === false) return {};
  return {
    transportSocketMatches: [
      create(Cluster_TransportSocketMatchSchema, {
        name: 'tlsMode-istio',
        match: { tlsMode: 'istio' },
        transportSocket: upstreamMutualTls(snapshot, sni, uris),
      }),
      create(Cluster_TransportSocketMatchSchema, {
        name: 'tlsMode-disabled',
        match: {},
        transportSocket: rawBuffer(),
      }),
    ],
  };
}

function buildCluster(
  scope: ClientScope,
  service: MeshService,
  port: MeshPort,
  subset: Subset | undefined,
  rule: EffectiveDestinationRule | undefined,
): OutboundCluster {
  const policy = policyForPort(rule, subset, port.port);
  const name = outboundClusterName(port.port, subset?.name ?? '', service.hostname);
  const closed = policy.tls?.mode === 'SIMPLE' || policy.tls?.mode === 'MUTUAL';
  const connectTimeout =
    durationOfText(policy.connectionPool?.tcp?.connectTimeout) ??
    durationOfText(scope.snapshot.meshConfig.connectTimeout) ??
    durationOfMs(CONNECT_TIMEOUT_MS);
  const discovery = closed
    ? {}
    : {
        edsClusterConfig: {
          serviceName: name,
          edsConfig: {
            resourceApiVersion: ApiVersion.V3,
            configSourceSpecifier: { case: 'ads' as const, value: {} },
          },
        },
        ...transportOf(scope, service, policy, sniOf(port.port, subset?.name ?? '', service.hostname)),
      };
  const message = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: closed ? Cluster_DiscoveryType.STATIC : Cluster_DiscoveryType.EDS },
    connectTimeout,
    lbPolicy: lbPolicyOf(policy),
    circuitBreakers: circuitBreakersOf(policy.connectionPool),
    typedExtensionProtocolOptions: protocolOptionsOf(policy.connectionPool),
    metadata: { filterMetadata: { istio: istioMetadata(service, port, subset, rule) } },
    ...discovery,
  });
  return { name, service, port, subset, message, closed };
}

function policyProblems(rule: EffectiveDestinationRule): Problem[] {
  const policies = [rule.trafficPolicy, ...rule.subsets.map((subset) => subset.trafficPolicy)];
  const levels = policies.flatMap((policy) =>
    policy === undefined ? [] : [policy, ...(policy.portLevelSettings ?? [])],
  );
  return levels.flatMap(unsupportedSettings).map(({ code, message }) => ({
    code,
    severity: 'warning',
    subject: `DestinationRule/${rule.namespace}/${rule.name}`,
    message,
  }));
}

function build(scope: ClientScope): OutboundClusters {
  const byName = new Map<string, OutboundCluster>();
  const problems: Problem[] = [];
  for (const service of scope.services) {
    const rule = scope.destinationRule(service);
    if (rule !== undefined) problems.push(...policyProblems(rule));
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])]) {
        const cluster = buildCluster(scope, service, port, subset, rule);
        byName.set(cluster.name, cluster);
      }
    }
  }
  const clusters = [...byName.values()].map(({ name, message }) => ({ name, message }));
  return { byName, clusters, problems };
}

const results = new WeakMap<ClientScope, OutboundClusters>();

/** The outbound clusters of a scope; built once for all proxies that share it. */
export function outboundClusters(scope: ClientScope): OutboundClusters {
  let result = results.get(scope);
  if (result === undefined) {
    result = build(scope);
    results.set(scope, result);
  }
  return result;
}
