// Resolve: whom a workload or gateway asks about the requests of its policies with action CUSTOM.

import { type GrpcAuthorizer, type HttpAuthorizer, splitNamespacedHost } from '@lateen/istio-config';
import type { MeshSnapshot, Problem } from '../../model.js';
import { meshIndex } from '../mesh-index.js';
import type { EffectivePolicy } from './authorization-policies.js';

/** A provider of MeshConfig whose service there is. */
export type EffectiveAuthorizer = {
  /** In `extensionProviders`. */
  readonly name: string;
  /** Full host name, port. */
  readonly host: string;
  readonly port: number;
} & (
  | { readonly kind: 'http'; readonly settings: HttpAuthorizer }
  | { readonly kind: 'grpc'; readonly settings: GrpcAuthorizer }
);

export interface ResolvedAuthorizer {
  /** Undefined where no policy asks, or nobody can be asked: then what the policies are for is denied, as in Istio. */
  readonly authorizer: EffectiveAuthorizer | undefined;
  readonly problems: readonly Problem[];
}

/** The one of all policies; as in Istio a workload asks one. */
export function resolveAuthorizer(snapshot: MeshSnapshot, policies: readonly EffectivePolicy[]): ResolvedAuthorizer {
  if (policies.length === 0) return { authorizer: undefined, problems: [] };
  const names = [...new Set(policies.map(({ policy }) => policy.spec.provider?.name ?? ''))];
  const [name = ''] = names;
  const found =
    names.length > 1
      ? `a workload asks one provider, and its policies name ${names.join(' and ')}`
      : findAuthorizer(snapshot, name);
  if (typeof found !== 'string') return { authorizer: found, problems: [] };
  const problems = policies.map(
    ({ policy: { metadata } }): Problem => ({
      code: 'missing-authorizer',
      severity: 'warning',
      subject: `AuthorizationPolicy/${metadata.namespace}/${metadata.name}`,
      message: `what it is for is denied: ${found}`,
    }),
  );
  return { authorizer: undefined, problems };
}

/** Or why there is none. */
function findAuthorizer(snapshot: MeshSnapshot, name: string): EffectiveAuthorizer | string {
  const providers = snapshot.meshConfig.extensionProviders ?? [];
  const provider = providers.find((each) => each.name === name);
  const http = provider?.envoyExtAuthzHttp;
  const grpc = provider?.envoyExtAuthzGrpc;
  const settings = http ?? grpc;
  if (settings === undefined) {
    const known = providers.filter((each) => each.envoyExtAuthzHttp ?? each.envoyExtAuthzGrpc).map((each) => each.name);
    return `there is no provider ${name} in extensionProviders that can be asked (there are ${known.join(', ') || 'none'})`;
  }
  const { namespace, host } = splitNamespacedHost(settings.service);
  const services = meshIndex(snapshot).services.filter(({ hostname }) => hostname === host);
  const namespaces = services.map((service) => service.namespace);
  if (services.length === 0) return `there is no service ${host}, which provider ${name} names`;
  if (namespace === undefined && new Set(namespaces).size > 1) {
    return `service ${host} of provider ${name} is in several namespaces (${namespaces.join(', ')}); write NAMESPACE/HOST`;
  }
  if (namespace !== undefined && !namespaces.includes(namespace)) {
    return `there is no service ${host} in namespace ${namespace}, which provider ${name} names`;
  }
  const place = { name, host, port: settings.port };
  if (http !== undefined) return { ...place, kind: 'http', settings: http };
  return { ...place, kind: 'grpc', settings: settings as GrpcAuthorizer };
}
