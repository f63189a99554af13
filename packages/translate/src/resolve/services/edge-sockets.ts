// Resolve: sockets as endpoints, seen by a gateway: who may write a ServiceEntry somewhere must not name sockets of the gateway's machine.

import type { MeshSnapshot, Problem } from '../../model.js';
import { stableHash } from '../../stable-hash.js';
import type { MeshService } from '../mesh-index.js';
import { isSocket } from './workload-entries.js';

/** Whether gateways see services differently from what else is in their namespace. */
export function hasSockets(services: readonly MeshService[]): boolean {
  return services.some(({ entries }) => entries.some(({ address }) => isSocket(address)));
}

/** The service without the sockets that a gateway of the namespace does not call; the same object where it has none. */
export function atGateway(service: MeshService, { rootNamespace }: MeshSnapshot, namespace: string): MeshService {
  const isTrusted = service.namespace === namespace || service.namespace === rootNamespace;
  if (isTrusted || !hasSockets([service])) return service;
  return {
    ...service,
    // Endpoints are kept by port: these are others.
    ports: service.ports.map((port) => ({ ...port })),
    entries: service.entries.filter(({ address }) => !isSocket(address)),
    identityHash: stableHash([service.identityHash, 'without sockets']),
  };
}

/** What a gateway leaves out, told. */
export function leftOutSockets(
  services: readonly MeshService[],
  { rootNamespace }: MeshSnapshot,
  namespace: string,
): Problem[] {
  return services.flatMap((service) => {
    if (service.namespace === namespace || service.namespace === rootNamespace) return [];
    const sockets = service.entries.filter(({ address }) => isSocket(address));
    return sockets.map(
      ({ address }): Problem => ({
        code: 'unusable-endpoint',
        severity: 'warning',
        subject: `${service.kind}/${service.namespace}/${service.name}`,
        message: `gateways of namespace ${namespace} do not call unix://${address} for ${service.hostname}: of sockets on their machine they call those that ServiceEntries of their own namespace or of ${rootNamespace} name`,
      }),
    );
  });
}
