// Fuzzing, xDS: resources of each type to start from, with the fields that the sidecar acts on.

import { type DescMessage, toBinary } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { fromEnvoyJson, packAny } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { rds } from '../../security/control-plane.js';
import {
  address,
  cluster,
  type Json,
  listener,
  MESH_FILTERS,
  TLS_INSPECTOR,
  toCluster,
} from '../../security/proxy-under-test.js';

export const FUZZED_NAME = 'fuzzed';

const ROUTES: readonly Json[] = [
  {
    match: {
      prefix: '/api',
      headers: [
        { name: 'end-user', string_match: { exact: 'jason' } },
        { name: 'x', present_match: true, invert_match: true },
      ],
    },
    route: {
      weighted_clusters: {
        clusters: [
          { name: 'base', weight: 20 },
          { name: 'base', weight: 80, request_headers_to_add: [{ header: { key: 'a', value: 'b' } }] },
        ],
      },
      timeout: '3s',
      retry_policy: { retry_on: '5xx,reset', num_retries: 2, per_try_timeout: '1s', retry_host_predicate: [] },
      prefix_rewrite: '/v1',
    },
    response_headers_to_remove: ['server'],
  },
  {
    match: { path: '/old', case_sensitive: false },
    redirect: { host_redirect: 'h', path_redirect: '/new', response_code: 'FOUND' },
  },
  { match: { path_separated_prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'teapot' } } },
  {
    match: { prefix: '/', query_parameters: [{ name: 'q', string_match: { prefix: 'x' } }] },
    route: { cluster: 'base', host_rewrite_literal: 'other' },
  },
  toCluster('base'),
];

const routeConfiguration = (name: string): Json => ({
  name,
  virtual_hosts: [
    {
      name: 'some',
      domains: ['a.example', '*.example', 'b.*'],
      routes: ROUTES,
      retry_policy: { retry_on: 'connect-failure' },
    },
    { name: 'all', domains: ['*'], routes: ROUTES.slice(1) },
  ],
  request_headers_to_add: [{ header: { key: 'x-added', value: 'yes' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
});

const endpoints = (name: string): Json => ({
  cluster_name: name,
  endpoints: [
    {
      locality: { region: 'r', zone: 'z' },
      load_balancing_weight: 3,
      lb_endpoints: [
        { endpoint: { address: address(9) }, load_balancing_weight: 2, health_status: 'HEALTHY' },
        { endpoint: { address: address(10) }, metadata: { filter_metadata: { 'envoy.lb': { version: 'v1' } } } },
      ],
    },
    { priority: 1, lb_endpoints: [{ endpoint: { address: address(11) } }] },
  ],
});

const CLUSTERS: readonly Json[] = [
  cluster(FUZZED_NAME, 9, {
    lb_policy: 'LEAST_REQUEST',
    circuit_breakers: {
      thresholds: [{ max_connections: 5, max_pending_requests: 6, max_requests: 7, max_retries: 1 }],
    },
    common_lb_config: { locality_weighted_lb_config: {}, healthy_panic_threshold: { value: 50 } },
    health_checks: [
      {
        timeout: '1s',
        interval: '5s',
        interval_jitter_percent: 10,
        unhealthy_threshold: 2,
        healthy_threshold: 1,
        http_health_check: {
          path: '/healthz',
          expected_statuses: [{ start: 200, end: 300 }],
          request_headers_to_add: [{ header: { key: 'x-probe', value: 'a' } }],
        },
      },
    ],
  }),
  {
    name: FUZZED_NAME,
    type: 'EDS',
    eds_cluster_config: {
      service_name: `${FUZZED_NAME}-endpoints`,
      eds_config: { ads: {}, resource_api_version: 'V3' },
    },
    connect_timeout: '0.5s',
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        sni: 'a',
        common_tls_context: {
          alpn_protocols: ['istio'],
          validation_context: {
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: 'spiffe://a/b' } }],
          },
        },
      },
    },
  },
];

const LISTENERS: readonly Json[] = [
  listener(FUZZED_NAME, 0, {
    routes: ROUTES,
    log: true,
    filters: MESH_FILTERS,
    hcm: { use_remote_address: true, xff_num_trusted_hops: 1, stream_idle_timeout: '5s' },
  }),
  listener(
    FUZZED_NAME,
    0,
    { routes: ROUTES },
    { listener_filters: [TLS_INSPECTOR], traffic_direction: 'INBOUND', per_connection_buffer_limit_bytes: 32_768 },
  ),
];

function packed(schema: DescMessage, json: Json): Any {
  return packAny(schema, fromEnvoyJson(schema, JSON.parse(JSON.stringify(json)) as never));
}

function bytesOf(schema: DescMessage, json: Json): Buffer {
  return Buffer.from(toBinary(AnySchema, packed(schema, json)));
}

/** Each an `Any`, in bytes. */
export const XDS_SEEDS: readonly Buffer[] = [
  ...LISTENERS.map((json) => bytesOf(ListenerSchema, json)),
  ...CLUSTERS.map((json) => bytesOf(ClusterSchema, json)),
  bytesOf(RouteConfigurationSchema, routeConfiguration(FUZZED_NAME)),
  bytesOf(ClusterLoadAssignmentSchema, endpoints(`${FUZZED_NAME}-endpoints`)),
];

export type BaseResources = ReturnType<typeof baseResources>;

/** What is always served beside the fuzzed resource, and must go on serving. */
export function baseResources(backendPort: number, listenerPort: number, fuzzedRoutesPort: number) {
  return {
    clusters: [
      cluster('base', backendPort),
      { ...(CLUSTERS[1] as Json), name: 'fuzzed-eds', transport_socket: undefined },
    ].map((json) => [json.name as string, packed(ClusterSchema, json)] as const),
    listeners: [
      listener('base', listenerPort, { routes: [toCluster('base')] }),
      listener('fuzzed-routes', fuzzedRoutesPort, { routes: [], hcm: rds(FUZZED_NAME) }),
    ].map((json) => [json.name as string, packed(ListenerSchema, json)] as const),
  };
}
