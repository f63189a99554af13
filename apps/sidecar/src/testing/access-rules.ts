// Tests: filters that decide who may, and what they say.

type Json = Record<string, unknown>;

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';
export const ANYBODY = { any: true };

/** Rules with one policy for each entry: its permissions and its principals. */
export function rules(
  action: 'ALLOW' | 'DENY' | 'LOG',
  policies: Readonly<Record<string, readonly [Json, Json]>>,
): Json {
  return {
    action,
    policies: Object.fromEntries(
      Object.entries(policies).map(([name, [permission, principal]]) => [
        name,
        { permissions: [permission], principals: [principal] },
      ]),
    ),
  };
}

export function httpRbac(config: Json): Json {
  return { name: 'envoy.filters.http.rbac', typed_config: { '@type': `${FILTERS}.http.rbac.v3.RBAC`, ...config } };
}

export function networkRbac(config: Json): Json {
  return {
    name: 'envoy.filters.network.rbac',
    typed_config: { '@type': `${FILTERS}.network.rbac.v3.RBAC`, stat_prefix: 'tcp.', ...config },
  };
}

export const path = (matcher: Json): Json => ({ url_path: { path: matcher } });
export const header = (name: string, matcher: Json): Json => ({ header: { name, string_match: matcher } });
export const principal = (name: string): Json => ({ authenticated: { principal_name: { exact: name } } });
