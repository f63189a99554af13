// Describe: a service: its pods, the rules for calls to it, how it is reached from outside, what it accepts.

import {
  type ConfigObject,
  hostMatches,
  objectsOfKind,
  resolveShortHost,
  selectorMatches,
  splitNamespacedHost,
} from '@lateen/istio-config';
import type { ExposureDescription, ServiceDescription, SubsetDescription, Warning } from '@lateen/telemetry';
import type {
  ClientScope,
  EffectiveDestinationRule,
  EffectiveVirtualService,
  MeshService,
  MeshSnapshot,
  Problem,
} from '@lateen/translate';
import { describeClientRules, generalScope, mtlsConflicts } from './client-rules.js';
import { describeRoutes, describeTcpRoutes } from './route-text.js';
import { describeMtls, describeSubsets, ruleSource, tlsOf } from './service-rules.js';
import { findSource, sourceOf, uniqueWarnings, warningOf } from './sources.js';

/**
 * Describes a service as the workloads of its own namespace call it.
 *
 * @param problems what translation found, of any proxy
 */
export function describeService(
  mesh: MeshSnapshot,
  service: MeshService,
  problems: readonly Problem[],
): ServiceDescription {
  const scope = generalScope(mesh, service.namespace);
  const rule = scope.destinationRule(service);
  const subsets = rule === undefined ? [] : describeSubsets(rule, service);
  const clientRules = describeClientRules(mesh, service, rule);
  const virtualService = scope.meshRoutes().forHost(service.hostname);
  const mtls = service.workloads[0] === undefined ? [] : describeMtls(mesh, service.workloads[0], service);
  return {
    host: service.hostname,
    name: service.name,
    namespace: service.namespace,
    ports: service.ports.map(({ port, name, targetPort, protocol }) => ({ port, name, targetPort, protocol })),
    pods: service.workloads.map(({ name, ready }) => ({ name, ready })),
    ...(rule === undefined ? {} : { destinationRule: { source: ruleSource(mesh, rule), tls: tlsOf(rule), subsets } }),
    clientRules: clientRules.map(({ description }) => description),
    ...(virtualService === undefined ? {} : { virtualService: describeVirtualService(mesh, virtualService) }),
    exposure: describeExposure(mesh, scope, service),
    mtls,
    warnings: uniqueWarnings([
      ...ownWarnings(mesh, service, rule, subsets),
      ...clientRules.flatMap((each) => mtlsConflicts(mesh, service, each.rule, each.description.clients)),
      ...problems.filter((problem) => concerns(mesh, problem, service)).map((problem) => warningOf(mesh, problem)),
    ]),
  };
}

function describeVirtualService(
  mesh: MeshSnapshot,
  { namespace, name, hosts, rules, tcpRules }: EffectiveVirtualService,
) {
  return {
    source: findSource(mesh, 'VirtualService', `${namespace}/${name}`)!,
    hosts,
    routes: [...describeRoutes(rules), ...describeTcpRoutes(tcpRules)],
  };
}

function describeExposure(mesh: MeshSnapshot, scope: ClientScope, service: MeshService): ExposureDescription[] {
  return objectsOfKind(mesh.configsByKind.get('Gateway') ?? [], 'Gateway').flatMap((gateway) => {
    const { namespace, name } = gateway.metadata;
    const pods = mesh.workloads.filter((each) => each.gateway && selectorMatches(gateway.spec.selector, each.labels));
    const rules = scope.gatewayRoutes(`${namespace}/${name}`).filter((rule) => leadsTo(rule, service, mesh));
    return rules.flatMap((rule) =>
      (gateway.spec.servers ?? []).flatMap(({ port, hosts: served }) => {
        const hosts = sharedHosts(served, namespace, rule);
        if (hosts.length === 0) return [];
        return [
          {
            gateway: sourceOf(gateway),
            server: `${port.protocol ?? 'HTTP'} ${port.number}`,
            hosts,
            virtualService: findSource(mesh, 'VirtualService', `${rule.namespace}/${rule.name}`)!,
            pods: pods.map((pod) => `${pod.name}.${pod.namespace}`),
          },
        ];
      }),
    );
  });
}

function sharedHosts(served: readonly string[], gatewayNamespace: string, rule: EffectiveVirtualService): string[] {
  return rule.hosts.filter((host) =>
    served.some((text) => {
      const { namespace = '*', host: pattern } = splitNamespacedHost(text);
      const owner = namespace === '.' ? gatewayNamespace : namespace;
      return (owner === '*' || owner === rule.namespace) && (hostMatches(pattern, host) || hostMatches(host, pattern));
    }),
  );
}

function leadsTo(
  { rules, tcpRules, namespace }: EffectiveVirtualService,
  { hostname }: MeshService,
  mesh: MeshSnapshot,
): boolean {
  return [...rules, ...tcpRules].some(({ route }) =>
    (route ?? []).some(
      ({ destination }) => resolveShortHost(destination.host, namespace, mesh.clusterDomain) === hostname,
    ),
  );
}

/** What no single resource shows: names of ports, subsets and services without pods, TLS that the other side refuses. */
function ownWarnings(
  mesh: MeshSnapshot,
  service: MeshService,
  rule: EffectiveDestinationRule | undefined,
  subsets: readonly SubsetDescription[],
): Warning[] {
  const warnings: Warning[] = [];
  for (const { port, name, protocol } of service.ports) {
    if (protocol !== 'auto') continue;
    const called = name === '' ? 'has no name' : `is named ${name}`;
    const message = `port ${port} ${called}, which says no protocol: it is taken as HTTP. Name it http…, or set appProtocol`;
    warnings.push({ code: 'port-name', message });
  }
  if (service.workloads.length === 0) {
    const message = 'no pod has the labels of its selector: calls to it are answered 503';
    warnings.push({ code: 'service-without-pods', message });
  }
  if (rule === undefined) return warnings;
  const source = ruleSource(mesh, rule);
  for (const { name, labels, pods } of subsets) {
    if (pods.length > 0 || service.workloads.length === 0) continue;
    const wanted = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const message = `subset ${name} (${wanted.join(', ') || 'no labels'}) has no pods: calls to it are answered 503`;
    warnings.push({ code: 'subset-without-pods', message, source });
  }
  warnings.push(...mtlsConflicts(mesh, service, rule));
  return warnings;
}

/** Whether a problem is about the service itself or about a rule that names it. */
export function concerns(mesh: MeshSnapshot, { subject }: Problem, service: MeshService): boolean {
  const [kind, namespace = '', name = ''] = subject.split('/');
  if (kind === 'Service') return namespace === service.namespace && name === service.name;
  if (kind === 'VirtualHost') return namespace.startsWith(`${service.hostname}:`);
  if (kind !== 'VirtualService' && kind !== 'DestinationRule') return false;
  const rule = mesh.configsByKind
    .get(kind)
    ?.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  return rule !== undefined && namesHost(rule, service, mesh.clusterDomain);
}

function namesHost(rule: ConfigObject, { hostname }: MeshService, domain: string): boolean {
  const { namespace } = rule.metadata;
  const matches = (host: string) => hostMatches(resolveShortHost(host, namespace, domain), hostname);
  return (
    objectsOfKind([rule], 'DestinationRule').some(({ spec }) => matches(spec.host)) ||
    objectsOfKind([rule], 'VirtualService').some(
      ({ spec }) =>
        (spec.hosts ?? []).some(matches) ||
        [...(spec.http ?? []), ...(spec.tcp ?? [])].some(({ route }) =>
          (route ?? []).some(({ destination }) => matches(destination.host)),
        ),
    )
  );
}
