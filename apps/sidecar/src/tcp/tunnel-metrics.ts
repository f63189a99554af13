// TCP: counts a CONNECT whose tunnel ends here as the connection that it is, in the metrics of TCP.

import type { ExchangeClient } from '../exchange/exchange-client.js';
import type { ExchangeState } from '../exchange/exchange-state.js';
import { parseEndpointWorkload } from '../exchange/peer-metadata.js';
import type { UpstreamCluster } from '../upstream/upstream-cluster.js';
import type { TcpMetrics, TcpSeries } from './tcp-metrics.js';

export interface TunnelMetricsOptions {
  readonly metrics: TcpMetrics;
  readonly clusterAt: (slot: number) => UpstreamCluster | undefined;
  /** What goes to this address comes to a listener of this proxy, which counts it. */
  readonly isOwn: (address: string, port: number) => boolean;
}

/** Sent is toward the client, as Istio has it. */
export class TunnelMetrics {
  constructor(private readonly options: TunnelMetricsOptions) {}

  /** The tunnel is there. */
  opened(exchange: ExchangeState, client: ExchangeClient): void {
    const series = this.seriesOf(exchange, client);
    if (series !== undefined) series.opened++;
  }

  /** It has ended, or never came to be: as of connections of TCP, one that fails is opened and closed. */
  closed(exchange: ExchangeState, client: ExchangeClient): void {
    const series = this.seriesOf(exchange, client);
    if (series === undefined) return;
    if (!exchange.responseStarted) series.opened++;
    series.closed++;
    series.receivedBytes += exchange.requestBodyBytes;
    series.sentBytes += exchange.responseBodyBytes;
  }

  private seriesOf(exchange: ExchangeState, { chain, securityId }: ExchangeClient): TcpSeries | undefined {
    const { metrics, clusterAt, isOwn } = this.options;
    const { endpoint, flags, clusterSlot, upstreamSecurityId } = exchange;
    if (chain.metricScope === 0 || (endpoint !== null && isOwn(endpoint.address, endpoint.port))) return undefined;
    const workload = endpoint?.config?.metadata?.filterMetadata.istio?.workload;
    return metrics.seriesOf({
      scope: chain.metricScope,
      cluster: clusterSlot < 0 ? undefined : clusterAt(clusterSlot),
      peer: chain.inbound || typeof workload !== 'string' ? undefined : parseEndpointWorkload(workload),
      securityId: chain.inbound ? securityId : upstreamSecurityId,
      flags,
    });
  }
}
