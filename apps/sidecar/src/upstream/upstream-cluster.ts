// Upstream: a cluster's connection settings, made anew at each configuration; its endpoints and their pools live longer.

import type { Duration } from '@bufbuild/protobuf/wkt';
import { type WarmUpSettings, warmUpOf } from '@lateen/filters-wasm';
import { unpackAny } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { HttpProtocolOptionsSchema } from '@lateen/xds-proto/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { METADATA_EXCHANGE, readStruct } from '../downstream/mesh-filters.js';
import { type SourceAddresses, sourceAddresses } from './dial.js';
import { type ForwardSettings, readForwardSettings } from './discovery/forward-settings.js';
import { type HealthSettings, healthSettings } from './health/health-settings.js';
import { type OutlierSettings, outlierSettings } from './outliers/outlier-settings.js';
import { type OriginalSettings, readOriginalSettings } from './requested/original-settings.js';
import { compileUpstreamHttp, type UpstreamHttp } from './upstream-http.js';

const DEFAULT_CONNECT_TIMEOUT_MS = 5000;
const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;
const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export interface UpstreamCluster {
  /** Slot in the core's memory. */
  readonly slot: number;
  readonly name: string;
  /** Under which it is counted and logged. */
  readonly statName: string;
  readonly config: Cluster;
  readonly connectTimeoutMs: number;
  /** Closes a pooled connection without a request; 0 = never. */
  readonly idleTimeoutMs: number;
  /** The ALPN under which TCP connections begin with metadata of both sides; empty where they never do. */
  readonly exchangeProtocol: string;
  /** 0 = no limit. */
  readonly maxRequestsPerConnection: number;
  /** From when on a connection takes no further request, and is closed once it has none; 0 = never. */
  readonly maxConnectionDurationMs: number;
  /** Idle time before TCP probes the peer, 0 = the system's; undefined: it does not. */
  readonly keepAliveMs: number | undefined;
  readonly http: UpstreamHttp;
  /** Set where each request says where it goes. */
  readonly forwards: ForwardSettings | undefined;
  /** Set where connections go on to where they were opened to. */
  readonly original: OriginalSettings | undefined;
  /** Where its connections come from; undefined: the system chooses. */
  readonly source: SourceAddresses | undefined;
  /** Undefined where endpoints that fail stay in use. */
  readonly outliers: OutlierSettings | undefined;
  /** Undefined where new endpoints get their share at once. */
  readonly warmUp: WarmUpSettings | undefined;
  /** Undefined where endpoints are not asked whether they are well. */
  readonly health: HealthSettings | undefined;
}

/** Milliseconds of a protobuf duration. */
export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + Math.round(duration.nanos / 1_000_000);
}

/** @throws AnyDecodeError where the protocol options cannot be read */
export function createUpstreamCluster(config: Cluster, slot: number): UpstreamCluster {
  const packed = config.typedExtensionProtocolOptions[HTTP_PROTOCOL_OPTIONS];
  const protocols = packed === undefined ? undefined : unpackAny(packed, HttpProtocolOptionsSchema);
  const options = protocols?.commonHttpProtocolOptions ?? config.commonHttpProtocolOptions;
  return {
    slot,
    name: config.name,
    statName: config.altStatName || config.name,
    config,
    connectTimeoutMs:
      config.connectTimeout === undefined ? DEFAULT_CONNECT_TIMEOUT_MS : durationMs(config.connectTimeout),
    idleTimeoutMs: options?.idleTimeout === undefined ? DEFAULT_IDLE_TIMEOUT_MS : durationMs(options.idleTimeout),
    exchangeProtocol: exchangeProtocolOf(config),
    keepAliveMs: keepAliveOf(config),
    http: compileUpstreamHttp(config, protocols),
    forwards: readForwardSettings(config),
    original: readOriginalSettings(config),
    source: sourceAddresses(config.upstreamBindConfig),
    maxConnectionDurationMs:
      options?.maxConnectionDuration === undefined ? 0 : durationMs(options.maxConnectionDuration),
    outliers: outlierSettings(config.outlierDetection),
    warmUp: warmUpOf(config),
    health: healthSettings(config),
    maxRequestsPerConnection: options?.maxRequestsPerConnection ?? config.maxRequestsPerConnection ?? 0,
  };
}

function keepAliveOf({ upstreamConnectionOptions }: Cluster): number | undefined {
  const keepalive = upstreamConnectionOptions?.tcpKeepalive;
  return keepalive && (keepalive.keepaliveTime ?? 0) * 1000;
}

/** From the cluster's metadata exchange filter; what else a cluster's filters might be was refused. */
function exchangeProtocolOf({ filters }: Cluster): string {
  for (const filter of filters) {
    const read = readStruct(filter);
    if (typeof read !== 'string' && read.type === METADATA_EXCHANGE.tcp) return String(read.value.protocol ?? '');
  }
  return '';
}
