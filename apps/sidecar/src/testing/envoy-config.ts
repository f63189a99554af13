// Tests: data plane configurations written as Envoy's JSON, with the parts that every test needs filled in.

import { create } from '@bufbuild/protobuf';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { type Node, NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { DataPlaneConfig, TlsSecret } from '../data-plane.js';

type Json = Record<string, unknown>;

const TYPE = 'type.googleapis.com/envoy.extensions';

export function testNode(metadata: Json = {}): Node {
  return fromEnvoyJson(NodeSchema, { id: 'sidecar~127.0.0.1~test.default~default.svc.cluster.local', metadata });
}

export const emptyNode: Node = create(NodeSchema);

/** HTTP connection manager as a network filter. */
export function connectionManager(
  routeConfig: Json | { rds: string },
  extra: Json = {},
  filters: readonly Json[] = [],
): Json {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: 'test',
      ...('rds' in routeConfig
        ? { rds: { route_config_name: routeConfig.rds, config_source: { ads: {}, resource_api_version: 'V3' } } }
        : { route_config: { name: 'local', ...routeConfig } }),
      http_filters: [
        ...filters,
        {
          name: 'envoy.filters.http.router',
          typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` },
        },
      ],
      ...extra,
    },
  };
}

/** One virtual host `*` with these routes. */
export function anyHost(...routes: readonly Json[]): Json {
  return { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] };
}

/** A route of everything to a cluster. */
export function toCluster(cluster: string, route: Json = {}, prefix = '/'): Json {
  return { match: { prefix }, route: { cluster, timeout: '0s', ...route } };
}

export function listener(name: string, filterChains: readonly Json[], extra: Json = {}): Json {
  return { name, address: address('127.0.0.1', 0), filter_chains: filterChains, ...extra };
}

export function address(host: string, port: number): Json {
  return { socket_address: { address: host, port_value: port } };
}

export function endpointOf(port: number, extra: Json = {}, host = '127.0.0.1'): Json {
  return { endpoint: { address: address(host, port) }, ...extra };
}

export function cluster(name: string, endpoints: readonly Json[], extra: Json = {}): Json {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] },
    ...extra,
  };
}

/** HttpProtocolOptions of a cluster, for its `extra`. */
export function httpOptions(options: Json): Json {
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
        ...options,
      },
    },
  };
}

export function tlsSocket(kind: 'Downstream' | 'Upstream', common: Json, extra: Json = {}): Json {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${TYPE}.transport_sockets.tls.v3.${kind}TlsContext`,
      common_tls_context: common,
      ...extra,
    },
  };
}

export const TLS_INSPECTOR: Json = {
  name: 'envoy.filters.listener.tls_inspector',
  typed_config: { '@type': `${TYPE}.filters.listener.tls_inspector.v3.TlsInspector` },
};

export function dataPlaneConfig(
  listeners: readonly Json[],
  clusters: readonly Json[],
  secrets: ReadonlyMap<string, TlsSecret> = new Map(),
): DataPlaneConfig {
  return {
    listeners: listeners.map((json) => fromEnvoyJson(ListenerSchema, json)),
    routes: new Map(),
    clusters: clusters.map((json) => fromEnvoyJson(ClusterSchema, json)),
    endpoints: new Map(),
    secrets,
  };
}
