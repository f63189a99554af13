// Describe: what a DestinationRule asks for in calls to a service, and what a PeerAuthentication lets its pods take.

import { selectorMatches } from '@lateen/istio-config';
import type { PortMtls, SubsetDescription } from '@lateen/telemetry';
import {
  type EffectiveDestinationRule,
  type MeshService,
  type MeshSnapshot,
  resolveProxyView,
  type Workload,
} from '@lateen/translate';
import { decidingPolicy } from '../debug/deciding-policy.js';
import { nodeOf } from '../debug/node-of-workload.js';
import { findSource } from './sources.js';

export function ruleSource(mesh: MeshSnapshot, { namespace, name }: EffectiveDestinationRule) {
  return findSource(mesh, 'DestinationRule', `${namespace}/${name}`)!;
}

export function describeSubsets(rule: EffectiveDestinationRule, { workloads }: MeshService): SubsetDescription[] {
  return rule.subsets.map(({ name, labels = {} }) => ({
    name,
    labels,
    pods: workloads.filter((workload) => selectorMatches(labels, workload.labels)).map((workload) => workload.name),
  }));
}

/** The TLS mode of the rule as a whole; `AUTO`: it says nothing. */
export function tlsOf({ trafficPolicy }: EffectiveDestinationRule): string {
  return trafficPolicy?.tls?.mode ?? 'AUTO';
}

/** What the workload accepts at the ports of the service. @param service undefined: at all of its ports */
export function describeMtls(mesh: MeshSnapshot, workload: Workload, service?: MeshService): PortMtls[] {
  const { inboundPorts } = resolveProxyView(mesh, nodeOf(workload, mesh), true);
  const wanted = service && new Set(service.ports.map(({ targetPort }) => targetPort));
  return inboundPorts
    .filter(({ port }) => wanted === undefined || wanted.has(port))
    .map(({ port, mtlsMode }) => {
      const policy = findSource(mesh, 'PeerAuthentication', decidingPolicy(mesh, workload, port, mtlsMode));
      return { port, mode: mtlsMode, ...(policy === undefined ? {} : { policy }) };
    });
}
