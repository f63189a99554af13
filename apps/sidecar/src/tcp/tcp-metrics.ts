// TCP: Istio's standard TCP metrics: a series for each pair of workloads, counted as bytes move.

import type { ISTIO_LABELS } from '@lateen/telemetry';
import type { TcpMetricSeries } from '../data-plane.js';
import { standardLabels } from '../exchange/metric-labels.js';
import { UNKNOWN_WORKLOAD, type WorkloadFacts } from '../exchange/peer-metadata.js';
import { tcpFlagsText } from '../exchange/response-flags.js';
import type { MetricScopes } from '../observe/metric-scopes.js';
import type { SecurityPairs } from '../transport/security-pairs.js';
import type { UpstreamCluster } from '../upstream/upstream-cluster.js';

/** Like the HTTP metrics', so that no peer can fill the memory with names. */
const MAX_SERIES = 16_383;
/** Labels that only requests have. */
const HTTP_LABELS: ReadonlySet<(typeof ISTIO_LABELS)[number]> = new Set(['response_code', 'grpc_response_status']);

/** What a series is of. */
export interface TcpSeriesKey {
  readonly scope: number;
  readonly cluster: UpstreamCluster | undefined;
  readonly peer: WorkloadFacts | undefined;
  /** Of SecurityPairs. */
  readonly securityId: number;
  /** FLAG bits. */
  readonly flags: number;
}

/** Counters of one series. Sent is toward the client, as Istio has it. */
export class TcpSeries {
  opened = 0;
  closed = 0;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(readonly key: TcpSeriesKey) {}
}

export class TcpMetrics {
  private readonly byKey = new Map<string, TcpSeries>();
  /** Where everything is counted that finds no room. */
  private overflow: TcpSeries | undefined;

  constructor(
    private readonly scopes: MetricScopes,
    private readonly pairs: SecurityPairs,
    private readonly self: WorkloadFacts,
  ) {}

  seriesOf(key: TcpSeriesKey): TcpSeries {
    const { scope, cluster, peer, securityId, flags } = key;
    const text = JSON.stringify([scope, cluster?.name, peer, securityId, flags]);
    let series = this.byKey.get(text);
    if (series !== undefined) return series;
    if (this.byKey.size >= MAX_SERIES) {
      this.overflow ??= new TcpSeries({ scope, cluster: undefined, peer: undefined, securityId: 0, flags: 0 });
      return this.overflow;
    }
    series = new TcpSeries(key);
    this.byKey.set(text, series);
    return series;
  }

  *series(): IterableIterator<TcpMetricSeries> {
    for (const series of this.byKey.values()) yield this.view(series);
    if (this.overflow !== undefined) yield this.view(this.overflow);
  }

  private view(series: TcpSeries): TcpMetricSeries {
    const { scope: number, cluster, peer, securityId, flags } = series.key;
    const scope = this.scopes.scope(number);
    const all = standardLabels({
      inbound: scope?.inbound ?? false,
      self: this.self,
      peer: peer ?? UNKNOWN_WORKLOAD,
      pair: this.pairs.pair(securityId),
      cluster: cluster?.config,
      protocol: 'tcp',
      responseCode: '',
      grpcStatus: '',
      responseFlags: tcpFlagsText(flags),
    });
    return {
      labels: Object.fromEntries(Object.entries(all).filter(([label]) => !HTTP_LABELS.has(label as never))),
      statsConfig: scope?.statsConfig ?? {},
      openedTotal: series.opened,
      closedTotal: series.closed,
      sentBytesTotal: series.sentBytes,
      receivedBytesTotal: series.receivedBytes,
    };
  }
}
