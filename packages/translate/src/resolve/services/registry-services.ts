// Resolve: the services of the registry, as declarations.

import type { MeshSnapshot } from '../../model.js';
import { contentHash, stableHash } from '../../stable-hash.js';
import { preferredPlace } from '../locality/preferred-place.js';
import type { Selections } from './selection.js';
import type { ServiceDeclaration } from './service-declaration.js';

const EXPORT_TO_ANNOTATION = 'networking.istio.io/exportTo';

/** The full host name of a registry service. */
export function serviceHostname(service: { name: string; namespace: string }, clusterDomain: string): string {
  return `${service.name}.${service.namespace}.svc.${clusterDomain}`;
}

/** The pods of a headless service, as services of their own: whoever calls one by name means that one. */
function memberServices(headless: ServiceDeclaration): ServiceDeclaration[] {
  const { hostname, name, workloads, hash } = headless;
  return workloads.map((pod) => ({
    ...headless,
    hostname: `${pod.name}.${hostname}`,
    name: `${pod.name}.${name}`,
    workloads: [pod],
    entries: [],
    memberOf: { hostname, name },
    hash: stableHash([hash, pod.name]),
  }));
}

/** In the order of the snapshot, each headless service followed by its pods. */
export function registryServices(snapshot: MeshSnapshot, selections: Selections): ServiceDeclaration[] {
  return snapshot.services.flatMap((service) => {
    const { namespace, name, ports, selector, annotations, headless = false, nodeLocal = false } = service;
    const exportTo = annotations[EXPORT_TO_ANNOTATION];
    const declaration: ServiceDeclaration = {
      kind: 'Service',
      hostname: serviceHostname(service, snapshot.clusterDomain),
      namespace,
      name,
      ports,
      exportTo: exportTo?.split(',').map((target) => target.trim()),
      resolution: 'EDS',
      external: false,
      addresses: [],
      subjectAltNames: [],
      workloads: selections.workloads(namespace, selector),
      entries: selections.entries(namespace, selector),
      nodeLocal,
      prefers: preferredPlace(service.trafficDistribution, annotations),
      hash: contentHash(service),
    };
    return headless ? [declaration, ...memberServices(declaration)] : [declaration];
  });
}
