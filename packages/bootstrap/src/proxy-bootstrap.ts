// The Envoy v3 bootstrap file of a pod's sidecar, in local mode and in a cluster.

import { isIP } from 'node:net';
import { stringify } from 'yaml';

export interface SidecarNode {
  readonly podName: string;
  readonly namespace: string;
  readonly workloadName: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the pod: they may say how the proxy is started. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly address: string;
  /** All of its addresses, that one first; left out: it has no other. */
  readonly addresses?: readonly string[] | undefined;
  /** A gateway is a `router` node, everything else a `sidecar`. */
  readonly gateway: boolean;
}

export interface BootstrapOptions {
  readonly node: SidecarNode;
  /** Of IP, or a DNS name. */
  readonly pilotAddress: string;
  readonly pilotPort: number;
  readonly trustDomain: string;
  readonly version: string;
  /** Variables of the proxy; what begins with ISTIO_META_ is told to Pilot. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where the admin API listens; left out: on the pod's address. */
  readonly adminAddress?: string | undefined;
  /** How connections reach the proxy; left out: by addresses of its own (local mode), with its ports at the pod's address. */
  readonly interceptionMode?: 'REDIRECT' | 'TPROXY' | 'NONE' | undefined;
  readonly clusterId?: string | undefined;
  readonly meshId?: string | undefined;
  /** More of the node's metadata. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

const ADMIN_PORT = 15000;
const XDS_CLUSTER = 'xds-grpc';

/** `sidecar~IP~POD.NS~NS.svc.cluster.local`, as Istio names a proxy. */
export function nodeId(node: SidecarNode): string {
  const type = node.gateway ? 'router' : 'sidecar';
  return `${type}~${node.address}~${node.podName}.${node.namespace}~${node.namespace}.svc.cluster.local`;
}

const META = 'ISTIO_META_';

/** As Istio's agents: the variables that begin so are metadata of the node. */
function metadataOf(environment: Readonly<Record<string, string>>): Record<string, string> {
  const told = Object.entries(environment).filter(([name]) => name.startsWith(META) && name !== META);
  return Object.fromEntries(told.map(([name, value]) => [name.slice(META.length), value]));
}

/** The bootstrap as YAML text. Listeners and clusters come from Pilot. */
export function buildBootstrap(options: BootstrapOptions): string {
  const { node } = options;
  const adsConfig = { ads: {}, resource_api_version: 'V3' };
  const bootstrap = {
    node: {
      id: nodeId(node),
      cluster: `${node.workloadName}.${node.namespace}`,
      metadata: {
        // First, so that nothing of it takes the place of who the proxy is.
        ...metadataOf(options.environment ?? {}),
        ...options.metadata,
        NAME: node.podName,
        NAMESPACE: node.namespace,
        INSTANCE_IPS: (node.addresses ?? [node.address]).join(','),
        LABELS: node.labels,
        SERVICE_ACCOUNT: node.serviceAccount,
        WORKLOAD_NAME: node.workloadName,
        CLUSTER_ID: options.clusterId ?? 'Kubernetes',
        MESH_ID: options.meshId ?? options.trustDomain,
        INTERCEPTION_MODE: options.interceptionMode ?? 'NONE',
        LATEEN_VERSION: options.version,
        ...(options.interceptionMode === undefined ? { LATEEN_PORTS: true } : {}),
      },
    },
    admin: { address: { socket_address: { address: options.adminAddress ?? node.address, port_value: ADMIN_PORT } } },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: XDS_CLUSTER } }],
      },
      cds_config: adsConfig,
      lds_config: adsConfig,
    },
    static_resources: { clusters: [xdsCluster(options)] },
  };
  // The same object stands in two places; written out it reads better than as an anchor.
  return stringify(bootstrap, { aliasDuplicateObjects: false });
}

/** Pilot, by mutual TLS with the sidecar's own certificate; only Pilot's identity is accepted. */
function xdsCluster(options: BootstrapOptions): object {
  const ownIdentity = {
    resource_api_version: 'V3',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
  };
  const pilot = `spiffe://${options.trustDomain}/ns/istio-system/sa/pilot`;
  return {
    name: XDS_CLUSTER,
    type: isIP(options.pilotAddress) === 0 ? 'STRICT_DNS' : 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: XDS_CLUSTER,
      endpoints: [
        {
          lb_endpoints: [
            {
              endpoint: {
                address: { socket_address: { address: options.pilotAddress, port_value: options.pilotPort } },
              },
            },
          ],
        },
      ],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        common_tls_context: {
          alpn_protocols: ['h2'],
          tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: ownIdentity }],
          combined_validation_context: {
            default_validation_context: {
              match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: pilot } }],
            },
            validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: ownIdentity },
          },
        },
      },
    },
  };
}
