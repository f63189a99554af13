// Proxy configuration: reads Envoy's config dump (JSON), which every sidecar and any Envoy gives.

/** JSON as it came; only what is asked for is looked at. */
export type Json = { readonly [key: string]: unknown };

export interface ConfigDump {
  readonly clusters: readonly Json[];
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
      ...pick('ListenersConfigDump', ['dynamic_listeners'], ['active_state', 'listener']),
    ]),
    routes: present(pick('RoutesConfigDump', ['static_route_configs', 'dynamic_route_configs'], ['route_config'])),
    endpoints: present(
      pick('EndpointsConfigDump', ['static_endpoint_configs', 'dynamic_endpoint_configs'], ['endpoint_config']),
    ),
  };
}

/** The bootstrap of a dump; an empty object where there is none. */
export function readBootstrap(dump: unknown): Json {
  const section = children(dump, 'configs').find((each) => text(each, '@type').endsWith('.BootstrapConfigDump'));
  return child(section, 'bootstrap');
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
