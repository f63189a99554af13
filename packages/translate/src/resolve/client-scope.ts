// Resolve: what all proxies of one namespace with the same labels see as clients: services, policies, rules, telemetry.

import type { ConfigObject } from '@lateen/istio-config';
import { resolveShortHost } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, ProxyType, StringMap } from '../model.js';
import { once } from '../once.js';
import { configHash, configsOf } from '../snapshot.js';
import { stableHash, stableJson } from '../stable-hash.js';
import { type AccessLogsByMode, resolveAccessLogs } from './access-logging.js';
import { type EffectiveAuthorization, resolveAuthorization } from './authorization/authorization-policies.js';
import { type EffectiveAuthorizer, resolveAuthorizer } from './authorization/authorizers.js';
import { delegation } from './delegation/delegation.js';
import {
  type DestinationRuleClient,
  type EffectiveDestinationRule,
  resolveDestinationRule,
} from './destination-rules.js';
import { type AuditCollector, auditCollectors, collectorProblems } from './lateen/audit-logs.js';
import {
  type CheckedCalls,
  type EffectiveHealthCheck,
  resolveHealthCheck,
  visibleHealthChecks,
} from './lateen/health-checks.js';
import { type LimitService, limitServiceProblems, resolveLimitServices } from './lateen/limit-services.js';
import { type EffectiveRateLimit, resolveRateLimits, unprovenClaims } from './lateen/rate-limits.js';
import { isExportedTo, isRuleExportedTo, type MeshService, meshIndex, oncePerSnapshot } from './mesh-index.js';
import { destinationsOf, onNode, visibleServices } from './scoped-services.js';
import { atGateway, hasSockets, leftOutSockets } from './services/edge-sockets.js';
import { type OutboundMode, resolveSidecarScope, type SidecarScope } from './sidecar-scope.js';
import { applicableTelemetries, type MetricsByMode, resolveMetrics } from './telemetry.js';
import { type EffectiveTokenRule, resolveTokenRules } from './tokens/request-authentication.js';
import {
  boundGateways,
  type EffectiveVirtualService,
  indexByHost,
  MESH_GATEWAY,
  resolveVirtualServices,
  type VirtualServiceLookup,
} from './virtual-services.js';

/** What a scope is made of, as hashes: the keys of resources are made of those that they read. */
export interface ScopeHashes {
  /** The visible services as declared. */
  readonly declarations: string;
  /** The visible services and the service accounts behind them. */
  readonly identities: string;
  /** The visible DestinationRules. */
  readonly destinationRules: string;
  /** The visible HealthChecks; empty where there are none. */
  readonly healthChecks: string;
  /** Which subsets there are, and by which rules; what routes may lead to, what is said where they do not, and what is hashed. */
  readonly subsets: string;
  /** The visible VirtualServices of the `mesh` gateway. */
  readonly meshRoutes: string;
  /** The visible VirtualServices of all other gateways. */
  readonly gatewayRoutes: string;
}

/**
 * A client's part of the mesh. Shared by all proxies for which it is the same. Everything is worked out when it is first
 * asked for: of a snapshot that changes one thing, most is not.
 */
