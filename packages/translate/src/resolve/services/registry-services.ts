// Resolve: the services of the registry, as declarations.

import type { MeshSnapshot } from '../../model.js';
import { contentHash } from '../../stable-hash.js';
import type { Selections } from './selection.js';
import type { ServiceDeclaration } from './service-declaration.js';

const EXPORT_TO_ANNOTATION = 'networking.istio.io/exportTo';

/** The full host name of a registry service. */
export function serviceHostname(service: { name: string; namespace: string }, clusterDomain: string): string {
  return `${service.name}.${service.namespace}.svc.${clusterDomain}`;
}

/** In the order of the snapshot. */
export function registryServices(snapshot: MeshSnapshot, selections: Selections): ServiceDeclaration[] {
  return snapshot.services.map((service) => {
    const { namespace, name, ports, selector, annotations } = service;
    const exportTo = annotations[EXPORT_TO_ANNOTATION];
    return {
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
      hash: contentHash(service),
    };
  });
}
