// Interop tests: the bootstrap of a proxy on Pilot's ADS, for a Lateen sidecar or a stock Envoy.

import { adsResources, grpcCluster, loopback } from '../harness/ads-bootstrap.js';
import type { Json } from './proxy-pair.js';

export interface MeshNode {
  readonly podName: string;
  readonly namespace: string;
  readonly workloadName: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly address: string;
  readonly gateway: boolean;
}

export interface MeshBootstrapOptions {
  readonly node: MeshNode;
  readonly pilotPort: number;
  readonly apiType: 'GRPC' | 'DELTA_GRPC';
  /** Unix socket that serves an Envoy's secrets; a Lateen sidecar has none. */
  readonly sdsSocket?: string;
}

const SDS = {
  resource_api_version: 'V3',
  api_config_source: {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
  },
};

function pilotCluster(port: number): Json {
  const pilot = 'spiffe://cluster.local/ns/istio-system/sa/pilot';
  const transport_socket = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: {
        alpn_protocols: ['h2'],
        tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
        tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: SDS }],
        combined_validation_context: {
          default_validation_context: {
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: pilot } }],
          },
          validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: SDS },
        },
      },
    },
  };
  return grpcCluster('xds-grpc', loopback(port), { transport_socket });
}

/** What the node says of itself. A stock Envoy has no LATEEN_VERSION, and so is sent nothing that only Lateen understands. */
export function meshBootstrap({ node, pilotPort, apiType, sdsSocket }: MeshBootstrapOptions): Json {
  const isLateen = sdsSocket === undefined;
  const type = node.gateway ? 'router' : 'sidecar';
  return {
    node: {
      id: `${type}~${node.address}~${node.podName}.${node.namespace}~${node.namespace}.svc.cluster.local`,
      cluster: `${node.workloadName}.${node.namespace}`,
      metadata: {
        NAME: node.podName,
        NAMESPACE: node.namespace,
        INSTANCE_IPS: node.address,
        LABELS: node.labels,
        SERVICE_ACCOUNT: node.serviceAccount,
        WORKLOAD_NAME: node.workloadName,
        CLUSTER_ID: 'Kubernetes',
        MESH_ID: 'cluster.local',
        INTERCEPTION_MODE: 'NONE',
        ...(isLateen ? { LATEEN_VERSION: '0.1.0' } : {}),
      },
    },
    admin: { address: { socket_address: { address: node.address, port_value: 15000 } } },
    dynamic_resources: adsResources(apiType),
    static_resources: {
      clusters: [
        pilotCluster(pilotPort),
        ...(sdsSocket === undefined ? [] : [grpcCluster('sds-grpc', { pipe: { path: sdsSocket } })]),
      ],
    },
  };
}
