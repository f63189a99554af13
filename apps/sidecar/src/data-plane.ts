// The boundary between the control side (bootstrap, ADS, SDS, admin) and the data path: what is applied and what may be seen.

import type { RateLimitCounts, RouteCounts, Share } from '@lateen/filters-wasm';
import type { JwtCounts } from '@lateen/jwt';
import type { AccessLog } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { ClientHandle, GiveAway, OpenSocket, SharedSocket } from './downstream/socket-listener.js';
import type { AuthorizerCounts } from './external-authorization/authorizer-counts.js';
import type { LimitServiceCounts } from './limit-service/limit-counts.js';
import type { CallService } from './observe/audit/collectors/grpc-collector.js';
import type { ClusterCounts } from './observe/cluster-counts.js';
import type { QuotaBuckets } from './quota/quota-buckets.js';
import type { RbacCounts } from './rbac/rbac-counts.js';
import type { PeerFault } from './transport/peer-check.js';
import type { HealthCounts } from './upstream/health/health-checker.js';
import type { Ejection, OutlierCounts } from './upstream/outliers/outlier-detector.js';

/** What a secret name stands for at this moment. PEM may hold several certificates. */
export type TlsSecret =
  | { readonly kind: 'certificate'; readonly certificateChainPem: string; readonly privateKeyPem: string }
  | { readonly kind: 'validation'; readonly trustedCaPem: string; readonly crlPem?: string | undefined };

/** One complete, warmed configuration: every name that is referred to is in it, or is missing on purpose. */
export interface DataPlaneConfig {
  readonly listeners: readonly Listener[];
  /** RDS resources by name; inline route configurations stay in their listener. */
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
  readonly clusters: readonly Cluster[];
  /** EDS resources by `eds_cluster_config.service_name`, or the cluster's name where that is empty. */
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignment>;
  /** Endpoints that were discovered for clusters (by DNS), by cluster name; they take the place of `load_assignment`. */
  readonly discovered?: ReadonlyMap<string, ClusterLoadAssignment>;
  /** Secrets by SDS name (`default`, `ROOTCA`, `kubernetes://NAME`). */
  readonly secrets: ReadonlyMap<string, TlsSecret>;
}

/** One fault of a configuration, with the path of the field. */
export interface ConfigProblem {
  /** Type URL of the resource (`TYPE_URL.listener`, ...). */
  readonly resourceType: string;
  readonly resourceName: string;
  /** Field path inside the resource, for example `filter_chains[0].filters[0]`; empty for the whole resource. */
  readonly path: string;
  readonly message: string;
  /** Set where nothing is wrong with the resource: an address cannot be bound now, and later perhaps can. */
  readonly mayPass?: boolean;
}

/** Thrown by `DataPlane.apply`; the configuration that ran before keeps running. */
export class ConfigRejected extends Error {
  constructor(readonly problems: readonly ConfigProblem[]) {
    super(
      problems
        .map((problem) => `${problem.resourceName}${problem.path === '' ? '' : ` ${problem.path}`}: ${problem.message}`)
        .join('\n'),
    );
    this.name = 'ConfigRejected';
  }
}

/**
 * One finished exchange, as an access log formatter sees it. The object is reused: read it during the call, keep nothing.
 * Absent values are `undefined`; header names are lower case.
 */
