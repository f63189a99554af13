// Exchange: what is known of the request at hand; set back when the next one begins on the same connection.

import { CHUNK_MODE_FRAMED } from '@lateen/filters-wasm';
import type { Endpoint } from '../upstream/endpoint.js';

/** Plain fields, all of them read by metrics and the access log after the request has ended. */
export class ExchangeState {
  /** A request has begun and its response has not ended. */
  active = false;
  /** METHOD_*. */
  method = 0;
  upgrade = false;
  /** The method is CONNECT. */
  connect = false;
  /** The tunnel ends here: the upstream gets what is in it, and no HTTP. */
  terminates = false;
  /** One side of a tunnel has ended, the other may go on. */
  clientEnded = false;
  upstreamEnded = false;
  listenerRecord = 0;
  /** CHUNK_MODE_* in which a chunked response goes to this client. */
  responseChunkMode = CHUNK_MODE_FRAMED;
  /** The end of the response is the end of the connection: it has no length. */
  endsWithConnection = false;
  /** DOWNSTREAM_* that follow from the request. */
  downstreamFlags = 0;
  requestComplete = false;
  responseStarted = false;

  startMs = 0;
  lastActiveMs = 0;
  requestCompleteMs = 0;
  /** FLAG bits. */
  flags = 0;
  /** 0 until a response head was written. */
  status = 0;
  details = '';
  /** The transport's words for the last failed attempt. */
  failureReason = '';
  clusterSlot = -1;
  /** The request has been given to its cluster, whatever came of it. */
  asksCluster = false;
  /** Policy record of the route, 0 = none. */
  policy = 0;
  endpoint: Endpoint | null = null;
  /** Interned metadata of the peer, 0 = unknown. */
  peer = 0;
  upstreamSecurityId = 0;
  upstreamLocalAddress: string | undefined;
  /** Header lines for the client, each with its end, that filters have added. */
  headLines = '';
  /** The head as the upstream got it; only where an access log is on. */
  sentHead = '';
  requestWireBytes = 0;
  requestBodyBytes = 0;
  responseWireBytes = 0;
  responseBodyBytes = 0;
  /** From the end of the request to the head of the response, -1 where there was none. */
  serviceTimeMs = -1;
  /** The request is gRPC; its messages are counted where a filter wants that and the protocol shows them (not in chunks). */
  countsMessages = false;
  /** The request is gRPC. */
  grpc = false;
  /** What the head or the trailers of the response say, -1 where they say nothing. */
  grpcStatus = -1;

  /** @param wireBytes bytes of the request that are here already */
  protected reset(wireBytes: number, nowMs: number): void {
    this.active = true;
    this.startMs = nowMs;
    this.lastActiveMs = nowMs;
    this.requestCompleteMs = nowMs;
    this.requestComplete = false;
    this.responseStarted = false;
    this.connect = false;
    this.terminates = false;
    this.clientEnded = false;
    this.upstreamEnded = false;
    this.downstreamFlags = 0;
    this.flags = 0;
    this.status = 0;
    this.details = '';
    this.failureReason = '';
    this.clusterSlot = -1;
    this.asksCluster = false;
    this.policy = 0;
    this.endpoint = null;
    this.peer = 0;
    this.upstreamSecurityId = 0;
    this.upstreamLocalAddress = undefined;
    this.sentHead = '';
    this.headLines = '';
    this.requestWireBytes = wireBytes;
    this.requestBodyBytes = 0;
    this.responseWireBytes = 0;
    this.responseBodyBytes = 0;
    this.serviceTimeMs = -1;
    this.countsMessages = false;
    this.grpc = false;
    this.grpcStatus = -1;
  }
}