export interface ClientScope {
  readonly snapshot: MeshSnapshot;
  readonly namespace: string;
  /** Only the labels that some configuration selects by. */
  readonly labels: StringMap;
  /** The Sidecar resource that narrows it; undefined where all is seen that is exported to the namespace. */
  readonly sidecar: SidecarScope | undefined;
  /** What happens to calls of hosts that are not seen. */
  readonly outboundMode: OutboundMode;
  /** Services that may be called, with the ports that may, by hostname. */
  readonly services: readonly MeshService[];
  readonly serviceByHost: ReadonlyMap<string, MeshService>;
  /** These, and the ones that VirtualServices lead to: what there are clusters for. */
  readonly destinations: readonly MeshService[];
  readonly destinationByHost: ReadonlyMap<string, MeshService>;
  destinationRule(service: MeshService): EffectiveDestinationRule | undefined;
  healthCheck(calls: CheckedCalls): EffectiveHealthCheck | undefined;
  /** Rules of the `mesh` gateway for calls to a port; without a port, for calls to any. */
  meshRoutes(port?: number): VirtualServiceLookup;
  /** Rules of one Gateway (`NAMESPACE/NAME`), oldest first. */
  gatewayRoutes(gateway: string): readonly EffectiveVirtualService[];
  readonly metrics: MetricsByMode;
  readonly accessLogs: AccessLogsByMode;
  /** Who takes records of audits. */
  readonly auditCollectors: readonly AuditCollector[];
  /** Hash of metrics and access logs. */
  readonly telemetryHash: string;
  /** Rules of RateLimit resources for what the workload or gateway takes. */
  readonly rateLimits: readonly EffectiveRateLimit[];
  /** Services that are asked about what it takes. */
  readonly limitServices: readonly LimitService[];
  readonly rateLimitHash: string;
  /** Issuers whose tokens the workload or gateway takes. */
  readonly tokenRules: readonly EffectiveTokenRule[];
  readonly tokenRulesHash: string;
  /** Policies about what it takes; all empty where everything is allowed. */
  readonly authorization: EffectiveAuthorization;
  /** Who is asked about the policies with action CUSTOM; undefined where there are none, or nobody can be asked. */
  readonly authorizer: EffectiveAuthorizer | undefined;
  readonly authorizationHash: string;
  hashes(): ScopeHashes;
  /** Warnings about Telemetry, and about kinds that are not acted on. */
  readonly problems: readonly Problem[];
}

type SelectingKind =
  | 'VirtualService'
  | 'DestinationRule'
  | 'Telemetry'
  | 'RateLimit'
  | 'HealthCheck'
  | 'RequestAuthentication'
  | 'AuthorizationPolicy';
type LabelValues = ReadonlyMap<string, ReadonlySet<string>>;

/** The label values that configuration of a kind selects clients by; any others cannot make two clients differ. */
const selectedLabels = oncePerSnapshot((snapshot): Readonly<Record<SelectingKind, LabelValues>> => {
  const collect = (selectors: Iterable<StringMap | undefined>): LabelValues => {
    const values = new Map<string, Set<string>>();
    for (const selector of selectors) {
      for (const [name, value] of Object.entries(selector ?? {})) {
        values.set(name, (values.get(name) ?? new Set()).add(value));
      }
    }
    return values;
  };
  const matches = delegation(snapshot).virtualServices.flatMap(({ spec }) =>
    [...(spec.http ?? []), ...(spec.tcp ?? []), ...(spec.tls ?? [])].flatMap(({ match }) => match ?? []),
  );
  return {
    VirtualService: collect(matches.map(({ sourceLabels }) => sourceLabels)),
    DestinationRule: collect(
      configsOf(snapshot, 'DestinationRule').map(({ spec }) => spec.workloadSelector?.matchLabels),
    ),
    RateLimit: collect(configsOf(snapshot, 'RateLimit').map(({ spec }) => spec.selector?.matchLabels)),
    RequestAuthentication: collect(
      configsOf(snapshot, 'RequestAuthentication').map(({ spec }) => spec.selector?.matchLabels),
    ),
    AuthorizationPolicy: collect(
      configsOf(snapshot, 'AuthorizationPolicy').map(({ spec }) => spec.selector?.matchLabels),
    ),
    HealthCheck: collect(configsOf(snapshot, 'HealthCheck').map(({ spec }) => spec.workloadSelector?.matchLabels)),
    Telemetry: collect(configsOf(snapshot, 'Telemetry').map(({ spec }) => spec.selector?.matchLabels)),
  };
});

function labelsFor(kind: SelectingKind, snapshot: MeshSnapshot, labels: StringMap): StringMap {
  const selected = selectedLabels(snapshot)[kind];
  return Object.fromEntries(Object.entries(labels).filter(([name, value]) => selected.get(name)?.has(value)));
}

