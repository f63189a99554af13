// Build: a cluster for each visible service port and each of its subsets, once for all proxies that see the same.

import { create } from '@bufbuild/protobuf';
import type { Subset, TrafficPolicy } from '@lateen/istio-config';
import {
  type Cluster,
  Cluster_TransportSocketMatchSchema,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { MeshSnapshot, Problem } from '../../model.js';
import { clusterHeadersKey, type ProxyHeaders } from '../../proxy-headers.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { type Credentials, credentialsUnder, NO_CREDENTIALS } from '../../resolve/credentials.js';
import { type EffectiveDestinationRule, policyForPort } from '../../resolve/destination-rules.js';
import type { EffectiveHealthCheck } from '../../resolve/lateen/health-checks.js';
import { type ClientPlace, NOWHERE } from '../../resolve/locality/client-place.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { clusterMetadataExchange } from '../listeners/mesh-filters.js';
import { outboundClusterName, sniOf } from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { type CalledHost, clientTlsSocket, faultOfClientTls, originatesTls } from '../tls/client-tls-context.js';
import { withProxyHeader } from '../tls/proxy-protocol.js';
import {
  type ChosenTls,
  callsNameEndpoints,
  chosenTls,
  chosenTlsKey,
  closedDiscovery,
  discoveryOf,
} from './cluster-discovery.js';
import { clusterMetadata } from './cluster-metadata.js';
import { circuitBreakersOf, connectionOptionsOf, loadBalancingOf } from './cluster-policy.js';
import { type CheckedCluster, healthOf, panicConflict, uncheckedCluster } from './health-check.js';
import { arrangementOf, isLocalityWeighted, type LocalityArrangement } from './locality-balancing.js';
import { outboundStatName } from './stat-names.js';
import {
  ANY_HTTP_CLIENT_ALPN,
  HTTP_CLIENT_ALPN,
  HTTP2_CLIENT_ALPN,
  PLAIN_TCP_CLIENT_ALPN,
  rawBuffer,
  spiffeIds,
  TCP_CLIENT_ALPN,
  upstreamMutualTls,
} from './tls-context.js';
import { http1Options, protocolOptionsOf, type UpstreamProtocol, upstreamProtocolOf } from './upstream-protocol.js';

/** An outbound cluster and what its endpoints are chosen by. */
export interface OutboundCluster extends ResourceRecipe<Cluster> {
  readonly service: MeshService;
  readonly port: MeshPort;
  /** Undefined for the whole service. */
  readonly subset: Subset | undefined;
  /** How its endpoints are put into priorities, or weighed, for this client; undefined: all alike. */
  readonly arrangement: LocalityArrangement | undefined;
  /** It has no endpoints from discovery: calls are refused on purpose. */
  readonly closed: boolean;
  /** Why that is. */
  readonly tlsFault: string | undefined;
  readonly healthCheck: EffectiveHealthCheck | undefined;
}

export interface OutboundClusters {
  /** By name. */
  readonly byName: ReadonlyMap<string, OutboundCluster>;
  readonly problems: readonly Problem[];
}

const CONNECT_TIMEOUT_MS = 10_000;

/** SPIFFE ids that a service's certificate may have: of its accounts, and those that its ServiceEntry names. */
export function serverNames(snapshot: MeshSnapshot, { accounts, subjectAltNames }: MeshService): readonly string[] {
  const declared = subjectAltNames.filter((name) => name.startsWith('spiffe://'));
  return [...new Set([...spiffeIds(snapshot, accounts), ...declared])];
}

/** TLS toward the service: what the rule says, else mutual TLS with those endpoints whose sidecar takes it. */
function transportOf(
  scope: ClientScope,
  service: MeshService,
  policy: TrafficPolicy,
  sni: string,
  alpn: readonly string[],
  called: CalledHost,
  chosen: ChosenTls | undefined,
) {
  const { tls } = policy;
  const { snapshot } = scope;
  if (tls?.mode === 'DISABLE') return {};
  if (originatesTls(tls)) return { transportSocket: clientTlsSocket(tls, called, snapshot.meshConfig) };
  const uris = tls?.subjectAltNames?.length ? tls.subjectAltNames : serverNames(snapshot, service);
  if (tls?.mode === 'ISTIO_MUTUAL') return { transportSocket: upstreamMutualTls(snapshot, tls.sni || sni, uris, alpn) };
  if (service.external || snapshot.meshConfig.enableAutoMtls === false) return {};
  if (chosen !== undefined) {
    return chosen === 'mutual' ? { transportSocket: upstreamMutualTls(snapshot, sni, uris, alpn) } : {};
  }
  return {
    transportSocketMatches: [
      create(Cluster_TransportSocketMatchSchema, {
        name: 'tlsMode-istio',
        match: { tlsMode: 'istio' },
        transportSocket: upstreamMutualTls(snapshot, sni, uris, alpn),
      }),
      create(Cluster_TransportSocketMatchSchema, {
        name: 'tlsMode-disabled',
        match: {},
        transportSocket: rawBuffer(),
      }),
    ],
  };
}

const HTTP_ALPN: Readonly<Record<UpstreamProtocol, readonly string[]>> = {
  'http/1.1': HTTP_CLIENT_ALPN,
  'http/2': HTTP2_CLIENT_ALPN,
  client: ANY_HTTP_CLIENT_ALPN,
};

/** Connections of mere bytes go there, perhaps among others. */
function takesTcp({ tcp, protocol }: MeshPort): boolean {
  return tcp || protocol === 'auto';
}

/**
 * Where a port says no protocol, what is offered is for TCP: for HTTP a sidecar offers what says so. Where its clients cannot know what the server
 * speaks, it is HTTP.
 */
function clientAlpn(
  port: MeshPort,
  protocol: UpstreamProtocol,
  { exchanges, detects }: ClientTraits,
): readonly string[] {
  if (!port.tcp && !(port.protocol === 'auto' && (exchanges || detects))) return HTTP_ALPN[protocol];
  return exchanges ? TCP_CLIENT_ALPN : PLAIN_TCP_CLIENT_ALPN;
}

/** What clusters depend on of the proxy, beside its scope. */
export interface ClientTraits {
  /** It can tell its peers of TCP who it is (`istio.*` filters). */
  readonly exchanges: boolean;
  /** Its clients are applications: they choose the protocol where nothing else says it. */
  readonly detects: boolean;
  /** Its connections come with their original destination. */
  readonly intercepted: boolean;
  /** The Secrets that it may use. */
  readonly credentials: Credentials;
  /** Which endpoints are near. */
  readonly place: ClientPlace;
  /** The headers that it sets by itself. */
  readonly proxyHeaders: ProxyHeaders;
}

const SIDECAR: ClientTraits = {
  exchanges: true,
  detects: true,
  intercepted: true,
  credentials: NO_CREDENTIALS,
  place: NOWHERE,
  proxyHeaders: {},
};

/** Whom TLS of its own goes to. */
function calledHost(
  { hostname, subjectAltNames }: MeshService,
  port: MeshPort,
  protocol?: UpstreamProtocol,
): CalledHost {
  return { hostname, http: !port.tcp, http2: protocol === 'http/2' && !port.tcp, subjectAltNames };
}

function outboundCluster(
  scope: ClientScope,
  service: MeshService,
  port: MeshPort,
  subset: Subset | undefined,
  rule: EffectiveDestinationRule | undefined,
  traits: ClientTraits,
): OutboundCluster {
  const policy = policyForPort(rule, subset, port.port);
  const name = outboundClusterName(port.port, subset?.name ?? '', service.hostname);
  const tlsFault = originatesTls(policy.tls)
    ? faultOfClientTls(policy.tls, calledHost(service, port), credentialsUnder(traits.credentials, rule))
    : undefined;
  const closed = tlsFault !== undefined;
  const arrangement = arrangementOf(policy, scope.snapshot.meshConfig, traits.place, service.prefers);
  const { hostname, namespace } = service;
  const calls = { hostname, namespace, port: port.port, subset: subset?.name };
  const healthCheck = closed ? undefined : scope.healthCheck(calls);
  return {
    name,
    // Of the snapshot it reads the settings; a rule's hash tells its subsets and policies too.
    key: [
      name,
      service.identityHash,
      rule?.hash ?? '',
      scope.snapshot.hashes.settings,
      takesTcp(port) && traits.exchanges ? 'exchange' : '',
      port.protocol === 'auto' && traits.detects ? 'detect' : '',
      service.resolution === 'PASSTHROUGH' && traits.intercepted ? 'intercepted' : '',
      chosenTls(scope, service, port, traits.intercepted) ?? '',
      closed ? 'closed' : '',
      // What has its endpoints in itself has them in the client's order.
      arrangement !== undefined && service.resolution !== 'EDS' ? traits.place.key : '',
      healthCheck?.hash ?? '',
      clusterHeadersKey(traits.proxyHeaders),
    ].join('/'),
    service,
    port,
    subset,
    arrangement,
    closed,
    tlsFault,
    healthCheck,
    build: () =>
      buildCluster(scope, { name, service, port, subset, closed, arrangement, healthCheck }, rule, policy, traits),
  };
}

type ClusterToBuild = Pick<
  OutboundCluster,
  'name' | 'service' | 'port' | 'subset' | 'closed' | 'arrangement' | 'healthCheck'
>;

function buildCluster(
  scope: ClientScope,
  { name, service, port, subset, closed, arrangement, healthCheck }: ClusterToBuild,
  rule: EffectiveDestinationRule | undefined,
  policy: TrafficPolicy,
  traits: ClientTraits,
): Cluster {
  const { connectionPool } = policy;
  const { exchanges, detects, intercepted, proxyHeaders } = traits;
  const protocol = upstreamProtocolOf(port.protocol, connectionPool, scope.snapshot.meshConfig, detects);
  const connectTimeout =
    durationOfText(policy.connectionPool?.tcp?.connectTimeout) ??
    durationOfText(scope.snapshot.meshConfig.connectTimeout) ??
    durationOfMs(CONNECT_TIMEOUT_MS);
  const discovery = closed
    ? closedDiscovery()
    : discoveryOf(scope.snapshot, { name, service, port, subset, arrangement }, intercepted);
  const transport = closed
    ? {}
    : {
        ...withProxyHeader(
          transportOf(
            scope,
            service,
            policy,
            sniOf(port.port, subset?.name ?? '', service.hostname),
            clientAlpn(port, protocol, traits),
            calledHost(service, port, protocol),
            chosenTls(scope, service, port, intercepted),
          ),
          policy,
        ),
        ...(takesTcp(port) && exchanges && !originatesTls(policy.tls) ? { filters: [clusterMetadataExchange()] } : {}),
      };
  return create(ClusterSchema, {
    name,
    altStatName: outboundStatName(scope.snapshot.meshConfig.outboundClusterStatName, { service, port, subset }),
    connectTimeout,
    // What goes where calls were going has no endpoints to choose from.
    ...(discovery.lbPolicy === undefined ? loadBalancingOf(policy) : {}),
    circuitBreakers: circuitBreakersOf(policy),
    upstreamConnectionOptions: connectionOptionsOf(connectionPool, scope.snapshot.meshConfig),
    ...healthOf(
      policy.outlierDetection,
      isChecked(discovery) ? healthCheck : undefined,
      isLocalityWeighted(policy, scope.snapshot.meshConfig, service.prefers),
      { hostname: service.hostname, http2: !port.tcp && protocol === 'http/2', tls: tlsKind(transport, policy) },
    ),
    typedExtensionProtocolOptions: port.tcp
      ? protocolOptionsOf('http/1.1', connectionPool)
      : protocolOptionsOf(protocol, connectionPool, http1Options(proxyHeaders)),
    metadata: { filterMetadata: { istio: clusterMetadata({ service, port, subset }, rule, policy, proxyHeaders) } },
    ...discovery,
    ...transport,
  });
}

/** Where calls say where they go there is nobody to ask before. */
function isChecked({ lbPolicy }: ReturnType<typeof discoveryOf>): boolean {
  return lbPolicy === undefined;
}

function tlsKind(transport: Partial<Cluster>, { tls }: TrafficPolicy): CheckedCluster['tls'] {
  if (transport.transportSocket === undefined && transport.transportSocketMatches === undefined) return 'none';
  return originatesTls(tls) ? 'own' : 'mesh';
}

/** Of connections only the client's address is hashed, as in Istio: otherwise a ring or Maglev table is asked by a random number. */
function unhashedPort(rule: EffectiveDestinationRule, service: MeshService, port: MeshPort): Problem {
  return {
    code: 'unsupported-load-balancer',
    severity: 'warning',
    subject: `DestinationRule/${rule.namespace}/${rule.name}`,
    message: `loadBalancer.consistentHash hashes nothing of TCP connections (${service.hostname}, port ${port.port}): they go to random endpoints; write useSourceIp`,
  };
}

function hashesOnlyRequests(loadBalancer: TrafficPolicy['loadBalancer']): boolean {
  return loadBalancer?.consistentHash !== undefined && loadBalancer.consistentHash.useSourceIp !== true;
}

/** Calls are refused rather than made in another way than the rule says. */
function closedCluster(rule: EffectiveDestinationRule, { name, tlsFault }: OutboundCluster): Problem {
  return {
    code: 'missing-credential',
    severity: 'warning',
    subject: `DestinationRule/${rule.namespace}/${rule.name}`,
    message: `calls by ${name} are answered 503: ${tlsFault}`,
  };
}

function resolveClusters(scope: ClientScope, traits: ClientTraits): OutboundClusters {
  const byName = new Map<string, OutboundCluster>();
  const problems: Problem[] = [];
  for (const service of scope.destinations) {
    const rule = scope.destinationRule(service);
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])]) {
        const cluster = outboundCluster(scope, service, port, subset, rule, traits);
        byName.set(cluster.name, cluster);
        if (rule !== undefined && cluster.closed) problems.push(closedCluster(rule, cluster));
        const { loadBalancer, outlierDetection } = policyForPort(rule, subset, port.port);
        problems.push(...checkProblems(cluster, outlierDetection, traits));
        if (rule !== undefined && port.tcp && hashesOnlyRequests(loadBalancer)) {
          problems.push(unhashedPort(rule, service, port));
        }
      }
    }
  }
  return { byName, problems };
}

