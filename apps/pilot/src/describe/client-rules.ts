// Describe: DestinationRules that only some clients of a service follow, and what the TLS that a rule asks for meets.

import type { ClientRuleDescription, PortMtls, Warning } from '@lateen/telemetry';
import {
  type ClientScope,
  type EffectiveDestinationRule,
  type MeshService,
  type MeshSnapshot,
  policyForPort,
  resolveClientScope,
  type Workload,
} from '@lateen/translate';
import { describeMtls, describeSubsets, ruleSource, tlsOf } from './service-rules.js';

/** A rule that holds for a client, where clients in general follow another one or none. */
export interface ClientRule {
  readonly service: MeshService;
  readonly rule: EffectiveDestinationRule;
}

/** What clients of a namespace see that no configuration selects by label. */
export function generalScope(mesh: MeshSnapshot, namespace: string): ClientScope {
  // Of a router, since a Sidecar narrows only sidecars.
  return resolveClientScope(mesh, { type: 'router', namespace, labels: {} });
}

function scopeOf(mesh: MeshSnapshot, { gateway, namespace, labels }: Workload): ClientScope {
  return resolveClientScope(mesh, { type: gateway ? 'router' : 'sidecar', namespace, labels });
}

/** The rules that a workload follows and others of its namespace do not. */
export function rulesOfClient(mesh: MeshSnapshot, workload: Workload): ClientRule[] {
  const general = generalScope(mesh, workload.namespace);
  const own = scopeOf(mesh, workload);
  return own.destinations.flatMap((service) => {
    const rule = own.destinationRule(service);
    return rule === undefined || rule.hash === general.destinationRule(service)?.hash ? [] : [{ service, rule }];
  });
}

/** The rules for calls to a service that only some workloads follow, and which ones. */
export function describeClientRules(
  mesh: MeshSnapshot,
  service: MeshService,
  general: EffectiveDestinationRule | undefined,
): { readonly rule: EffectiveDestinationRule; readonly description: ClientRuleDescription }[] {
  const byHash = new Map<string, { rule: EffectiveDestinationRule; clients: string[] }>();
  for (const workload of mesh.workloads) {
    const scope = scopeOf(mesh, workload);
    const seen = scope.destinationByHost.get(service.hostname);
    const rule = seen && scope.destinationRule(seen);
    if (rule === undefined || rule.hash === general?.hash) continue;
    const entry = byHash.get(rule.hash) ?? { rule, clients: [] };
    byHash.set(rule.hash, entry);
    entry.clients.push(`${workload.name}.${workload.namespace}`);
  }
  return [...byHash.values()].map(({ rule, clients }) => ({
    rule,
    description: {
      source: ruleSource(mesh, rule),
      tls: tlsOf(rule),
      subsets: describeSubsets(rule, service),
      clients,
    },
  }));
}

/** Where a rule sends what the pods of the service refuse. @param clients who follows the rule; empty for clients in general */
export function mtlsConflicts(
  mesh: MeshSnapshot,
  service: MeshService,
  rule: EffectiveDestinationRule,
  clients: readonly string[] = [],
): Warning[] {
  const [workload] = service.workloads;
  if (workload === undefined) return [];
  const accepted = describeMtls(mesh, workload, service);
  return ['plain text', 'mutual TLS'].flatMap((sent) => {
    const ports = conflictingPorts(service, rule, accepted, sent === 'mutual TLS');
    if (ports.length === 0) return [];
    const whose = clients.length === 0 ? 'calls' : `calls of ${clientText(clients)}`;
    const taken = sent === 'plain text' ? 'mutual TLS' : 'plain text';
    const message = `${whose} to ${service.name}.${service.namespace} are sent in ${sent}, but its pods take ${taken} only at port ${ports.join(', ')}`;
    return [{ code: 'mtls-conflict', message, source: ruleSource(mesh, rule) }];
  });
}

/** Ports of the pods that refuse what the rule, or one of its subsets, asks for. */
function conflictingPorts(
  service: MeshService,
  rule: EffectiveDestinationRule,
  accepted: readonly PortMtls[],
  isMutual: boolean,
): number[] {
  const refusing = isMutual ? 'DISABLE' : 'STRICT';
  const ports = service.ports.flatMap(({ port, targetPort }) => {
    if (!accepted.some((each) => each.port === targetPort && each.mode === refusing)) return [];
    const asked = [undefined, ...rule.subsets].map((subset) => policyForPort(rule, subset, port).tls?.mode);
    // Without a mode each pod is called as it takes it.
    const conflicts = asked.some((mode) => mode !== undefined && (mode === 'ISTIO_MUTUAL') === isMutual);
    return conflicts ? [targetPort] : [];
  });
  return [...new Set(ports)];
}

const NAMED_CLIENTS = 5;

/** The first few of them. */
export function clientText(clients: readonly string[]): string {
  const more = clients.length - NAMED_CLIENTS;
  return `${clients.slice(0, NAMED_CLIENTS).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