/** Scopes made of a snapshot so far, by key. */
const scopesOf = oncePerSnapshot(() => new Map<string, ClientScope>());

/** A Sidecar leaves out VirtualServices of which it takes in no host. */
function isTakenIn({ metadata, spec }: ConfigObject<'VirtualService'>, { sidecar, snapshot }: ClientScope): boolean {
  if (sidecar === undefined) return true;
  const hosts = (spec.hosts ?? []).map((host) => resolveShortHost(host, metadata.namespace, snapshot.clusterDomain));
  return hosts.some((host) => sidecar.takesInHost(host, metadata.namespace));
}

function hashScope(scope: ClientScope): ScopeHashes {
  const { snapshot, namespace, labels, sidecar, destinations } = scope;
  const rules = configsOf(snapshot, 'DestinationRule').filter((rule) => isRuleExportedTo(snapshot, rule, namespace));
  const ruleLabels = labelsFor('DestinationRule', snapshot, labels);
  const checks = visibleHealthChecks(snapshot, namespace);
  const subsets = rules.map(({ metadata, spec }) => [
    metadata.namespace,
    metadata.name,
    spec.host,
    spec.workloadSelector,
    (spec.subsets ?? []).map(({ name }) => name),
    hashedBy(spec),
  ]);
  const visible = delegation(snapshot).virtualServices.filter((rule) => isRuleExportedTo(snapshot, rule, namespace));
  const routes = visible.filter((rule) => isTakenIn(rule, scope));
  const routeLabels = labelsFor('VirtualService', snapshot, labels);
  const isForMesh = (rule: ConfigObject<'VirtualService'>) => boundGateways(rule).includes(MESH_GATEWAY);
  const isForGateways = (rule: ConfigObject<'VirtualService'>) =>
    boundGateways(rule).some((gateway) => gateway !== MESH_GATEWAY);
  return {
    declarations: stableHash([
      scope.services.map(({ declarationHash }) => declarationHash),
      destinations === scope.services ? [] : destinations.map(({ declarationHash }) => declarationHash),
    ]),
    identities: stableHash(destinations.map(({ identityHash }) => identityHash)),
    destinationRules: stableHash([rules.map(configHash), ruleLabels]),
    subsets: stableHash([subsets, ruleLabels]),
    healthChecks:
      checks.length === 0 ? '' : stableHash([checks.map(configHash), labelsFor('HealthCheck', snapshot, labels)]),
    meshRoutes: stableHash([routes.filter(isForMesh).map(configHash), routeLabels, sidecar?.hash]),
    gatewayRoutes: stableHash([routes.filter(isForGateways).map(configHash), routeLabels]),
  };
}

/** Every policy that says by what requests are hashed, at its place; nothing where there is none. */
function hashedBy({ trafficPolicy, subsets = [] }: ConfigObject<'DestinationRule'>['spec']): unknown {
  const policies = [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)];
  const hashes = policies.map((policy) => [
    policy?.loadBalancer,
    policy?.portLevelSettings?.map(({ port, loadBalancer }) => [port, loadBalancer]),
  ]);
  const isAny = policies.some((policy) =>
    [policy, ...(policy?.portLevelSettings ?? [])].some((level) => level?.loadBalancer?.consistentHash !== undefined),
  );
  return isAny ? hashes : undefined;
}

/** The VirtualServices of the mesh that a Sidecar takes in, with the hosts that it takes in. */
function takenIn(
  rules: readonly EffectiveVirtualService[],
  sidecar: SidecarScope | undefined,
  port: number | undefined,
): readonly EffectiveVirtualService[] {
  if (sidecar === undefined) return rules;
  return rules.flatMap((rule) => {
    const hosts = rule.hosts.filter((host) => sidecar.takesInHost(host, rule.namespace, port));
    if (hosts.length === rule.hosts.length) return [rule];
    return hosts.length === 0 ? [] : [{ ...rule, hosts }];
  });
}

