// Translate: the values that translation reads and makes; everything is immutable once built.

import type { JsonObject } from '@bufbuild/protobuf';
import type { ConfigObject, Kind, MeshConfig } from '@lateen/istio-config';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { NameTable } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';

/** String map, as labels, annotations and selectors are. */
export type StringMap = Readonly<Record<string, string>>;

/** A namespace as the registry reports it (lateen.registry.v1.Namespace). */
export interface Namespace {
  readonly name: string;
  readonly labels: StringMap;
}

/** One port of a service (lateen.registry.v1.ServicePort). */
export interface ServicePort {
  readonly name: string;
  readonly port: number;
  /** Port number on the workload; 0 where `targetPortName` says it. */
  readonly targetPort: number;
  /** The name of a container's port, for which each pod has a number of its own. */
  readonly targetPortName?: string;
  /** Kubernetes appProtocol; empty where unset. */
  readonly appProtocol: string;
}

/** Somebody who answers for a service of a cluster, as its EndpointSlices say; the pod itself where there is one. */
export interface ServiceEndpoint {
  /** One for each family of IP addresses, the service's first family first. */
  readonly addresses: readonly string[];
  /** Port numbers by the names of the service's ports; a port that is missing is not served. */
  readonly ports: Readonly<Record<string, number>>;
  /** It takes new calls. */
  readonly ready: boolean;
  /** `NAMESPACE/NAME` of the pod; empty: somebody wrote the address down. */
  readonly pod: string;
  /** It can be called by name, as `HOSTNAME.SERVICE`; empty where it cannot. */
  readonly hostname: string;
  /** Name of the machine; empty where unknown. */
  readonly node: string;
}

/** A service of the registry (lateen.registry.v1.Service). */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Pod labels that select the workloads; empty selects none. */
  readonly selector: StringMap;
  readonly ports: readonly ServicePort[];
  /** `clusterIP: None`: each of its pods can be called by name, as `POD.SERVICE`. */
  readonly headless?: boolean;
  /** `internalTrafficPolicy: Local`: clients call the endpoints on their own node only. */
  readonly nodeLocal?: boolean;
  /** Kubernetes's `trafficDistribution`; empty where unset. */
  readonly trafficDistribution?: string;
  /** The addresses at which clients call it, one for each family; none where it is headless. */
  readonly clusterIps?: readonly string[];
  /** `type: ExternalName`: another name of this host, and nothing else of the service counts. */
  readonly externalName?: string;
  /** Who answers for it. Undefined, as in local mode: the pods that the selector takes and that are ready. */
  readonly endpoints?: readonly ServiceEndpoint[];
}

/** One port of a workload (lateen.registry.v1.WorkloadPort). */
export interface WorkloadPort {
  /** Port at the pod's address, where the sidecar listens. */
  readonly port: number;
  /** Port on 127.0.0.1 where the application listens. */
  readonly appPort: number;
  readonly name: string;
}

/** A pod with its sidecar, or a gateway (lateen.registry.v1.Workload). */
export interface Workload {
  /** Pod name, unique in its namespace. */
  readonly name: string;
  readonly namespace: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly serviceAccount: string;
  /** Name of the owning Deployment: the "workload" of metrics. */
  readonly workloadName: string;
  /** Address of the pod, where its sidecar listens. */
  readonly address: string;
  readonly ports: readonly WorkloadPort[];
  readonly ready: boolean;
  /** For each service (FQDN) the address that this pod's sidecar binds for outbound calls to it. */
  readonly serviceAddresses: StringMap;
  /** A gateway: no inbound app, listeners come from Gateway resources. */
  readonly gateway: boolean;
  /** `REGION/ZONE/SUBZONE` of a WorkloadEntry; a pod's is in its labels. */
  readonly locality?: string | undefined;
  /** For a gateway: further `IP:PORT` to bind, by listener port (`"8080"` → `"127.0.0.1:8080"`; several by commas). */
  readonly extraBindAddresses: StringMap;
  /** Name of the machine that it runs on; empty or absent where there is only one. */
  readonly node?: string;
  /** Its further addresses, of the other family of IP. */
  readonly otherAddresses?: readonly string[];
  /** It has a sidecar that takes mutual TLS (Istio's label `security.istio.io/tlsMode`); absent: it has, unless it is a gateway. */
  readonly mutualTls?: boolean;
  /** Calls to any port reach its application: connections are intercepted, or it has no sidecar. `ports` are those of services. */
  readonly takesEveryPort?: boolean;
  /** Its address is that of the machine, and of others on it. */
  readonly sharesAddress?: boolean;
}

/** A Secret with certificates, keys or trust roots in it (lateen.registry.v1.Credential). Never to be logged or shown. */
export interface Credential {
  readonly namespace: string;
  readonly name: string;
  /** By the Secret's own keys (`tls.crt`, `tls.key`, `ca.crt`, `cert`, `key`, `cacert`). */
  readonly values: StringMap;
  /** Why there are no values, in words that hold nothing of one: `cannot be read: …`. */
  readonly fault?: string;
}

/** The keys of an issuer, as they were fetched last. */
export interface FetchedKeys {
  /** A key set as JSON (RFC 7517); undefined as long as there was none. */
  readonly keys?: string | undefined;
  /** What was wrong when they were asked for last. */
  readonly problem?: string | undefined;
}