function checkProblems(
  { name, service, healthCheck }: OutboundCluster,
  outliers: TrafficPolicy['outlierDetection'],
  { intercepted }: ClientTraits,
): readonly Problem[] {
  if (healthCheck === undefined) return [];
  if (callsNameEndpoints(service, intercepted)) return [uncheckedCluster(healthCheck, service.hostname)];
  const conflict = panicConflict(healthCheck, outliers, name);
  return conflict === undefined ? [] : [conflict];
}

function traitsKey({ exchanges, detects, intercepted, credentials, place, proxyHeaders }: ClientTraits): string {
  return `${exchanges}/${detects}/${intercepted}/${credentials.key}/${place.key}/${clusterHeadersKey(proxyHeaders)}`;
}

const results = new WeakMap<ClientScope, Map<string, OutboundClusters>>();

/**
 * The outbound clusters of a scope, as recipes; worked out once for all proxies that share it. Their names are the same
 * for all of them.
 */
export function outboundClusters(scope: ClientScope, traits = SIDECAR): OutboundClusters {
  const ofScope = results.get(scope) ?? new Map<string, OutboundClusters>();
  results.set(scope, ofScope);
  const key = traitsKey(traits);
  const result = ofScope.get(key) ?? resolveClusters(scope, traits);
  ofScope.set(key, result);
  return result;
}

/** The outbound clusters of a scope: a cluster is made again when its service, its rule or MeshConfig changes. */
export function outboundClusterPart(scope: ClientScope, traits = SIDECAR): ResourcePart<Cluster> {
  const { identities, destinationRules, healthChecks } = scope.hashes();
  const { settings, credentials } = scope.snapshot.hashes;
  const secrets = traits.credentials === NO_CREDENTIALS ? '' : credentials;
  return {
    key: [
      'outbound',
      scope.namespace,
      identities,
      destinationRules,
      healthChecks,
      settings,
      traitsKey(traits),
      secrets,
      chosenTlsKey(scope, traits.intercepted),
    ].join('/'),
    list: () => {
      const { byName, problems } = outboundClusters(scope, traits);
      return { recipes: [...byName.values()], problems };
    },
  };
}
