// Benchmark: access rules of the form that AuthorizationPolicies become, none of which is for the requests of a scenario.

const RULES_PER_POLICY = 20;

const path = (matcher: object) => ({ url_path: { path: matcher } });
const header = (name: string, matcher: object) => ({ header: { name, string_match: matcher } });
const anyOf = (rules: readonly object[]) => ({ or_rules: { rules } });

/** Rule `n` of all: paths and methods, now and then a host, a port or what is not meant; callers in several forms. */
function rule(n: number): object {
  const permissions: object[] = [
    anyOf([path({ exact: `/api/v1/service-${n}/items` }), path({ prefix: `/api/v1/service-${n}/items/` })]),
    anyOf([header(':method', { exact: 'GET' }), header(':method', { exact: n % 2 === 0 ? 'POST' : 'PUT' })]),
  ];
  if (n % 5 === 0) permissions.push(header(':authority', { exact: `service-${n}.shop.svc.cluster.local` }));
  if (n % 7 === 0) permissions.push({ not_rule: path({ suffix: '/private' }) });
  if (n % 3 === 0) permissions.push({ destination_port: 9080 });
  const callers = [
    { authenticated: { principal_name: { exact: `spiffe://cluster.local/ns/shop-${n % 50}/sa/cart-${n}` } } },
    { authenticated: { principal_name: { safe_regex: { regex: `spiffe://[^/]+/ns/shop-${n % 50}/.*` } } } },
    { direct_remote_ip: { address_prefix: `10.${n % 200}.0.0`, prefix_len: 16 } },
    header('x-tenant', { exact: `tenant-${n}` }),
  ];
  return { permissions: [{ and_rules: { rules: permissions } }], principals: [callers[n % callers.length]] };
}

/** An HTTP filter that denies by so many policies of 20 rules each. */
export function denyFilter(policyCount: number): object {
  const policies = Object.fromEntries(
    Array.from({ length: policyCount * RULES_PER_POLICY }, (_, n) => [
      `ns[shop]-policy[p${Math.floor(n / RULES_PER_POLICY)}]-rule[${n % RULES_PER_POLICY}]`,
      rule(n),
    ]),
  );
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
      rules: { action: 'DENY', policies },
    },
  };
}
