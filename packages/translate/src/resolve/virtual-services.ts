// Resolve: which VirtualService rules a proxy follows for a host.

import type { ConfigObject, HttpMatchRequest, HttpRoute, TcpRoute, TlsRoute } from '@lateen/istio-config';
import {
  compareHostSpecificity,
  fullGatewayName,
  hostMatches,
  resolveShortHost,
  selectorMatches,
} from '@lateen/istio-config';
import type { MeshSnapshot, Problem, StringMap } from '../model.js';
import { madeFrom } from '../provenance.js';
import { delegation } from './delegation/delegation.js';
import { isRuleExportedTo } from './mesh-index.js';

/** The gateway name that means all sidecars. */
export const MESH_GATEWAY = 'mesh';

/** A VirtualService with full host names, and only what applies to one proxy. */
export interface EffectiveVirtualService {
  readonly namespace: string;
  readonly name: string;
  readonly hosts: readonly string[];
  /** Rules whose source conditions hold; conditions on requests and on the port are left. */
  readonly rules: readonly HttpRoute[];
  /** The same for connections. */
  readonly tcpRules: readonly TcpRoute[];
  /** The same for TLS that is not terminated. */
  readonly tlsRules: readonly TlsRoute[];
}

/** What the conditions of HTTP and TCP rules say of who asks. */
type SourceConditions = Pick<HttpMatchRequest, 'gateways' | 'sourceLabels' | 'sourceNamespace'>;

/** A rule of either kind. */
interface Rule {
  readonly match?: SourceConditions[] | undefined;
}

/** The proxy that rules are resolved for. */
export interface RouteClient {
  readonly namespace: string;
  readonly labels: StringMap;
}

function sourceMatches(match: SourceConditions, client: RouteClient, gateways: ReadonlySet<string>): boolean {
  // As in Istio, gateways take the place of the other source conditions.
  if (match.gateways !== undefined && match.gateways.length > 0) {
    return match.gateways.some((gateway) => gateways.has(gateway));
  }
  if (!selectorMatches(match.sourceLabels, client.labels)) return false;
  return !match.sourceNamespace || match.sourceNamespace === client.namespace;
}

/** Keeps the rules, and in them the matches, whose source conditions hold for the client. */
function rulesForClient<R extends Rule>(rules: readonly R[], client: RouteClient, gateways: ReadonlySet<string>): R[] {
  const kept: R[] = [];
  for (const rule of rules) {
    if (rule.match === undefined || rule.match.length === 0) {
      kept.push(rule);
      continue;
    }
    const match = rule.match.filter((condition) => sourceMatches(condition, client, gateways));
    if (match.length === rule.match.length) kept.push(rule);
    else if (match.length > 0) kept.push(madeFrom({ ...rule, match }, rule));
  }
  return kept;
}

/** The full names of the gateways that a VirtualService is bound to: `mesh`, or `NAMESPACE/NAME`. */
export function boundGateways(config: ConfigObject<'VirtualService'>): readonly string[] {
  const gateways = config.spec.gateways ?? [];
  if (gateways.length === 0) return [MESH_GATEWAY];
  return gateways.map((gateway) => fullGatewayName(gateway, config.metadata.namespace));
}

/** Gateways in match conditions are relative to the VirtualService too. */
function withFullGatewayNames<R extends Rule>(rules: readonly R[], namespace: string): readonly R[] {
  if (!rules.some((rule) => rule.match?.some((match) => match.gateways?.length))) return rules;
  return rules.map((rule) => {
    const match = rule.match?.map((condition) => {
      const gateways = condition.gateways?.map((gateway) => fullGatewayName(gateway, namespace));
      return madeFrom({ ...condition, gateways }, condition);
    });
    return madeFrom({ ...rule, match }, rule);
  });
}

/**
 * The VirtualServices that a proxy follows, oldest first.
 *
 * @param gateways full gateway names that the proxy serves; `mesh` for a sidecar
 */
export function resolveVirtualServices(
  snapshot: MeshSnapshot,
  client: RouteClient,
  gateways: ReadonlySet<string>,
): readonly EffectiveVirtualService[] {
  const result: EffectiveVirtualService[] = [];
  for (const config of delegation(snapshot).virtualServices) {
    const { spec } = config;
    const { namespace, name } = config.metadata;
    if (!boundGateways(config).some((gateway) => gateways.has(gateway))) continue;
    if (!isRuleExportedTo(snapshot, config, client.namespace)) continue;
    const rules = rulesForClient(withFullGatewayNames(spec.http ?? [], namespace), client, gateways);
    const tcpRules = rulesForClient(withFullGatewayNames(spec.tcp ?? [], namespace), client, gateways);
    const tlsRules = rulesForClient(withFullGatewayNames(spec.tls ?? [], namespace), client, gateways);
    const hosts = (spec.hosts ?? []).map((host) => resolveShortHost(host, namespace, snapshot.clusterDomain));
    result.push({ namespace, name, hosts: [...new Set(hosts)], rules, tcpRules, tlsRules });
  }
  return result;
}

/** Which VirtualService a sidecar follows for each host; see {@link indexByHost}. */
export interface VirtualServiceLookup {
  /** The one for a service: an exact host before the most specific wildcard. */
  forHost(hostname: string): EffectiveVirtualService | undefined;
  /** By exact host, as written. */
  readonly exact: ReadonlyMap<string, EffectiveVirtualService>;
  readonly problems: readonly Problem[];
}

/** Gives each host to the oldest VirtualService that names it; the others are reported. */
export function indexByHost(virtualServices: readonly EffectiveVirtualService[]): VirtualServiceLookup {
  const byHost = new Map<string, EffectiveVirtualService>();
  const problems: Problem[] = [];
  for (const virtualService of virtualServices) {
    for (const host of virtualService.hosts) {
      const older = byHost.get(host);
      if (older === undefined) {
        byHost.set(host, virtualService);
        continue;
      }
      problems.push({
        code: 'conflict-virtual-service-host',
        severity: 'warning',
        metric: 'pilot_vservice_dup_domain',
        subject: `VirtualService/${virtualService.namespace}/${virtualService.name}`,
        message: `host ${host} belongs to the older VirtualService ${older.namespace}/${older.name}; sidecars follow that one. Merge the two, or delete one`,
      });
    }
  }
  const wildcards = [...byHost.keys()].filter((host) => host.startsWith('*')).sort(compareHostSpecificity);
  return {
    forHost: (hostname) => {
      const own = byHost.get(hostname);
      if (own !== undefined) return own;
      const wildcard = wildcards.find((pattern) => hostMatches(pattern, hostname));
      return wildcard === undefined ? undefined : byHost.get(wildcard);
    },
    exact: byHost,
    problems,
  };
}
