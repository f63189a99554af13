// Exchange: gives the core's series their names: Istio's standard labels, computed at scrape and never on the request path.

import { type Core, type Histogram, type MetricSeries, readSeries } from '@lateen/filters-wasm';
import { ISTIO_LABELS, type IstioLabel } from '@lateen/telemetry';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { HistogramView, RequestMetricSeries } from '../data-plane.js';
import type { MetricScopes } from '../observe/metric-scopes.js';
import type { DataPath } from '../transport/data-path.js';
import type { SecurityPair, SecurityPairs } from '../transport/security-pairs.js';
import { parsePeer, UNKNOWN_WORKLOAD, type WorkloadFacts } from './peer-metadata.js';
import { CONTEXT_CLUSTERS, NO_CLUSTER } from './request-metrics.js';
import { flagsText } from './response-flags.js';

const UNKNOWN = 'unknown';

export class MetricReader {
  private readonly peers = new Map<number, WorkloadFacts>();

  constructor(
    private readonly path: DataPath,
    private readonly scopes: MetricScopes,
    private readonly pairs: SecurityPairs,
    private readonly self: WorkloadFacts,
  ) {}

  *series(): IterableIterator<RequestMetricSeries> {
    for (const series of readSeries(this.path.core)) {
      const scope = this.scopes.scope(Math.floor(series.context / CONTEXT_CLUSTERS));
      yield {
        labels: this.labels(series, scope?.inbound ?? false),
        statsConfig: scope?.statsConfig ?? {},
        requestsTotal: series.requests,
        requestMessagesTotal: series.requestMessages,
        responseMessagesTotal: series.responseMessages,
        durationMs: cumulative(series.durationMs),
        requestBytes: cumulative(series.requestBytes),
        responseBytes: cumulative(series.responseBytes),
      };
    }
  }

  private labels(series: MetricSeries, inbound: boolean): Record<IstioLabel, string> {
    const slot = series.context % CONTEXT_CLUSTERS;
    return standardLabels({
      inbound,
      self: this.self,
      peer: this.peer(series.peer),
      pair: this.pairs.pair(series.connection),
      cluster: slot === NO_CLUSTER ? undefined : this.path.clusters[slot]?.config,
      protocol: series.grpcStatus === -1 ? 'http' : 'grpc',
      responseCode: String(series.code),
      grpcStatus: series.grpcStatus >= 0 ? String(series.grpcStatus) : '',
      responseFlags: flagsText(series.flags),
    });
  }

  private peer(id: number): WorkloadFacts {
    if (id === 0) return UNKNOWN_WORKLOAD;
    let facts = this.peers.get(id);
    if (facts === undefined) {
      const value = this.path.core.peerMetadata(id);
      facts = value === undefined ? UNKNOWN_WORKLOAD : parsePeer(value);
      this.peers.set(id, facts);
    }
    return facts;
  }
}

/** What the standard labels are made of. */
export interface LabelSources {
  /** This side reports as the destination. */
  readonly inbound: boolean;
  readonly self: WorkloadFacts;
  readonly peer: WorkloadFacts;
  readonly pair: SecurityPair | undefined;
  readonly cluster: Cluster | undefined;
  readonly protocol: 'http' | 'grpc' | 'tcp';
  /** Empty where there is none, as of TCP. */
  readonly responseCode: string;
  readonly grpcStatus: string;
  readonly responseFlags: string;
}

/** Istio's standard labels, with its exceptions to `unknown`. */
export function standardLabels(from: LabelSources): Record<IstioLabel, string> {
  const { inbound, self, peer, pair, responseCode, grpcStatus } = from;
  const [source, destination] = inbound ? [peer, self] : [self, peer];
  const service = serviceOf(from.cluster);
  const security = pair?.mutualTls ? 'mutual_tls' : 'none';
  const values: Record<IstioLabel, string> = {
    reporter: inbound ? 'destination' : 'source',
    source_workload: source.workload,
    source_canonical_service: source.canonicalService,
    // Istio's exception: a known peer without a revision is "latest", as Kubernetes would name it.
    source_canonical_revision: source.canonicalRevision || 'latest',
    source_workload_namespace: source.namespace,
    source_principal: pair?.source ?? '',
    source_app: source.app,
    source_version: source.version,
    source_cluster: source.cluster,
    destination_workload: destination.workload,
    destination_workload_namespace: destination.namespace,
    destination_principal: pair?.destination ?? '',
    destination_app: destination.app,
    destination_version: destination.version,
    destination_service: service.host,
    destination_canonical_service: destination.canonicalService,
    destination_canonical_revision: destination.canonicalRevision || 'latest',
    destination_service_name: service.name,
    destination_service_namespace: service.namespace || destination.namespace,
    destination_cluster: destination.cluster,
    request_protocol: from.protocol,
    response_code: responseCode,
    grpc_response_status: grpcStatus,
    response_flags: from.responseFlags,
    connection_security_policy: inbound ? security : UNKNOWN,
  };
  for (const label of ISTIO_LABELS) {
    if (values[label] === '' && label !== 'grpc_response_status') values[label] = UNKNOWN;
  }
  return values;
}

interface ServiceFacts {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

/** The service of a cluster: from its `istio.services` metadata, else from its name. */
function serviceOf(cluster: Cluster | undefined): ServiceFacts {
  if (cluster === undefined) return { host: '', name: '', namespace: '' };
  const services = cluster.metadata?.filterMetadata.istio?.services;
  const first = Array.isArray(services) ? services[0] : undefined;
  if (typeof first === 'object' && first !== null && !Array.isArray(first)) {
    const text = (key: string): string => (typeof first[key] === 'string' ? first[key] : '');
    return { host: text('host'), name: text('name'), namespace: text('namespace') };
  }
  if (/^(?:PassthroughCluster|BlackHoleCluster|InboundPassthroughCluster)$/.test(cluster.name)) {
    return { host: '', name: cluster.name, namespace: '' };
  }
  const host = cluster.name.split('|')[3] ?? '';
  return { host, name: host.split('.')[0] ?? '', namespace: host.split('.')[1] ?? '' };
}

function cumulative({ sum, buckets }: Histogram): HistogramView {
  let count = 0;
  return { sum, buckets: buckets.map((value) => (count += value)), count };
}

/** Interns an endpoint's workload, for peers that tell nothing of themselves. */
export function internWorkload(core: Core, scratch: number, value: string): number {
  const length = core.bytes.write(value, scratch, 'latin1');
  return core.wasm.internPeer(scratch, length, 0);
}
