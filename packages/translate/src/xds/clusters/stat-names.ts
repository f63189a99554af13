// Build: the names under which calls to clusters are counted and logged, where MeshConfig has patterns for them.

import type { Subset } from '@lateen/istio-config';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';

type Variables = Readonly<Record<string, string>>;

/** A variable that nobody knows stays as it is written, as in Istio. */
function written(pattern: string, variables: Variables): string {
  return pattern.replaceAll(/%([A-Z_]+)%/g, (variable, name: string) => variables[name] ?? variable);
}

/** A host outside of Kubernetes has its whole name everywhere. */
function ofService({ kind, hostname, namespace, name, memberOf }: MeshService): Variables {
  const ownName = memberOf?.name ?? name;
  const isKubernetes = kind === 'Service';
  return {
    SERVICE: isKubernetes ? `${ownName}.${namespace}` : hostname,
    SERVICE_NAME: isKubernetes ? ownName : hostname,
    SERVICE_FQDN: hostname,
  };
}

/** Empty where there is no pattern: the cluster's own name is used then. */
export function outboundStatName(
  pattern: string | undefined,
  { service, port, subset }: { service: MeshService; port: MeshPort; subset: Subset | undefined },
): string {
  return written(pattern ?? '', {
    ...ofService(service),
    SERVICE_PORT: String(port.port),
    SERVICE_PORT_NAME: port.name,
    SUBSET_NAME: subset?.name ?? '',
  });
}

/** That of the first service that leads to the port; empty where none does, or there is no pattern. */
export function inboundStatName(
  pattern: string | undefined,
  { services: [service], servicePort, port }: InboundPort,
): string {
  if (service === undefined) return '';
  return written(pattern ?? '', {
    ...ofService(service),
    SERVICE_PORT: String(servicePort),
    SERVICE_PORT_NAME: service.ports.find((each) => each.port === servicePort)?.name ?? '',
    TARGET_PORT: String(port),
    SUBSET_NAME: '',
  });
}
