// Describe: a pod: the services that select it, what it accepts, and what it sees of the mesh.

import { type ConfigObject, hostMatches, objectsOfKind, resolveShortHost, selectorMatches } from '@lateen/istio-config';
import type { PodDescription, Warning } from '@lateen/telemetry';
import {
  hasPassthrough,
  type MeshSnapshot,
  meshIndex,
  type Problem,
  resolveClientScope,
  resolveProxyView,
  type Workload,
} from '@lateen/translate';
import { nodeOf } from '../debug/node-of-workload.js';
import { mtlsConflicts, rulesOfClient } from './client-rules.js';
import { concerns, describeService } from './describe-service.js';
import { describeMtls, ruleSource } from './service-rules.js';
import { findSource, sourceOf, uniqueWarnings, warningOf } from './sources.js';

/** @param problems what the translation of its own view found */
export function describePod(mesh: MeshSnapshot, workload: Workload, problems: readonly Problem[]): PodDescription {
  const view = resolveProxyView(mesh, nodeOf(workload, mesh), true);
  const { scope } = view;
  const { name, namespace, labels } = workload;
  const everything = resolveClientScope(mesh, { type: 'router', namespace, labels });
  const sidecar = scope.sidecar && findSource(mesh, 'Sidecar', scope.sidecar.name);
  const services = meshIndex(mesh).services.filter(({ workloads }) => workloads.includes(workload));
  const clientRules = rulesOfClient(mesh, workload);
  const called = scope.destinations.flatMap((service) => {
    const rule = scope.destinationRule(service);
    return rule === undefined ? [] : [{ service, rule }];
  });
  const gateways = gatewayObjects(mesh, workload);
  const own = new Set([
    `Workload/${namespace}/${name}`,
    ...(scope.sidecar ? [`Sidecar/${scope.sidecar.name}`] : []),
    ...gateways.map(({ metadata }) => `Gateway/${metadata.namespace}/${metadata.name}`),
  ]);
  return {
    name,
    namespace,
    workload: workload.workloadName,
    serviceAccount: workload.serviceAccount,
    address: workload.address,
    ready: workload.ready,
    gateway: workload.gateway,
    labels,
    ports: workload.ports.map(({ port, name: portName }) => ({ port, name: portName })),
    mtls: describeMtls(mesh, workload),
    gateways: gateways.map(sourceOf),
    services: services.map((service) => describeService(mesh, service, problems)),
    scope: {
      ...(sidecar === undefined ? {} : { sidecar }),
      outboundTrafficPolicy: scope.outboundMode,
      services: scope.services.map(({ hostname }) => hostname),
      unknownHosts: hasPassthrough(view) ? 'PASSED_THROUGH' : 'REFUSED',
      exported: everything.services.length,
    },
    clientRules: clientRules.map(({ service, rule }) => ({ host: service.hostname, source: ruleSource(mesh, rule) })),
    warnings: uniqueWarnings([
      ...(services.length === 0 && !workload.gateway ? [WITHOUT_SERVICE] : []),
      ...problems
        .filter((each) => own.has(each.subject) || clientRules.some(({ service }) => concerns(mesh, each, service)))
        .map((problem) => warningOf(mesh, problem)),
      ...called.flatMap(({ service, rule }) => mtlsConflicts(mesh, service, rule, [`${name}.${namespace}`])),
      ...rulesForUnknownHosts(mesh, namespace),
    ]),
  };
}

function gatewayObjects(mesh: MeshSnapshot, { gateway, labels }: Workload): readonly ConfigObject<'Gateway'>[] {
  if (!gateway) return [];
  const all = objectsOfKind(mesh.configsByKind.get('Gateway') ?? [], 'Gateway');
  return all.filter(({ spec }) => selectorMatches(spec.selector, labels));
}

const WITHOUT_SERVICE: Warning = {
  code: 'pod-without-service',
  message: 'no Service selects it: nothing in the mesh can call it by name, and its ports are taken as HTTP',
};

/** DestinationRules of the namespace that are for no service: most often a misspelt or a short name of another namespace. */
function rulesForUnknownHosts(mesh: MeshSnapshot, namespace: string): Warning[] {
  const { services } = meshIndex(mesh);
  const entries = objectsOfKind(mesh.configsByKind.get('ServiceEntry') ?? [], 'ServiceEntry');
  const known = [...services.map(({ hostname }) => hostname), ...entries.flatMap(({ spec }) => spec.hosts ?? [])];
  return objectsOfKind(mesh.configsByKind.get('DestinationRule') ?? [], 'DestinationRule').flatMap((rule) => {
    if (rule.metadata.namespace !== namespace) return [];
    const host = resolveShortHost(rule.spec.host, namespace, mesh.clusterDomain);
    if (known.some((each) => hostMatches(host, each))) return [];
    const message = `the rule is for ${host}, which is no service of the mesh: it has no effect`;
    return [{ code: 'unknown-host', message, source: sourceOf(rule) }];
  });
}
