// Downstream: what a filter chain with a HTTP connection manager has been compiled to; every connection of it refers here.

import type { JwtFilter } from '@lateen/jwt';
import type { Http2Settings } from '../codec/http2/http2-settings.js';
import type { AccessLogSink } from '../data-plane.js';
import type { FirstCheck } from '../external-authorization/authorizer.js';
import type { LimitService } from '../limit-service/limit-service.js';
import type { ChainRbac } from '../rbac/request-access.js';
import type { ServedChain } from './served-connection.js';

export interface HttpChain extends ServedChain {
  readonly kind: 'http';
  readonly listenerName: string;
  /** Options record in the core's memory. */
  readonly listenerRecord: number;
  readonly routeConfigSlot: number;
  /** The record of a connection must name its client's address or certificate. */
  readonly connectionRecordNeeded: boolean;
  readonly xfccNeeded: boolean;
  /** The record says at which port the client has connected. */
  readonly localPortNeeded: boolean;
  /** The record names the client by its certificate. */
  readonly principalNeeded: boolean;
  /** Access rules and authorizers before the filter for tokens, in their order. */
  readonly firstChecks: readonly FirstCheck[];
  /** The filter that checks tokens; null: there is none. */
  readonly tokens: JwtFilter | null;
  /** The filters that decide who may; null: there are none. */
  readonly rbac: ChainRbac | null;
  /** The chain has a filter that limits rates. */
  readonly rateLimited: boolean;
  readonly hasQuotas: boolean;
  /** Rate limit services that are asked about requests, in their order. */
  readonly limitServices: readonly LimitService[];
  /** The chain has a filter that injects faults. */
  readonly injectsFaults: boolean;
  /** CORS_*: where the filter that shares answers with other origins stands in the chain. */
  readonly cors: number;
  /** Which protocol clients speak; `auto`: by ALPN, or by the first bytes. */
  readonly codec: 'auto' | 'http1' | 'http2';
  readonly http2: Http2Settings;
  /** The chain has a filter that counts the messages of gRPC for the metrics. */
  readonly countsMessages: boolean;
  /** The chain has a filter that makes gRPC of gRPC-Web. */
  readonly grpcWeb: boolean;
  /** WebSocket upgrades may go through, unless their route says otherwise. */
  readonly websocket: boolean;
  /** The same for CONNECT. */
  readonly connect: boolean;
  /** Closes a connection without a request; 0 = never. */
  readonly idleTimeoutMs: number;
  /** Ends an exchange in which nothing moves; 0 = never. */
  readonly streamIdleTimeoutMs: number;
  /** From a head's first byte to its last; 0 = no limit. */
  readonly requestHeadersTimeoutMs: number;
  /** From the head to the end of the request's body; 0 = no limit. */
  readonly requestTimeoutMs: number;
  /** How long a connection whose last response is out waits for its client to close; 0 = not at all. */
  readonly delayedCloseTimeoutMs: number;
  /** A connection older than this is drained; 0 = no limit. */
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
  /** Of a request's body so much is kept for retries, where its route sets no limit. */
  readonly retryBufferBytes: number;
  /** The listener's traffic direction is INBOUND: this side reports as the destination. */
  readonly inbound: boolean;
  /** Take the peer's metadata from the request (inbound) or the response (outbound). */
  readonly peerFromRequest: boolean;
  readonly peerFromResponse: boolean;
  /** Scope of the metrics context: which listener direction and `istio.stats` configuration; 0 = no metrics. */
  readonly metricScope: number;
  readonly accessLog: AccessLogSink | undefined;
}
