// Resolve: what all proxies of one namespace with the same labels see as clients: services, policies, rules, telemetry.

import type { Kind } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, ProxyType, StringMap } from '../model.js';
import { configsOf } from '../snapshot.js';
import { stableJson } from '../stable-hash.js';
import { type AccessLogsByMode, resolveAccessLogs } from './access-logging.js';
import { type EffectiveDestinationRule, resolveDestinationRule } from './destination-rules.js';
import { isExportedTo, type MeshService, meshIndex, oncePerSnapshot } from './mesh-index.js';
import { applicableTelemetries, type MetricsByMode, resolveMetrics } from './telemetry.js';
import {
  type EffectiveVirtualService,
  indexByHost,
  MESH_GATEWAY,
  resolveVirtualServices,
  type VirtualServiceLookup,
} from './virtual-services.js';

/** A client's part of the mesh. Shared by all proxies for which it is the same; builders remember results by it. */
export interface ClientScope {
  readonly snapshot: MeshSnapshot;
  readonly type: ProxyType;
  readonly namespace: string;
  /** Only the labels that some configuration selects by. */
  readonly labels: StringMap;
  /** Equal keys of one snapshot mean equal scopes. */
  readonly key: string;
  /** Visible services, by hostname. */
  readonly services: readonly MeshService[];
  readonly serviceByHost: ReadonlyMap<string, MeshService>;
  destinationRule(service: MeshService): EffectiveDestinationRule | undefined;
  /** Rules of the `mesh` gateway. */
  readonly meshRoutes: VirtualServiceLookup;
  /** Rules of one Gateway (`NAMESPACE/NAME`), oldest first. */
  gatewayRoutes(gateway: string): readonly EffectiveVirtualService[];
  readonly metrics: MetricsByMode;
  readonly accessLogs: AccessLogsByMode;
  readonly problems: readonly Problem[];
}

/** Labels that a client is ever asked for; the others cannot make two clients differ. */
const selectedLabels = oncePerSnapshot((snapshot): ReadonlySet<string> => {
  const names = new Set<string>();
  const add = (selector: StringMap | undefined) => {
    for (const name of Object.keys(selector ?? {})) names.add(name);
  };
  for (const { spec } of configsOf(snapshot, 'VirtualService')) {
    for (const rule of spec.http ?? []) for (const match of rule.match ?? []) add(match.sourceLabels);
  }
  for (const { spec } of configsOf(snapshot, 'DestinationRule')) add(spec.workloadSelector?.matchLabels);
  for (const { spec } of configsOf(snapshot, 'Telemetry')) add(spec.selector?.matchLabels);
  return names;
});

function relevantLabels(snapshot: MeshSnapshot, labels: StringMap): StringMap {
  const selected = selectedLabels(snapshot);
  return Object.fromEntries(Object.entries(labels).filter(([name]) => selected.has(name)));
}

/** Scopes made of a snapshot so far, by key. */
const scopesOf = oncePerSnapshot(() => new Map<string, ClientScope>());

/** Kinds that are stored but not acted on yet, and what users see meanwhile. */
const NOT_ACTED_ON: Readonly<Partial<Record<Kind, string>>> = {
  Sidecar: 'its egress and ingress are not acted on yet: proxies see all services',
  ServiceEntry: 'it is not acted on yet: its hosts are not in the mesh',
};

function notActedOn(snapshot: MeshSnapshot): Problem[] {
  return Object.entries(NOT_ACTED_ON).flatMap(([kind, effect]) =>
    configsOf(snapshot, kind as Kind).map(({ metadata }) => ({
      code: 'not-acted-on',
      severity: 'warning' as const,
      subject: `${kind}/${metadata.namespace}/${metadata.name}`,
      message: effect,
    })),
  );
}

function createScope(
  snapshot: MeshSnapshot,
  type: ProxyType,
  namespace: string,
  labels: StringMap,
  key: string,
): ClientScope {
  const client = { namespace, labels };
  // A Sidecar resource will narrow this list (egress hosts); until then a proxy sees all that is exported to it.
  const services = meshIndex(snapshot).services.filter((service) =>
    isExportedTo(service.exportTo, service.namespace, namespace),
  );
  const rules = new Map<MeshService, EffectiveDestinationRule | undefined>();
  const routesByGateway = new Map<string, readonly EffectiveVirtualService[]>();
  const meshRoutes = indexByHost(resolveVirtualServices(snapshot, client, new Set([MESH_GATEWAY])));
  const telemetries = applicableTelemetries(snapshot, client);
  const { metrics, problems: metricProblems } = resolveMetrics(telemetries, snapshot.meshConfig);
  const { accessLogs, problems: accessLogProblems } = resolveAccessLogs(telemetries, snapshot.meshConfig);
  return {
    snapshot,
    type,
    namespace,
    labels,
    key,
    services,
    serviceByHost: new Map(services.map((service) => [service.hostname, service])),
    destinationRule: (service) => {
      if (!rules.has(service)) rules.set(service, resolveDestinationRule(snapshot, client, service));
      return rules.get(service);
    },
    meshRoutes,
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
    problems: [
      ...(type === 'sidecar' ? meshRoutes.problems : []),
      ...metricProblems,
      ...accessLogProblems,
      ...notActedOn(snapshot),
    ],
  };
}

/** The scope of a proxy; the same object for all proxies that see the same. */
export function resolveClientScope(
  snapshot: MeshSnapshot,
  type: ProxyType,
  namespace: string,
  proxyLabels: StringMap,
): ClientScope {
  const labels = relevantLabels(snapshot, proxyLabels);
  const key = stableJson([type, namespace, labels]);
  const scopes = scopesOf(snapshot);
  let scope = scopes.get(key);
  if (scope === undefined) {
    scope = createScope(snapshot, type, namespace, labels, key);
    scopes.set(key, scope);
  }
  return scope;
}