export interface AccessLogRecord {
  /** Milliseconds since the epoch when the first byte of the request head arrived. */
  readonly startTimeMs: number;
  readonly durationMs: number;
  readonly method: string | undefined;
  /** The path as forwarded; `requestHeader('x-envoy-original-path')` has the one before a rewrite. */
  readonly path: string | undefined;
  readonly authority: string | undefined;
  /** `HTTP/2`, `HTTP/1.1` or `HTTP/1.0`. */
  readonly protocol: string | undefined;
  /** 0 where no response was sent. */
  readonly responseCode: number;
  /** Envoy's short flags joined by commas, or `-`. */
  readonly responseFlags: string;
  readonly responseCodeDetails: string | undefined;
  /** Of gRPC, undefined where there is none. */
  readonly grpcStatus: number | undefined;
  readonly connectionTerminationDetails: string | undefined;
  readonly upstreamTransportFailureReason: string | undefined;
  /** Body bytes, as Envoy's BYTES_RECEIVED and BYTES_SENT. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Milliseconds from the request's end to the response's first byte, as x-envoy-upstream-service-time. */
  readonly upstreamServiceTimeMs: number | undefined;
  /** `IP:PORT` of the endpoint. */
  readonly upstreamHost: string | undefined;
  readonly upstreamCluster: string | undefined;
  /** The name under which it is counted. */
  readonly upstreamStatName: string | undefined;
  readonly upstreamLocalAddress: string | undefined;
  readonly downstreamLocalAddress: string | undefined;
  readonly downstreamRemoteAddress: string | undefined;
  /** SNI of the downstream connection. */
  readonly requestedServerName: string | undefined;
  readonly routeName: string | undefined;
  /** URI SAN of the downstream peer's verified certificate. */
  readonly downstreamPeerUriSan: string | undefined;
  readonly attemptCount: number;
  /** What filters have said (dynamic metadata), as `NAMESPACE:NAME`. */
  metadata(name: string): string | undefined;
  /** A request header's first value, as it was sent upstream (generated ones such as x-request-id included). */
  requestHeader(name: string): string | undefined;
  /** A response header's first value, as it was sent downstream. */
  responseHeader(name: string): string | undefined;
}

export type AccessLogSink = (record: AccessLogRecord) => void;

/** How many downstream connections may be open; those beyond are closed when they are accepted. */
export interface ConnectionLimits {
  /** Over all listeners; Infinity where there is no limit. */
  readonly total: number;
  /** By the name of the listener. */
  readonly ofListener: ReadonlyMap<string, number>;
}