function outboundModeOf({ meshConfig }: MeshSnapshot, sidecar: SidecarScope | undefined): OutboundMode {
  const mode = sidecar?.outboundMode ?? meshConfig.outboundTrafficPolicy?.mode;
  return mode === 'REGISTRY_ONLY' ? mode : 'ALLOW_ANY';
}

function byHostname(services: readonly MeshService[]): ReadonlyMap<string, MeshService> {
  return new Map(services.map((service) => [service.hostname, service]));
}

/** One service for each host: where several ServiceEntries name it, the one of the client's own namespace. */
function exportedServices(snapshot: MeshSnapshot, namespace: string): readonly MeshService[] {
  const byHost = new Map<string, MeshService>();
  for (const service of meshIndex(snapshot).services) {
    if (!isExportedTo(service.exportTo, service.namespace, namespace)) continue;
    const before = byHost.get(service.hostname);
    const isNearer = before?.kind === 'ServiceEntry' && before.namespace !== namespace;
    if (before === undefined || (isNearer && service.namespace === namespace)) byHost.set(service.hostname, service);
  }
  return [...byHost.values()];
}

/** One pod of a headless service follows the rule of the service, whose subsets it has no part in, unless one names the pod. */
function ruleFor(snapshot: MeshSnapshot, client: DestinationRuleClient, service: MeshService) {
  const own = resolveDestinationRule(snapshot, client, service);
  if (own !== undefined || service.memberOf === undefined) return own;
  const { hostname } = service.memberOf;
  const shared = resolveDestinationRule(snapshot, client, { hostname, namespace: service.namespace });
  return shared && { ...shared, subsets: [] };
}

function createScope(
  snapshot: MeshSnapshot,
  { namespace, labels, node = '' }: Omit<ScopeClient, 'type'>,
  sidecar: SidecarScope | undefined,
  atEdge: boolean,
): ClientScope {
  const client = { namespace, labels };
  const everywhere = exportedServices(snapshot, namespace).map((service) => onNode(service, node));
  const exported = atEdge ? everywhere.map((service) => atGateway(service, snapshot, namespace)) : everywhere;
  const services = sidecar === undefined ? exported : visibleServices(exported, sidecar);
  const meshRules = once(() => resolveVirtualServices(snapshot, client, new Set([MESH_GATEWAY])));
  const lookups = new Map<number | undefined, VirtualServiceLookup>();
  const lookupFor = (port: number | undefined) => {
    const lookup = lookups.get(port) ?? indexByHost(takenIn(meshRules(), sidecar, port));
    lookups.set(port, lookup);
    return lookup;
  };
  const { rateLimits, externalLimits, problems: rateLimitProblems } = resolveRateLimits(snapshot, client);
  const { limitServices, problems: serviceProblems } = resolveLimitServices(externalLimits, snapshot.clusterDomain);
  const telemetries = applicableTelemetries(snapshot, client);
  const { metrics, problems: metricProblems } = resolveMetrics(telemetries, snapshot.meshConfig);
  const { accessLogs, problems: accessLogProblems } = resolveAccessLogs(telemetries, snapshot.meshConfig);
  const collectors = auditCollectors(accessLogs);
  const authorization = resolveAuthorization(snapshot, client);
  const { authorizer, problems: authorizerProblems } = resolveAuthorizer(snapshot, authorization.CUSTOM);
  const ownCalls = [...limitServices, ...collectors, ...(authorizer === undefined ? [] : [authorizer])];
  const destinations =
    sidecar === undefined
      ? services
      : destinationsOf(
          services,
          exported,
          takenIn(meshRules(), sidecar, undefined),
          sidecar.egressProxy === undefined ? ownCalls : [...ownCalls, sidecar.egressProxy],
          snapshot.clusterDomain,
        );
  const rules = new Map<MeshService, EffectiveDestinationRule | undefined>();
  const routesByGateway = new Map<string, readonly EffectiveVirtualService[]>();
  const { tokenRules, problems: tokenProblems } = resolveTokenRules(snapshot, client);
  const scope: ClientScope = {
    snapshot,
    namespace,
    labels,
    sidecar,
    outboundMode: outboundModeOf(snapshot, sidecar),
    services,
    serviceByHost: byHostname(services),
    destinations,
    destinationByHost: byHostname(destinations),
    destinationRule: (service) => {
      if (!rules.has(service)) rules.set(service, ruleFor(snapshot, client, service));
      return rules.get(service);
    },
    healthCheck: (calls) => resolveHealthCheck(snapshot, client, calls),
    // Ports without an egress listener of their own all follow the same rules.
    meshRoutes: (port) => {
      if (sidecar === undefined || sidecar.ownPorts.size === 0) return lookupFor(undefined);
      return lookupFor(port);
    },
    gatewayRoutes: (gateway) => {
      let routes = routesByGateway.get(gateway);
      if (routes === undefined) {
        routes = resolveVirtualServices(snapshot, client, new Set([gateway]));
        routesByGateway.set(gateway, routes);
      }
      return routes;
    },
    metrics,
    accessLogs,
    auditCollectors: collectors,
    telemetryHash: stableHash([metrics, accessLogs]),
    rateLimits,
    limitServices,
    rateLimitHash: rateLimits.length + limitServices.length === 0 ? '' : stableHash([rateLimits, limitServices]),
    tokenRules,
    tokenRulesHash: tokenRules.length === 0 ? '' : stableHash(tokenRules),
    authorization,
    authorizer,
    authorizationHash: stableHash([
      Object.values(authorization)
        .flat()
        .map(({ policy }) => configHash(policy)),
      authorizer,
    ]),
    hashes: once(() => hashScope(scope)),
    problems: [
      ...metricProblems,
      ...accessLogProblems,
      ...rateLimitProblems,
      ...serviceProblems,
      ...limitServiceProblems(limitServices, byHostname(destinations)),
      ...collectorProblems(collectors, byHostname(destinations)),
      ...tokenProblems,
      ...authorizerProblems,
      ...(tokenRules.length === 0 ? unprovenClaims([...rateLimits, ...externalLimits]) : []),
      ...(atEdge ? leftOutSockets(everywhere, snapshot, namespace) : []),
      ...(sidecar?.problems() ?? []),
    ],
  };
  return scope;
}

