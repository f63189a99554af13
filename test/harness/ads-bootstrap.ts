// Test harness: the bootstrap of a proxy, Envoy or Lateen's, that takes everything from a control plane in plaintext on loopback.

type Json = Record<string, unknown>;

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export const loopback = (port: number): Json => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** A static cluster of one endpoint that speaks HTTP/2, as gRPC needs it. */
export function grpcCluster(name: string, address: Json, extra: Json = {}): Json {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: {
        '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    ...extra,
  };
}

/** Listeners and clusters from the cluster `xds-grpc`, by ADS. */
export function adsResources(apiType: 'GRPC' | 'DELTA_GRPC'): Json {
  const ads = { ads: {}, resource_api_version: 'V3' };
  return {
    ads_config: {
      api_type: apiType,
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
    },
    lds_config: ads,
    cds_config: ads,
  };
}

export interface AdsBootstrapOptions {
  readonly apiType: 'GRPC' | 'DELTA_GRPC';
  readonly controlPort: number;
  readonly adminPort: number;
  readonly clusters?: readonly Json[];
}

export function adsBootstrap({ apiType, controlPort, adminPort, clusters = [] }: AdsBootstrapOptions): Json {
  return {
    node: { id: 'sidecar~127.0.0.1~client-0.default~default.svc.cluster.local', cluster: 'client.default' },
    admin: { address: loopback(adminPort) },
    dynamic_resources: adsResources(apiType),
    static_resources: { clusters: [grpcCluster('xds-grpc', loopback(controlPort)), ...clusters] },
  };
}
