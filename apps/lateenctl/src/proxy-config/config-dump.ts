// Proxy configuration: reads Envoy's config dump (JSON), which every sidecar and any Envoy gives.

/** JSON as it came; only what is asked for is looked at. */
export type Json = { readonly [key: string]: unknown };

export interface ConfigDump {
  readonly clusters: readonly Json[];
  /** Also those that are not in effect: they have a `state` (`warming`, `refused`), and perhaps an `error_state`. */
  readonly listeners: readonly Json[];
  readonly routes: readonly Json[];
  readonly endpoints: readonly Json[];
}

/** An object's object field, or an empty object. */
export function child(value: unknown, ...path: readonly string[]): Json {
  let current: unknown = value;
  for (const key of path) current = isJson(current) ? current[key] : undefined;
  return isJson(current) ? current : {};
}

/** An object's list field, or an empty list. */
export function children(value: unknown, key: string): readonly Json[] {
  const list = isJson(value) ? value[key] : undefined;
  return Array.isArray(list) ? list.filter(isJson) : [];
}

/** An object's text field, or ''. Numbers are written out. */
export function text(value: unknown, key: string): string {
  const field = isJson(value) ? value[key] : undefined;
  return typeof field === 'string' || typeof field === 'number' ? String(field) : '';
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Collects the resources of a dump, static ones first. */
export function readConfigDump(dump: unknown): ConfigDump {
  const sections = children(dump, 'configs');
  const section = (type: string) => sections.filter((each) => text(each, '@type').endsWith(`.${type}`));
  const pick = (type: string, lists: readonly string[], path: readonly string[]) =>
    section(type).flatMap((each) =>
      lists.flatMap((list) => children(each, list).map((entry) => child(entry, ...path))),
    );
  const present = (resources: readonly Json[]) => resources.filter((each) => Object.keys(each).length > 0);
  return {
    clusters: present(pick('ClustersConfigDump', ['static_clusters', 'dynamic_active_clusters'], ['cluster'])),
    listeners: present([
      ...pick('ListenersConfigDump', ['static_listeners'], ['listener']),
      ...section('ListenersConfigDump').flatMap((each) => children(each, 'dynamic_listeners').flatMap(dynamicListener)),
    ]),
    routes: present(pick('RoutesConfigDump', ['static_route_configs', 'dynamic_route_configs'], ['route_config'])),
    endpoints: present(
      pick('EndpointsConfigDump', ['static_endpoint_configs', 'dynamic_endpoint_configs'], ['endpoint_config']),
    ),
  };
}

/** The version in effect, and the one that waits, with what is in its way. */
function dynamicListener(entry: Json): Json[] {
  const error = entry.error_state === undefined ? {} : { error_state: entry.error_state };
  const waiting = child(entry, 'warming_state', 'listener');
  const active = child(entry, 'active_state', 'listener');
  const found = Object.keys(active).length > 0 ? [active] : [];
  if (Object.keys(waiting).length > 0) return [...found, { ...waiting, state: 'warming', ...error }];
  return entry.error_state === undefined
    ? found
    : [...found, { name: text(entry, 'name'), state: 'refused', ...error }];
}

/** The bootstrap of a dump; undefined where there is none. */
export function readBootstrap(dump: unknown): Json | undefined {
  const section = children(dump, 'configs').find((each) => text(each, '@type').endsWith('.BootstrapConfigDump'));
  return section === undefined ? undefined : child(section, 'bootstrap');
}

/** `reviews.default` from `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`, or ''. */
export function sourceConfig(resource: unknown): string {
  const path = text(child(resource, 'metadata', 'filter_metadata', 'istio'), 'config');
  const match = /\/namespaces\/([^/]+)\/[^/]+\/([^/]+)$/.exec(path);
  return match === null ? '' : `${match[2]}.${match[1]}`;
}

/** "IP:PORT" of an Envoy address, or the path of a pipe. */
export function addressText(address: unknown): { address: string; port: string } {
  const socket = child(address, 'socket_address');
  if (Object.keys(socket).length > 0) return { address: text(socket, 'address'), port: text(socket, 'port_value') };
  return { address: text(child(address, 'pipe'), 'path'), port: '' };
}
