// Admin API: /config_dump in Envoy's form: bootstrap, clusters, listeners, routes, secrets and, when asked for, endpoints.

import type { DescMessage, Message } from '@bufbuild/protobuf';
import { anyIs, TYPE_URL, toEnvoyJson, unpackAny, type XdsTypeUrl } from '@lateen/xds-proto';
import { BootstrapSchema } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { SubscriptionStatus } from '@lateen/xds-stream';
import type { SidecarBootstrap } from '../config/bootstrap.js';
import type { ConfigStore } from '../config/store/config-store.js';
import type { ResourceEntry } from '../config/store/resource-state.js';
import { OWN_CERTIFICATE, OWN_ROOTS, type OwnIdentity } from '../identity/own-identity.js';
import { redactSecrets } from './redact.js';

export interface ConfigDumpSources {
  readonly bootstrap: SidecarBootstrap;
  readonly store: ConfigStore;
  readonly identity: OwnIdentity | undefined;
  readonly statuses: readonly SubscriptionStatus[];
  readonly startedMs: number;
}

type Json = Record<string, unknown>;

const ADMIN = 'type.googleapis.com/envoy.admin.v3';
const SECTIONS: readonly ((sources: ConfigDumpSources) => Json)[] = [
  bootstrapSection,
  clustersSection,
  listenersSection,
  routesSection,
  secretsSection,
];

/** @param includeEndpoints as Envoy's `include_eds` */
export function buildConfigDump(sources: ConfigDumpSources, includeEndpoints: boolean): Json {
  const sections = includeEndpoints ? [...SECTIONS, endpointsSection] : SECTIONS;
  return { configs: redactSecrets(sections.map((section) => section(sources))) };
}

function bootstrapSection({ bootstrap, startedMs }: ConfigDumpSources): Json {
  return {
    '@type': `${ADMIN}.BootstrapConfigDump`,
    bootstrap: toEnvoyJson(BootstrapSchema, bootstrap.message),
    last_updated: isoTime(startedMs),
  };
}

function clustersSection(sources: ConfigDumpSources): Json {
  const { bootstrap, store, startedMs } = sources;
  const active = store.activeClusters;
  const states = dynamicStates(sources, TYPE_URL.cluster, active, ClusterSchema, 'cluster');
  return {
    '@type': `${ADMIN}.ClustersConfigDump`,
    version_info: versionOf(sources, TYPE_URL.cluster),
    static_clusters: bootstrap.clusters.map((cluster) => ({
      cluster: typed(ClusterSchema, cluster),
      last_updated: isoTime(startedMs),
    })),
    dynamic_active_clusters: states.filter(({ state }) => state === 'active').map(({ json }) => json),
    dynamic_warming_clusters: states.filter(({ state }) => state === 'warming').map(({ json }) => json),
  };
}

function listenersSection(sources: ConfigDumpSources): Json {
  const { bootstrap, store, startedMs } = sources;
  const byName = new Map<string, Json>();
  for (const { name, state, json } of dynamicStates(
    sources,
    TYPE_URL.listener,
    store.activeListeners,
    ListenerSchema,
    'listener',
  )) {
    const entry = byName.get(name) ?? { name };
    const { error_state, ...rest } = json;
    entry[`${state}_state`] = rest;
    if (error_state !== undefined) entry.error_state = error_state;
    byName.set(name, entry);
  }
  for (const rejected of store.rejected) {
    if (rejected.typeUrl !== TYPE_URL.listener || byName.has(rejected.name)) continue;
    byName.set(rejected.name, { name: rejected.name, error_state: failure(rejected) });
  }
  return {
    '@type': `${ADMIN}.ListenersConfigDump`,
    version_info: versionOf(sources, TYPE_URL.listener),
    static_listeners: bootstrap.listeners.map((listener) => ({
      listener: typed(ListenerSchema, listener),
      last_updated: isoTime(startedMs),
    })),
    dynamic_listeners: [...byName.values()],
  };
}

function routesSection(sources: ConfigDumpSources): Json {
  const { bootstrap, store, startedMs } = sources;
  const listeners = [...bootstrap.listeners, ...[...store.activeListeners.values()].map(({ value }) => value)];
  return {
    '@type': `${ADMIN}.RoutesConfigDump`,
    static_route_configs: listeners.flatMap(inlineRoutes).map((route) => ({
      route_config: typed(RouteConfigurationSchema, route),
      last_updated: isoTime(startedMs),
    })),
    dynamic_route_configs: [...store.accepted[TYPE_URL.route].values()].map((entry) =>
      dynamicJson(sources, TYPE_URL.route, entry, RouteConfigurationSchema, 'route_config'),
    ),
  };
}

