// Names: which DNS names a certificate may have beside its SPIFFE id: those of the control plane's own services, for the
// service account that runs each. An API server calls webhooks by such a name and knows no SPIFFE ids.

import type { SpiffeIdParts } from '@lateen/identity';

const SYSTEM_NAMESPACE = 'istio-system';
/** Service accounts whose Services are named as they are, or NAME-REVISION. */
const SERVICES: ReadonlySet<string> = new Set(['galley', 'pilot', 'citadel']);
const CLUSTER_DOMAIN = 'cluster.local';
const SUFFIXES = [`.${SYSTEM_NAMESPACE}.svc`, `.${SYSTEM_NAMESPACE}.svc.${CLUSTER_DOMAIN}`];
const DEFAULT_REVISION = 'default';
/** RFC 1035, as Kubernetes wants it for a Service. */
const SERVICE_NAME = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Whether an identity of our own trust domain may have a certificate with this DNS name. */
export function mayHaveDnsName(
  { namespace, serviceAccount }: Omit<SpiffeIdParts, 'trustDomain'>,
  name: string,
): boolean {
  if (namespace !== SYSTEM_NAMESPACE || !SERVICES.has(serviceAccount)) return false;
  const suffix = SUFFIXES.find((each) => name.endsWith(each));
  if (suffix === undefined) return false;
  const service = name.slice(0, -suffix.length);
  return SERVICE_NAME.test(service) && (service === serviceAccount || service.startsWith(`${serviceAccount}-`));
}

/** The names under which a revision of a component is called in a cluster. */
export function serviceDnsNames(component: string, revision: string): string[] {
  const service = revision === DEFAULT_REVISION ? component : `${component}-${revision}`;
  return SUFFIXES.map((suffix) => service + suffix);
}
