// Meaning of EnvoyFilter: what can be told of a patch's value without Envoy's own messages.
import type { FaultList } from '../../declare/fault.js';
import type { FieldPath } from '../../problem.js';

/** Names that filters had in version 2 of Envoy's API. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  'envoy.buffer': 'envoy.filters.http.buffer',
  'envoy.cors': 'envoy.filters.http.cors',
  'envoy.csrf': 'envoy.filters.http.csrf',
  'envoy.ext_authz': 'envoy.filters.http.ext_authz',
  'envoy.fault': 'envoy.filters.http.fault',
  'envoy.grpc_http1_bridge': 'envoy.filters.http.grpc_http1_bridge',
  'envoy.grpc_json_transcoder': 'envoy.filters.http.grpc_json_transcoder',
  'envoy.grpc_web': 'envoy.filters.http.grpc_web',
  'envoy.health_check': 'envoy.filters.http.health_check',
  'envoy.ip_tagging': 'envoy.filters.http.ip_tagging',
  'envoy.lua': 'envoy.filters.http.lua',
  'envoy.rate_limit': 'envoy.filters.http.ratelimit',
  'envoy.router': 'envoy.filters.http.router',
  'envoy.echo': 'envoy.filters.network.echo',
  'envoy.http_connection_manager': 'envoy.filters.network.http_connection_manager',
  'envoy.mongo_proxy': 'envoy.filters.network.mongo_proxy',
  'envoy.ratelimit': 'envoy.filters.network.ratelimit',
  'envoy.redis_proxy': 'envoy.filters.network.redis_proxy',
  'envoy.tcp_proxy': 'envoy.filters.network.tcp_proxy',
};
const FILTERS = ['NETWORK_FILTER', 'HTTP_FILTER', 'LISTENER_FILTER'];
const CONFIGS = ['typed_config', 'typedConfig', 'config_discovery', 'configDiscovery'];

/** The name of today of a filter that is written with an old one. */
export function currentFilterName(name: string): string | undefined {
  return Object.hasOwn(OLD_NAMES, name) ? OLD_NAMES[name] : undefined;
}

/** Checks the types that a value names, and that a filter has a configuration. */
export function checkPatchValue(
  value: object,
  applyTo: string | undefined,
  operation: string | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  checkTypes(value, path, faults);
  if (applyTo === undefined || !FILTERS.includes(applyTo) || operation === 'REMOVE') return;
  if (CONFIGS.some((field) => Object.hasOwn(value, field))) return;
  faults.warning(path, 'deprecated', 'the filter has no `typed_config`, by which Envoy finds what it is; add one');
}

/** Every `@type` below a value has to be a type of version 3. */
function checkTypes(value: unknown, path: FieldPath, faults: FaultList): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkTypes(item, [...path, index], faults);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    if (key === '@type') checkType(item, [...path, key], faults);
    else checkTypes(item, [...path, key], faults);
  }
}

function checkType(type: unknown, path: FieldPath, faults: FaultList): void {
  if (typeof type !== 'string' || !/^[\w.-]+\/[\w.]+$/.test(type)) {
    const message =
      '`@type` does not name a type; write one such as type.googleapis.com/envoy.config.cluster.v3.Cluster';
    faults.error(path, 'type-url', message);
  } else if (/\/envoy\..*\.v2(?:alpha\d*)?\./.test(type)) {
    faults.error(
      path,
      'type-url',
      `\`${type}\` is of version 2 of Envoy's API, which is gone; write the type of version 3`,
    );
  }
}