/** What a snapshot is built from; see {@link buildSnapshot}. Order does not matter. */
export interface SnapshotInput {
  /** MeshConfig with its defaults; left out means Istio's defaults. */
  readonly meshConfig?: MeshConfig;
  readonly namespaces: readonly Namespace[];
  readonly services: readonly Service[];
  readonly workloads: readonly Workload[];
  readonly credentials?: readonly Credential[];
  /** Keys of issuers by the address that they are fetched from (see {@link keySourceOf}). */
  readonly tokenKeys?: Readonly<Record<string, FetchedKeys>>;
  /** Validated Istio objects of every kind (MeshConfig excepted). */
  readonly configs: readonly ConfigObject[];
}

/** Hashes of the parts of a snapshot, of which the keys of resources are made: equal hashes mean equal content. */
export interface SnapshotHashes {
  /** MeshConfig and what comes of it: root namespace, trust domain. */
  readonly settings: string;
  /** All services as declared. */
  readonly services: string;
  /** All workloads, and who answers for services. */
  readonly workloads: string;
  readonly credentials: string;
  /** All objects of a kind; a kind without objects is absent. */
  readonly configs: ReadonlyMap<Kind, string>;
}

/**
 * Everything that translation knows of the mesh at one moment. Immutable; equal inputs give equal `contentHash`.
 * Lists are sorted (namespace, name); config objects of a kind are sorted oldest first, then by namespace and name.
 */
export interface MeshSnapshot {
  /** Hash of everything below. Where a config object was written, and its labels, do not count. */
  readonly contentHash: string;
  readonly hashes: SnapshotHashes;
  readonly rootNamespace: string;
  readonly trustDomain: string;
  /** DNS suffix of services: `cluster.local`. */
  readonly clusterDomain: string;
  readonly meshConfig: MeshConfig;
  readonly namespaces: readonly Namespace[];
  /** Whether what is in a namespace counts (discoverySelectors): of all others there is nothing below. */
  readonly discovers: (namespace: string) => boolean;
  readonly services: readonly Service[];
  readonly workloads: readonly Workload[];
  readonly credentials: readonly Credential[];
  readonly tokenKeys: Readonly<Record<string, FetchedKeys>>;
  /** Config objects by kind (`VirtualService`, `DestinationRule`, …). */
  readonly configsByKind: ReadonlyMap<Kind, readonly ConfigObject[]>;
  /** What is wrong with the snapshot whoever looks at it: duplicates that were dropped, conflicts. */
  readonly problems: readonly Problem[];
}

export type ProxyType = 'sidecar' | 'router';

/** A proxy as its Envoy `Node` describes it; made by {@link parseProxyNode}. */
export interface ProxyNode {
  /** Node id, `sidecar~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local`. */
  readonly id: string;
  readonly type: ProxyType;
  readonly ipAddress: string;
  readonly podName: string;
  readonly namespace: string;
  /** Of node metadata `SERVICE_ACCOUNT`; empty where absent. */
  readonly serviceAccount: string;
  /** Of node metadata `WORKLOAD_NAME`; empty where absent. */
  readonly workloadName: string;
  /** Of node metadata `CLUSTER_ID`; `Kubernetes` where absent. */
  readonly clusterId: string;
  /** `REGION/ZONE/SUBZONE` of the node's locality; empty where absent. */
  readonly locality: string;
  /** Of node metadata `LABELS`. */
  readonly labels: StringMap;
  /** Of node metadata `INTERCEPTION_MODE`; `REDIRECT` where absent, as in Istio. */
  readonly interceptionMode: 'NONE' | 'REDIRECT' | 'TPROXY';
  /** The node has `LATEEN_VERSION` or `ISTIO_VERSION`: it may be sent `istio.*` filters. */
  readonly understandsIstioFilters: boolean;
  /** A gRPC client without a proxy (metadata `GENERATOR: grpc`): it asks for the hosts that it calls, by name. */
  readonly proxyless: boolean;
  readonly metadata: JsonObject;
}

/** The result of {@link parseProxyNode}: either the proxy, or everything that is wrong with the node. */
export type ProxyNodeResult =
  | { readonly ok: true; readonly proxy: ProxyNode }
  | { readonly ok: false; readonly errors: readonly string[] };

/** A finding about configuration as a whole, for status and for counting. */
export interface Problem {
  /**
   * Stable code: `dangling-cluster`, `dangling-route`, `dangling-endpoints`, `duplicate-name`, `duplicate-domain` (from
   * checkConsistency: the resources must not be served), `missing-destination`, `conflict-…`, `unsupported-…`.
   */
  readonly code: string;
  /** `error`: the resources must not be served. `warning`: they may; the message says what happens instead. */
  readonly severity: 'error' | 'warning';
  /** Metric that counts it (`pilot_conflict_…`), if there is one. */
  readonly metric?: string;
  /** The config object that it is about, `KIND/NAMESPACE/NAME`, or the xDS resource, `CDS/NAME`. */
  readonly subject: string;
  /** What is wrong, what is done about it, what to change. */
  readonly message: string;
}

/** One xDS resource and its name. */
export interface NamedResource<Message> {
  readonly name: string;
  readonly message: Message;
}

/** All resources of a proxy, each list sorted by name. Messages are shared between views: never change one. */
export interface ProxyResources {
  readonly clusters: readonly NamedResource<Cluster>[];
  readonly endpoints: readonly NamedResource<ClusterLoadAssignment>[];
  readonly listeners: readonly NamedResource<Listener>[];
  readonly routes: readonly NamedResource<RouteConfiguration>[];
  readonly secrets: readonly NamedResource<Secret>[];
  /** The names that it answers DNS questions from: one resource, none where it is not intercepted. */
  readonly names: readonly NamedResource<NameTable>[];
  /** Warnings found while building: missing destinations, conflicts. Sorted, no duplicates. */
  readonly problems: readonly Problem[];
}
