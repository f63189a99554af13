// Values: host names in configuration: short names, wildcards, `namespace/host`.

/** The suffix of service names in the cluster, unless the mesh says otherwise. */
export const DEFAULT_DOMAIN_SUFFIX = 'cluster.local';

/**
 * The full name of a host as it is written in configuration: a name with no dot is a service of the given namespace
 * (`reviews` → `reviews.default.svc.cluster.local`); anything with a dot, and `*`, stays as it is, in lower case.
 * As in Istio, `reviews.prod` is not expanded.
 */
export function resolveShortHost(host: string, namespace: string, domainSuffix = DEFAULT_DOMAIN_SUFFIX): string {
  const name = host.toLowerCase();
  if (name.includes('.') || name.startsWith('*') || name === '') return name;
  return `${name}.${namespace}.svc.${domainSuffix}`;
}

/**
 * Whether a host (which may be a wildcard itself) falls under a pattern: equal, or the pattern begins with `*` and the
 * host ends with the rest. `*.example.com` does not match `example.com`. Case does not matter. Names are full ones:
 * call `resolveShortHost` first. Source: Istio's `host.Name.SubsetOf`.
 */
export function hostMatches(pattern: string, host: string): boolean {
  const wanted = pattern.toLowerCase();
  const name = host.toLowerCase();
  if (!wanted.startsWith('*')) return wanted === name;
  const suffix = wanted.slice(1);
  const rest = name.startsWith('*') ? name.slice(1) : name;
  if (!rest.endsWith(suffix)) return false;
  return name.startsWith('*') || suffix === '' || rest.length > suffix.length;
}

/** Whether two hosts or wildcards have any name in common. */
export function hostsOverlap(a: string, b: string): boolean {
  return hostMatches(a, b) || hostMatches(b, a);
}

/** Sorts hosts so that the more specific comes first: exact names, then longer wildcards. */
export function compareHostSpecificity(a: string, b: string): number {
  const wildA = a.startsWith('*');
  const wildB = b.startsWith('*');
  if (wildA !== wildB) return wildA ? 1 : -1;
  if (a.length !== b.length) return b.length - a.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The full name of a gateway as a VirtualService refers to it: `mesh`, or `NAMESPACE/NAME`. NAME alone is one of the
 * given namespace; `NAME.NAMESPACE.svc.cluster.local` is how it was written once (Istio's `ResolveGatewayName`).
 */
export function fullGatewayName(gateway: string, namespace: string): string {
  if (gateway === 'mesh' || gateway.includes('/')) return gateway;
  const [name, other] = gateway.split('.');
  return `${other ?? namespace}/${name}`;
}

/** A host as Gateway and Sidecar write it: `namespace/host`, where the namespace may be `*`, `.` or `~`. */
export interface NamespacedHost {
  /** undefined where none was written. */
  readonly namespace: string | undefined;
  readonly host: string;
}

/** Splits `namespace/host`. */
export function splitNamespacedHost(text: string): NamespacedHost {
  const slash = text.indexOf('/');
  if (slash < 0) return { namespace: undefined, host: text };
  return { namespace: text.slice(0, slash), host: text.slice(slash + 1) };
}