/** What the data path needs from its process. */
export interface DataPlaneOptions {
  /** The bootstrap's node: the peer metadata sent to others is made from its metadata. */
  readonly node: Node;
  /** Left out: no limits. */
  readonly connectionLimits?: ConnectionLimits;
  /**
   * Compiles the `access_log` list of a HTTP connection manager. Called while a configuration is compiled, only with a
   * list that is not empty; `undefined` means that nothing is to be logged. A thrown error rejects the configuration
   * with its message.
   */
  readonly createAccessLogSink?: (accessLogs: readonly AccessLog[], listenerName: string) => AccessLogSink | undefined;
  /** Cluster of the quota service; left out: there is none, and filters that need one are refused. */
  readonly quotaCluster?: string | undefined;
  /** Which part of the limits of its proxy this process keeps to; left out: it is the only process. */
  readonly share?: Share;
  /** So that any process of the proxy resumes the TLS sessions of any other; left out: a secret of its own, which ends with it. */
  readonly ticketSecret?: Uint8Array;
  /** Opens the listening sockets; left out: they are bound. */
  readonly openSocket?: OpenSocket;
  /** Gives connections to other processes of the proxy; left out: there are none. */
  readonly giveAway?: GiveAway;
  /** Called when outlier detection has ejected an endpoint, for the other processes of the proxy. */
  readonly onEjected?: (ejection: Ejection) => void;
  /** Rare events worth a line: a handshake refused, a certificate that cannot be used, an accept error. */
  readonly log?: (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

/** Process-wide counters, plain numbers that only grow (gauges say so). Exported as `envoy_…` by the control side. */
export interface DataPlaneStats {
  downstreamCxTotal: number;
  /** Gauge. */
  downstreamCxActive: number;
  /** Handshakes that were completed. */
  downstreamCxTlsTotal: number;
  /** Handshakes that failed or timed out. */
  downstreamCxTlsErrors: number;
  /** Clients that were refused for their certificate, by what is wrong with it. */
  readonly downstreamCxTlsRefused: Record<PeerFault, number>;
  /** Closed while their first bytes were looked at: not what the listener takes, or too late. */
  downstreamCxUnrecognized: number;
  downstreamCxNoFilterChain: number;
  /** Closed at once, since a limit of connections was reached. */
  downstreamCxOverflow: number;
  /** Reset: they were opened to the address of an intercepting listener itself. */
  downstreamCxLoops: number;
  /** Connections that a TCP proxy took. */
  tcpCxTotal: number;
  /** Of these, those whose cluster is not there. */
  tcpCxNoRoute: number;
  /** Bytes from clients of TCP proxies, and to them, of connections that have ended. */
  tcpCxReceivedBytes: number;
  tcpCxSentBytes: number;
  /** Gauge. */
  tcpCxActive: number;
  downstreamRqTotal: number;
  /** Gauge. */
  downstreamRqActive: number;
  downstreamRq1xx: number;
  downstreamRq2xx: number;
  downstreamRq3xx: number;
  downstreamRq4xx: number;
  downstreamRq5xx: number;
  upstreamCxTotal: number;
  /** Gauge. */
  upstreamCxActive: number;
  upstreamCxConnectFail: number;
  upstreamCxConnectTimeout: number;
  /** Connections whose TLS handshake resumed a session. */
  upstreamCxTlsResumed: number;
  upstreamRqTotal: number;
  upstreamRqRetry: number;
  /** RST_STREAM frames. */
  http2ResetsSent: number;
  http2ResetsReceived: number;
  /** HTTP/2 connections that ended by an error of their peer, and among them those by the limit against floods that was passed. */
  http2ConnectionErrors: number;
  readonly http2Floods: Record<string, number>;
  /** Exchanges by response flag (`UH`, `UF`, ...). */
  readonly rqByFlag: Record<string, number>;
  /** Gauge: bytes in use of the output ring. */
  ringUsedBytes: number;
  configApplied: number;
  configRejected: number;
}

export interface ListenerView {
  readonly name: string;
  readonly state: 'active' | 'draining';
  /** Addresses really bound (port 0 resolved); of a listener without a socket of its own, those that it is for. */
  readonly addresses: readonly { readonly address: string; readonly port: number }[];
  readonly connections: number;
}

export interface EndpointView {
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly healthy: boolean;
  /** EDS health status by its proto name (`HEALTHY`, `UNHEALTHY`, ...). */
  readonly edsHealth: string;
  /** By outlier detection. */
  readonly ejected: boolean;
  /** It fails its health checks, or has not passed one yet. */
  readonly failing: boolean;
  /** It does not count before its first health check is over. */
  readonly unchecked: boolean;
  /** Its last health check failed since it did not answer in time. */
  readonly checkTimedOut: boolean;
  readonly weight: number;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** A request has asked for it: each process has its own of these. */
  readonly requested?: boolean;
  /** 0 is asked first. */
  readonly priority: number;
  readonly cxActive: number;
  readonly cxTotal: number;
  readonly cxConnectFail: number;
  readonly rqActive: number;
  readonly rqTotal: number;
  readonly rqSuccess: number;
  readonly rqError: number;
  readonly rqTimeout: number;
}

export interface ClusterView {
  readonly name: string;
  /** Under which it is counted; several may share one. */
  readonly statName: string;
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly rqPending: number;
  /** What became of its requests. */
  readonly counts: Readonly<ClusterCounts>;
  /** Undefined where the cluster has no outlier detection. */
  readonly outliers: Readonly<OutlierCounts> | undefined;
  /** Undefined where the cluster has no health checks. */
  readonly health: Readonly<HealthCounts> | undefined;
  readonly endpoints: readonly EndpointView[];
}

/** A cumulative histogram over `ISTIO_HISTOGRAM_BUCKETS`. `buckets[i]` counts what is ≤ bound i; the last is +Inf. */
export interface HistogramView {
  readonly count: number;
  readonly sum: number;
  readonly buckets: readonly number[];
}

/**
 * One series of Istio's standard HTTP metrics. `labels` holds all of `ISTIO_LABELS` with their plain values;
 * `statsConfig` is the decoded `istio.stats` plugin configuration of the filter chain (JSON form), whose overrides the
 * exposition applies.
 */
export interface RequestMetricSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly statsConfig: unknown;
  readonly requestsTotal: number;
  /** Messages of gRPC. */
  readonly requestMessagesTotal: number;
  readonly responseMessagesTotal: number;
  readonly durationMs: HistogramView;
  readonly requestBytes: HistogramView;
  readonly responseBytes: HistogramView;
}

/** One series of Istio's standard TCP metrics; `labels` lacks those that only requests have. */
export interface TcpMetricSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly statsConfig: unknown;
  readonly openedTotal: number;
  readonly closedTotal: number;
  /** Toward clients. */
  readonly sentBytesTotal: number;
  /** From clients. */
  readonly receivedBytesTotal: number;
}

