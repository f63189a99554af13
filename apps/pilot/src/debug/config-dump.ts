// Debug API: what a proxy was sent, in the shape of Envoy's /config_dump.

import type { JsonValue } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { redactKeySets } from '@lateen/jwt';
import { TYPE_URL, toEnvoyJson } from '@lateen/xds-proto';
import type { AdsSubscriberReport, AdsTypeReport, ResourceEntry } from '@lateen/xds-stream';

type Shape = (name: string, version: string, resource: JsonValue) => JsonValue;

interface Section {
  readonly message: string;
  readonly typeUrl: string;
  readonly list: string;
  readonly shape: Shape;
}

/** Envoy's order and field names (envoy.admin.v3). */
const SECTIONS: readonly Section[] = [
  {
    message: 'envoy.admin.v3.ClustersConfigDump',
    typeUrl: TYPE_URL.cluster,
    list: 'dynamic_active_clusters',
    shape: (_name, version_info, cluster) => ({ version_info, cluster }),
  },
  {
    message: 'envoy.admin.v3.EndpointsConfigDump',
    typeUrl: TYPE_URL.endpoint,
    list: 'dynamic_endpoint_configs',
    shape: (_name, version_info, endpoint_config) => ({ version_info, endpoint_config }),
  },
  {
    message: 'envoy.admin.v3.ListenersConfigDump',
    typeUrl: TYPE_URL.listener,
    list: 'dynamic_listeners',
    shape: (name, version_info, listener) => ({ name, active_state: { version_info, listener } }),
  },
  {
    message: 'envoy.admin.v3.RoutesConfigDump',
    typeUrl: TYPE_URL.route,
    list: 'dynamic_route_configs',
    shape: (_name, version_info, route_config) => ({ version_info, route_config }),
  },
];

/** `{ configs: [...] }` of the resources that a proxy was last sent. */
export function dumpConfig({ types }: AdsSubscriberReport): JsonValue {
  return { configs: SECTIONS.map((section) => dumpSection(section, types)) };
}

function dumpSection({ message, typeUrl, list, shape }: Section, types: readonly AdsTypeReport[]): JsonValue {
  const report = types.find((type) => type.typeUrl === typeUrl);
  const resources = [...(report?.resources ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    '@type': `type.googleapis.com/${message}`,
    version_info: report?.sentVersion ?? '',
    [list]: resources.map(([name, entry]: [string, ResourceEntry]) =>
      shape(name, entry.version, redactKeySets(toEnvoyJson(AnySchema, entry.any)) as JsonValue),
    ),
  };
}