function inlineRoutes(listener: Listener): RouteConfiguration[] {
  const chains = [...listener.filterChains, ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : [])];
  return chains.flatMap(({ filters }) =>
    filters.flatMap(({ configType }) => {
      if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) return [];
      const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
      return routeSpecifier.case === 'routeConfig' ? [routeSpecifier.value] : [];
    }),
  );
}

function secretsSection(sources: ConfigDumpSources): Json {
  const { bootstrap, store, identity, startedMs } = sources;
  const dynamic: Json[] = [...store.accepted[TYPE_URL.secret].values()].map((entry) => ({
    name: entry.name,
    ...dynamicJson(sources, TYPE_URL.secret, entry, SecretSchema, 'secret'),
  }));
  const own = identity?.current;
  if (own !== undefined) {
    const base = { version_info: own.serial, last_updated: own.notBefore.toISOString() };
    const type = `type.googleapis.com/${SecretSchema.typeName}`;
    dynamic.push(
      {
        name: OWN_CERTIFICATE,
        ...base,
        secret: {
          '@type': type,
          name: OWN_CERTIFICATE,
          tls_certificate: {
            certificate_chain: { inline_bytes: Buffer.from(own.certChainPem).toString('base64') },
            private_key: { inline_bytes: '' },
          },
        },
      },
      {
        name: OWN_ROOTS,
        ...base,
        secret: {
          '@type': type,
          name: OWN_ROOTS,
          validation_context: { trusted_ca: { inline_bytes: Buffer.from(own.rootsPem).toString('base64') } },
        },
      },
    );
  }
  return {
    '@type': `${ADMIN}.SecretsConfigDump`,
    static_secrets: bootstrap.secrets.map((secret) => ({
      name: secret.name,
      last_updated: isoTime(startedMs),
      secret: typed(SecretSchema, secret),
    })),
    dynamic_active_secrets: dynamic,
  };
}

function endpointsSection(sources: ConfigDumpSources): Json {
  const { bootstrap, store, startedMs } = sources;
  const clusters = [...bootstrap.clusters, ...[...store.activeClusters.values()].map(({ value }) => value)];
  return {
    '@type': `${ADMIN}.EndpointsConfigDump`,
    static_endpoint_configs: clusters.flatMap(({ loadAssignment }) =>
      loadAssignment === undefined
        ? []
        : [{ endpoint_config: typed(ClusterLoadAssignmentSchema, loadAssignment), last_updated: isoTime(startedMs) }],
    ),
    dynamic_endpoint_configs: [...store.accepted[TYPE_URL.endpoint].values()].map((entry) =>
      dynamicJson(sources, TYPE_URL.endpoint, entry, ClusterLoadAssignmentSchema, 'endpoint_config'),
    ),
  };
}

/** An accepted entry is active or still waits; where a newer one waits, the one in effect is listed as well. */
function dynamicStates<T extends Message>(
  sources: ConfigDumpSources,
  typeUrl: XdsTypeUrl,
  active: ReadonlyMap<string, ResourceEntry<T>>,
  schema: DescMessage,
  field: string,
): { name: string; state: 'active' | 'warming'; json: Json }[] {
  const states: { name: string; state: 'active' | 'warming'; json: Json }[] = [];
  for (const entry of active.values()) {
    states.push({ name: entry.name, state: 'active', json: dynamicJson(sources, typeUrl, entry, schema, field) });
  }
  for (const entry of sources.store.accepted[typeUrl].values()) {
    if (active.get(entry.name)?.value === (entry.value as Message)) continue;
    states.push({ name: entry.name, state: 'warming', json: dynamicJson(sources, typeUrl, entry, schema, field) });
  }
  return states;
}

function dynamicJson(
  { store }: ConfigDumpSources,
  typeUrl: XdsTypeUrl,
  entry: ResourceEntry<Message>,
  schema: DescMessage,
  field: string,
): Json {
  const json: Json = {
    version_info: entry.version,
    [field]: typed(schema, entry.value),
    last_updated: isoTime(entry.updatedMs),
  };
  for (const rejected of store.rejected) {
    if (rejected.typeUrl === typeUrl && rejected.name === entry.name) json.error_state = failure(rejected);
  }
  return json;
}

function failure({ message, atMs }: { readonly message: string; readonly atMs: number }): Json {
  return { details: message, last_update_attempt: isoTime(atMs) };
}

function typed(schema: DescMessage, message: Message): Json {
  return { '@type': `type.googleapis.com/${schema.typeName}`, ...(toEnvoyJson(schema, message) as Json) };
}

function versionOf({ statuses }: ConfigDumpSources, typeUrl: XdsTypeUrl): string {
  return statuses.find((status) => status.typeUrl === typeUrl)?.version ?? '';
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