/** A configuration that can be put in effect at any moment, and is not yet. Nothing else may be applied meanwhile. */
export interface PreparedConfig {
  /** Every address that it listens on. */
  readonly sockets: readonly SharedSocket[];
  /** In this turn of the event loop. */
  commit(): void;
  /** What ran before keeps running. */
  abandon(): void;
}

/** What can be seen of a data path. */
export interface DataPlaneViews {
  readonly stats: Readonly<DataPlaneStats>;
  listeners(): ListenerView[];
  clusters(): ClusterView[];
  /** Standard metrics of HTTP exchanges, read from the data path's memory at the moment of the call. */
  metricSeries(): IterableIterator<RequestMetricSeries>;
  /** Standard metrics of TCP connections. */
  tcpMetricSeries(): IterableIterator<TcpMetricSeries>;
  /** Counters of local rate limits by stat_prefix. */
  rateLimits(): readonly RateLimitCounts[];
  /** Counters of filters for tokens. */
  tokenChecks(): readonly JwtCounts[];
  /** Counters of filters that decide who may. */
  rbac(): readonly RbacCounts[];
  /** Counters of filters that ask authorizers. */
  authorizers(): readonly AuthorizerCounts[];
  /** Counters of routes that have a stat_prefix. */
  routeCounts(): readonly RouteCounts[];
  /** Counters of rate limit services by the cluster that requests go to. */
  limitServices(): readonly LimitServiceCounts[];
}

/** The running data path of a process. A proxy has one, or several that do the same (workers). */
export interface DataPlane extends DataPlaneViews {
  /**
   * Takes a complete configuration, all or nothing. Listeners whose bytes did not change keep socket and connections;
   * new ones are bound before the promise resolves. Calls must not overlap.
   * @throws ConfigRejected with every problem found; what ran before keeps running
   */
  apply(config: DataPlaneConfig): Promise<void>;
  /** The first half of `apply`. @throws as it does */
  prepare(config: DataPlaneConfig): Promise<PreparedConfig>;
  /**
   * Replaces the secrets (certificate renewal, new trust bundle) without touching listeners or connections: new
   * handshakes use them at once.
   * @throws ConfigRejected where a secret cannot be used; the previous ones stay
   */
  updateSecrets(secrets: ReadonlyMap<string, TlsSecret>): void;
  /**
   * Stops accepting, asks clients to leave with `connection: close`, waits for exchanges in flight up to `graceMs`, then
   * ends everything.
   * @param lastCalls waited for when clients are gone, and calls can still be made
   */
  drain(graceMs: number, lastCalls?: () => Promise<void>): Promise<void>;
  /** Existing connections are told to close, with their next response; new ones are still taken, and told the same. */
  askToLeave(): void;
  /** As Envoy's `/drain_listeners`: stops accepting; existing connections are told to close and may end in their time. */
  drainListeners(): void;
  /** Ends everything at once. */
  close(): Promise<void>;
  /** New clusters whose first round of health checks is not over. */
  warmingClusters(): readonly string[];
  /** Another process of the proxy has accepted a connection, and gives it to this one. False where nobody listens there. */
  takeConnection(key: string, connection: ClientHandle): boolean;
  /** Outlier detection of another process of the proxy has ejected an endpoint. */
  takeEjection(ejection: Ejection): void;
  /** Buckets of quotas, for whoever asks a quota service. */
  readonly quotas: QuotaBuckets;
  /** A call of gRPC over a cluster. Rejects with the reason where it is not answered with success. */
  readonly call: CallService;
}