/** Who sees the mesh. */
export interface ScopeClient {
  readonly type: ProxyType;
  readonly namespace: string;
  readonly labels: StringMap;
  /** The machine that it is on; empty where there is only one. */
  readonly node?: string;
}

/** The scope of a proxy; the same object for all proxies of the snapshot that see the same. */
export function resolveClientScope(
  snapshot: MeshSnapshot,
  { type, namespace, labels: all, node = '' }: ScopeClient,
): ClientScope {
  const labels: StringMap = {
    ...labelsFor('VirtualService', snapshot, all),
    ...labelsFor('DestinationRule', snapshot, all),
    ...labelsFor('Telemetry', snapshot, all),
    ...labelsFor('RateLimit', snapshot, all),
    ...labelsFor('HealthCheck', snapshot, all),
    ...labelsFor('RequestAuthentication', snapshot, all),
    ...labelsFor('AuthorizationPolicy', snapshot, all),
  };
  // As in Istio, a Sidecar is for sidecars: gateways see everything that is exported to them.
  const sidecar = type === 'sidecar' ? resolveSidecarScope(snapshot, namespace, all) : undefined;
  // Where a client is matters only while there are services that are called on one machine.
  const place = snapshot.services.some(({ nodeLocal }) => nodeLocal) ? node : '';
  // Gateways see services as sidecars do, but for sockets.
  const atEdge = type !== 'sidecar' && hasSockets(meshIndex(snapshot).services);
  const key = stableJson([namespace, labels, sidecar?.name ?? '', place, atEdge]);
  const scopes = scopesOf(snapshot);
  let scope = scopes.get(key);
  if (scope === undefined) {
    scope = createScope(snapshot, { namespace, labels, node: place }, sidecar, atEdge);
    scopes.set(key, scope);
  }
  return scope;
}
