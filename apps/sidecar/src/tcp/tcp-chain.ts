// TCP: what a filter chain with a TCP proxy has been compiled to; every connection of it refers here.

import type { AccessLogSink } from '../data-plane.js';
import type { ServedChain } from '../downstream/served-connection.js';
import type { ConnectionStep } from '../external-authorization/connection-check.js';
import type { TunnelSettings } from './connect-tunnel.js';

/** A cluster and its share of the connections. */
export interface WeightedCluster {
  /** Looked up for each connection: a chain may outlive its cluster, and with it what a slot stands for. */
  readonly name: string;
  readonly weight: number;
}

export interface TcpChain extends ServedChain {
  readonly kind: 'tcp';
  readonly listenerName: string;
  /** Who may: access rules and authorizers, in their order. */
  readonly checks: readonly ConnectionStep[];
  readonly clusters: readonly WeightedCluster[];
  readonly totalWeight: number;
  /** Ends a connection in which nothing moves, in either direction; 0 = never. */
  readonly idleTimeoutMs: number;
  /** A connection older than this is ended; 0 = no limit. */
  readonly maxDurationMs: number;
  /** Endpoints that are tried before a connection is given up; at least 1. */
  readonly maxConnectAttempts: number;
  /** Clusters with a ring or a Maglev table choose by the client's address. */
  readonly hashesSource: boolean;
  /** The port at which the host of the ClientHello is called, where a cluster leaves it to connections where they go; 0: none is. */
  readonly forwardPort: number;
  /** Endpoints are asked for a connection to somebody else. */
  readonly tunnel: TunnelSettings | undefined;
  /** The listener's traffic direction is INBOUND: this side reports as the destination. */
  readonly inbound: boolean;
  /** The ALPN under which clients and this side tell each other who they are; empty where they never do. */
  readonly exchangeProtocol: string;
  /** Scope of the metrics: which listener direction and `istio.stats` configuration; 0 = no metrics. */
  readonly metricScope: number;
  readonly accessLog: AccessLogSink | undefined;
}

/** The cluster of the next connection. */
export function pickCluster({ clusters, totalWeight }: TcpChain, random = Math.random): string {
  let left = random() * totalWeight;
  const chosen = clusters.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  return (chosen ?? clusters.findLast(({ weight }) => weight > 0))?.name ?? '';
}
