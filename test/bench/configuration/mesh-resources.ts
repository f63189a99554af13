// Benchmark (h): what a control plane sends to a proxy in a mesh of N services.

import { fromEnvoyJson, packAny, TYPE_URL } from '@lateen/xds-proto';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { ServedSnapshot } from '@lateen/xds-stream';

const ENDPOINTS = 10;
const ADS = { ads: {}, resource_api_version: 'V3' };
const HTTP = 'type.googleapis.com/envoy.extensions.filters';

const clusterName = (index: number) => `outbound|80||service-${index}.default.svc.cluster.local`;

export function cluster(index: number): Cluster {
  return fromEnvoyJson(ClusterSchema, {
    name: clusterName(index),
    type: 'EDS',
    connect_timeout: '10s',
    lb_policy: 'LEAST_REQUEST',
    eds_cluster_config: { eds_config: ADS },
  });
}

export function endpoints(index: number): ClusterLoadAssignment {
  const address = (host: number) => ({ address: `10.${index >> 8}.${index & 255}.${host}`, port_value: 8080 });
  return fromEnvoyJson(ClusterLoadAssignmentSchema, {
    cluster_name: clusterName(index),
    endpoints: [
      {
        lb_endpoints: Array.from({ length: ENDPOINTS }, (_, host) => ({
          endpoint: { address: { socket_address: address(host) } },
        })),
      },
    ],
  });
}

/** One virtual host for each service, with two routes. */
export function routes(services: number): RouteConfiguration {
  return fromEnvoyJson(RouteConfigurationSchema, {
    name: '80',
    virtual_hosts: Array.from({ length: services }, (_, index) => {
      const name = `service-${index}`;
      const action = {
        cluster: clusterName(index),
        timeout: '0s',
        retry_policy: { retry_on: 'connect-failure,refused-stream,unavailable,cancelled', num_retries: 2 },
      };
      return {
        name: `${name}.default.svc.cluster.local:80`,
        domains: [`${name}.default.svc.cluster.local`, name, `${name}.default.svc`, `${name}.default`],
        routes: [
          {
            match: { prefix: '/', headers: [{ name: 'end-user', string_match: { exact: 'jason' } }] },
            route: action,
          },
          { match: { prefix: '/' }, route: action },
        ],
      };
    }),
  });
}

function listener(port: number) {
  return fromEnvoyJson(ListenerSchema, {
    name: 'outbound',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${HTTP}.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: 'outbound',
              rds: { route_config_name: '80', config_source: ADS },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${HTTP}.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  });
}

/** Everything, for one proxy that listens on `port`. */
export function meshSnapshot(services: number, port: number): ServedSnapshot {
  const version = String(services);
  const indexes = Array.from({ length: services }, (_, index) => index);
  const set = <T>(items: readonly T[], name: (item: T) => string, pack: (item: T) => ReturnType<typeof packAny>) =>
    new Map(items.map((item) => [name(item), { version, any: pack(item) }]));
  return {
    version,
    resources: new Map([
      [TYPE_URL.cluster, set(indexes, clusterName, (index) => packAny(ClusterSchema, cluster(index)))],
      [TYPE_URL.endpoint, set(indexes, clusterName, (index) => packAny(ClusterLoadAssignmentSchema, endpoints(index)))],
      [
        TYPE_URL.listener,
        set(
          [port],
          () => 'outbound',
          (at) => packAny(ListenerSchema, listener(at)),
        ),
      ],
      [
        TYPE_URL.route,
        set(
          [services],
          () => '80',
          (count) => packAny(RouteConfigurationSchema, routes(count)),
        ),
      ],
    ]),
  };
}
