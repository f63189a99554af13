// Build: what the metadata of a cluster says of whom it leads to.

import type { JsonObject } from '@bufbuild/protobuf';
import type { Subset, TrafficPolicy } from '@lateen/istio-config';
import { introducesInMeshOnly, type ProxyHeaders } from '../../proxy-headers.js';
import type { EffectiveDestinationRule } from '../../resolve/destination-rules.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import { originatesTls } from '../tls/client-tls-context.js';

/** Whom a cluster leads to, for metrics: in cluster metadata `istio`. A ServiceEntry's service has its host for a name. */
export function serviceMetadata(services: readonly MeshService[]): JsonObject[] {
  return services.map(({ kind, hostname, name, namespace, memberOf }) => ({
    host: memberOf?.hostname ?? hostname,
    name: memberOf?.name ?? (kind === 'Service' ? name : hostname),
    namespace,
  }));
}

/** Traffic of the mesh is what mutual TLS of the mesh secures. */
function isOutside({ external }: MeshService, { tls }: TrafficPolicy): boolean {
  return originatesTls(tls) || tls?.mode === 'DISABLE' || (external && tls?.mode !== 'ISTIO_MUTUAL');
}

/** Of an outbound cluster: its service, by whose rule it is called, and whether callers introduce themselves there. */
export function clusterMetadata(
  { service, port, subset }: { service: MeshService; port: MeshPort; subset: Subset | undefined },
  rule: EffectiveDestinationRule | undefined,
  policy: TrafficPolicy,
  proxyHeaders: ProxyHeaders,
): JsonObject {
  const metadata: JsonObject = { services: serviceMetadata([service]), default_original_port: port.port };
  if (rule !== undefined) {
    metadata.config = `/apis/networking.istio.io/v1/namespaces/${rule.namespace}/destination-rule/${rule.name}`;
  }
  if (subset !== undefined) metadata.subset = subset.name;
  // Who calls is told to nobody there.
  if (introducesInMeshOnly(proxyHeaders) && isOutside(service, policy)) metadata.external = true;
  return metadata;
}
