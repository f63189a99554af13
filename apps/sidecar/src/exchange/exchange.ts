// Exchange: the state machine of one request and its response; one object for each client connection, used again and again.

import * as L from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { DrainListener } from '../transport/socket-writer.js';
import type { TimerOwner } from '../transport/timer-wheel.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { UpstreamConnection } from '../upstream/upstream-connection.js';
import type { UpstreamRequest } from '../upstream/upstream-request.js';
import { AccessLogEntry } from './access-log-entry.js';
import type { ExchangeClient } from './exchange-client.js';
import { ExchangeState } from './exchange-state.js';
import {
  ExchangeTimers,
  TIMER_BACKOFF,
  TIMER_IDLE,
  TIMER_ROUTE,
  TIMER_STREAM,
  timeoutReply,
} from './exchange-timers.js';
import { KeptRequest } from './kept-request.js';
import {
  DIRECT_RESPONSE_DETAILS,
  HEAD_TOO_LARGE,
  type LocalReply,
  NO_HEALTHY_UPSTREAM,
  notPicked,
  ROUTE_NOT_FOUND,
  STREAM_IDLE,
  UPSTREAM_IDLE,
  type UpstreamFailure,
  upstreamReset,
  VIA_UPSTREAM_DETAILS,
} from './local-reply.js';
import { chargeRateLimits } from './rate-limit.js';
import { countRequest } from './request-metrics.js';
import { FLAG } from './response-flags.js';
import { endsWithConnection, type ResponseFacts, ResponseWriter } from './response-writer.js';
import { Attempts, isRetriableResponse } from './retries/attempts.js';
import { isRetriableFailure } from './retries/retry-policy.js';

export class Exchange extends ExchangeState implements UpstreamRequest, ResponseFacts, TimerOwner, DrainListener {
  nextPending: UpstreamRequest | null = null;
  pendingOn: Endpoint | null = null;
  private readonly kept: KeptRequest;
  readonly attempts: Attempts;
  private readonly writer: ResponseWriter;
  private readonly log: AccessLogEntry | null;
  private upstream: UpstreamConnection | null = null;
  private holdsRequestUnit = false;
  private endpointHeld = false;
  private readonly timers: ExchangeTimers;
  private readonly requestDrain: DrainListener = { onDrained: () => this.client.resumeRequest() };

  constructor(
    private readonly path: DataPath,
    private readonly client: ExchangeClient,
  ) {
    super();
    this.kept = new KeptRequest(path);
    this.attempts = new Attempts(path, this.kept);
    this.timers = new ExchangeTimers(path, this);
    const { accessLog } = client.chain;
    this.log = accessLog === undefined ? null : new AccessLogEntry(path.core, accessLog);
    this.writer = new ResponseWriter(path, client, this.log);
  }

  /** REQ_* is filled: decides, and sends the request with the body bytes that are here (`wireLength` with their framing). */
  begin(headLength: number, bodyAddress: number, bodyLength: number, wireLength: number, complete: boolean): void {
    const { wasm, i32 } = this.path.core;
    const { chain } = this.client;
    this.start(headLength + wireLength);
    this.method = i32[L.REQ_METHOD >> 2]!;
    this.upgrade = (i32[L.REQ_FLAGS >> 2]! & L.REQUEST_UPGRADE) !== 0;
    const http10 = i32[L.REQ_MINOR_VERSION >> 2] === 0;
    this.responseChunkMode = http10 ? L.CHUNK_MODE_DATA : L.CHUNK_MODE_FRAMED;
    this.downstreamFlags =
      (http10 ? L.DOWNSTREAM_HTTP_10 : 0) | (this.method === L.METHOD_HEAD ? L.DOWNSTREAM_HEAD : 0);
    if (chain.peerFromRequest) this.readRequestPeer();
    this.log?.noteRequest();
    const action = wasm.route(chain.routeConfigSlot, -1, this.client.secure);
    this.policy = i32[L.ROUTE_POLICY >> 2]!;
    this.log?.noteRoute();
    this.requestComplete = complete;
    const limited = chain.rateLimited ? chargeRateLimits(this.path, this.client, this) : null;
    if (limited !== null) this.replyLocally(limited);
    else if (action === L.ROUTE_ACTION_FORWARD) this.forward(headLength, bodyAddress, bodyLength, complete);
    else if (action === L.ROUTE_ACTION_NONE) this.replyLocally(ROUTE_NOT_FOUND);
    else this.replyFromTable();
  }

  /** An answer to a request that was not routed: a head that the codec refused. REQ_* need not be filled. */
  refuse(reply: LocalReply): void {
    this.start(0);
    this.replyLocally(reply);
  }

  /** More of the request's body. */
  requestBytes(address: number, length: number, wireLength: number, complete: boolean): void {
    this.lastActiveMs = this.path.clock.nowMs;
    this.requestWireBytes += wireLength;
    this.requestBodyBytes += length;
    const upstream = this.upstream;
    this.kept.add(address, length, upstream === null ? null : upstream.writer);
    if (complete) this.completeRequest();
    else if (upstream === null) this.client.pauseRequest();
    else if (upstream.writer.backedUp) {
      this.client.pauseRequest();
      upstream.writer.notifyDrained(this.requestDrain);
    }
  }

  /** The client has gone; nobody is left to answer. */
  onClientGone(): void {
    if (!this.active) return;
    this.flags |= FLAG.DC;
    if (this.details === '') this.details = 'downstream_remote_disconnect';
    this.dropUpstream();
    this.finish(true);
  }

  /** Ends the exchange with an answer of our own, or by cutting the connection where the response has begun. */
  fail(reply: LocalReply): void {
    this.dropUpstream();
    if (!this.responseStarted) {
      this.replyLocally(reply);
      return;
    }
    this.flags |= reply.flags;
    this.details = reply.details;
    this.finish(true);
    this.client.abort();
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_BACKOFF) this.tryAgain();
    else if (kind === TIMER_STREAM) this.fail(timeoutReply(kind));
    else if (!this.timers.isOver(kind, this.policy, this.lastActiveMs)) return;
    else if (kind === TIMER_IDLE) this.onStreamIdle();
    else {
      if (this.endpoint !== null) this.endpoint.stats.rqTimeout++;
      if (kind === TIMER_ROUTE || !this.retryAfterTimeout()) this.fail(timeoutReply(kind));
    }
  }

  /** Nothing has moved for as long as the listener or the route allows. */
  onStreamIdle(): void {
    this.fail(this.requestComplete ? UPSTREAM_IDLE : STREAM_IDLE);
  }

  // ---- Upstream ------------------------------------------------------------------------------------------------------

  onUpstreamReady(connection: UpstreamConnection): void {
    this.upstream = connection;
    this.upstreamSecurityId = connection.securityId;
    if (this.log !== null) this.upstreamLocalAddress = connection.localAddressText;
    this.kept.sendTo(connection.writer);
    if (!this.requestComplete) this.client.resumeRequest();
  }

  onUpstreamFailed(failure: UpstreamFailure, reason: string, freshConnection: boolean): void {
    this.releaseEndpoint(false);
    this.upstream = null;
    this.failureReason = reason;
    if (this.responseStarted) {
      this.flags |= FLAG.UC;
      this.details = 'upstream_reset_after_response_started{connection_termination}';
      if (this.endsWithConnection) this.client.responseTruncated();
      this.finish(true);
      this.client.abort();
      return;
    }
    if (this.policy !== 0 && this.kept.replayable) {
      const covered = isRetriableFailure(this.path.core, this.policy, failure, freshConnection, this.method);
      if (covered && this.attempts.take(this.clusterSlot)) {
        // The race with a server that closes idle connections says nothing about its health: no back-off.
        const stale = failure === 'closed' && !freshConnection;
        this.timers.retryAfter(stale ? 0 : this.attempts.nextBackoffMs(this.policy));
        return;
      }
    }
    this.replyLocally(upstreamReset(failure, reason, this.attempts.count > 1));
  }

  onResponseHead(status: number): boolean {
    const { i32, wasm } = this.path.core;
    const { count, anyLeft } = this.attempts;
    if ((count > 1 || anyLeft) && isRetriableResponse(this.path.core, this.policy, status)) {
      if (this.requestComplete && this.kept.replayable && this.attempts.take(this.clusterSlot)) {
        this.releaseEndpoint(status < 500);
        this.upstream = null;
        this.timers.retryAfter(this.attempts.backoffAfterResponseMs(this.policy));
        return true;
      }
      if (count > 1) this.flags |= FLAG.URX;
    }
    this.responseStarted = true;
    this.endsWithConnection = endsWithConnection(this.path.core, this.responseChunkMode);
    if (this.endsWithConnection) this.client.closeAfterResponse();
    this.status = status;
    this.details = VIA_UPSTREAM_DETAILS;
    this.serviceTimeMs = Math.round(
      this.path.clock.nowMs - (this.requestComplete ? this.requestCompleteMs : this.startMs),
    );
    this.timers.endAttempt();
    const peerLength = i32[L.RESP_PEER_METADATA_LENGTH >> 2]!;
    if (this.client.chain.peerFromResponse && peerLength > 0) {
      this.peer = wasm.internPeer(i32[L.RESP_PEER_METADATA_OFFSET >> 2]!, peerLength, this.peer);
    }
    this.grpcStatus = i32[L.RESP_GRPC_STATUS >> 2]!;
    if (this.log === null) this.kept.release((this.upstream as UpstreamConnection).writer);
    return false;
  }

  onResponseBytes(address: number, length: number, isFirst: boolean): void {
    const { writer } = this.client;
    this.responseBodyBytes += length;
    if (isFirst) this.writer.writeHead(this, address, length);
    else {
      this.lastActiveMs = this.path.clock.nowMs;
      writer.writeCopy(address, length);
    }
    if (writer.backedUp && this.upstream !== null) {
      this.upstream.pause();
      writer.notifyDrained(this);
    }
  }

  /** The client has taken most of what was written: read on from the upstream. */
  onDrained(): void {
    this.upstream?.resume();
  }

  onResponseEnd(wireBytes: number): void {
    const upstream = this.upstream as UpstreamConnection;
    this.responseWireBytes = wireBytes;
    if (this.log !== null) {
      this.sentHead = this.kept.headText();
      this.kept.release(upstream.writer);
    }
    this.upstream = null;
    this.releaseEndpoint(this.status < 500);
    this.finish(!this.requestComplete || this.client.closing);
  }

  private start(wireBytes: number): void {
    this.reset(wireBytes, this.path.clock.nowMs);
    this.attempts.begin(0, 0);
    this.log?.begin();
    this.listenerRecord = this.client.chain.listenerRecord;
    this.path.stats.downstreamRqTotal++;
    this.path.stats.downstreamRqActive++;
  }

  // ---- Steps ---------------------------------------------------------------------------------------------------------

  private forward(headLength: number, bodyAddress: number, bodyLength: number, complete: boolean): void {
    const { core } = this.path;
    const { client } = this;
    this.clusterSlot = core.i32[L.ROUTE_CLUSTER >> 2]!;
    this.requestBodyBytes = bodyLength;
    const slot = this.attempts.pickFirst(this.clusterSlot, this.policy, client);
    if (slot < 0) {
      this.replyLocally(notPicked(this.path.core, this.policy, slot));
      return;
    }
    if (core.wasm.acquire(this.clusterSlot, L.LIMIT_REQUESTS) === 0) {
      this.replyLocally(upstreamReset('overflow', '', false));
      return;
    }
    this.holdsRequestUnit = true;
    if (!this.kept.writeHead(headLength, this.listenerRecord, client.record, this.clusterSlot)) {
      this.replyLocally(HEAD_TOO_LARGE);
      return;
    }
    this.attempts.begin(this.policy, client.chain.retryBufferBytes);
    this.kept.add(bodyAddress, bodyLength, null);
    this.timers.begin(this.policy);
    if (complete) this.completeRequest();
    this.useEndpoint(slot);
    if (!this.requestComplete && this.upstream === null && this.active) client.pauseRequest();
  }

  private useEndpoint(slot: number): void {
    const endpoint = this.path.endpoints[slot];
    if (endpoint === undefined) {
      this.replyLocally(NO_HEALTHY_UPSTREAM);
      return;
    }
    this.endpoint = endpoint;
    this.attempts.note(slot);
    this.endpointHeld = true;
    this.path.core.wasm.endpointBegin(slot);
    if (this.peer === 0 && !this.client.chain.inbound) this.peer = endpoint.workloadPeer;
    this.timers.beginAttempt(this.policy);
    endpoint.acquire(this);
  }

  private completeRequest(): void {
    this.requestComplete = true;
    this.requestCompleteMs = this.path.clock.nowMs;
    this.timers.requestComplete(this.policy);
  }

  private retryAfterTimeout(): boolean {
    const { policy } = this;
    if (policy === 0 || this.responseStarted || !this.kept.replayable) return false;
    if (!isRetriableFailure(this.path.core, policy, 'timeout', true, this.method)) return false;
    if (!this.attempts.take(this.clusterSlot)) return false;
    this.dropUpstream();
    this.timers.retryAfter(this.attempts.nextBackoffMs(policy));
    return true;
  }

  private tryAgain(): void {
    const slot = this.attempts.pickNext(this.policy, this.clusterSlot);
    if (slot < 0) {
      this.replyLocally(notPicked(this.path.core, this.policy, slot));
      return;
    }
    const policyFlags = this.path.core.i32[(this.policy + L.POLICY_FLAGS) >> 2]!;
    if ((policyFlags & L.POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST) !== 0) this.kept.setAttempt(this.attempts.count + 1);
    this.useEndpoint(slot);
  }

  private readRequestPeer(): void {
    const { i32, wasm } = this.path.core;
    const length = i32[L.REQ_PEER_METADATA_LENGTH >> 2]!;
    if (length === 0) return;
    this.downstreamFlags |= L.DOWNSTREAM_PEER_LINES;
    this.peer = wasm.internPeer(i32[L.REQ_PEER_METADATA_OFFSET >> 2]!, length, this.client.peerHint);
    this.client.peerHint = this.peer;
  }

  private replyFromTable(): void {
    this.status = this.path.core.i32[L.ROUTE_STATUS >> 2]!;
    this.details = DIRECT_RESPONSE_DETAILS;
    if (!this.requestComplete) this.client.closeAfterResponse();
    this.responseBodyBytes = this.path.core.i32[L.ROUTE_BODY_LENGTH >> 2]!;
    this.responseWireBytes = this.writer.writeFromTable(this);
    this.finish(this.client.closing);
  }

  private replyLocally(reply: LocalReply): void {
    this.status = reply.status;
    this.flags |= reply.flags;
    this.details = reply.details;
    if (!this.requestComplete) this.client.closeAfterResponse();
    this.responseBodyBytes = reply.body.length;
    this.responseWireBytes = this.writer.writeText(this, reply.body);
    this.finish(this.client.closing);
  }

  // ---- End -----------------------------------------------------------------------------------------------------------

  /** Lets go of the upstream without waiting for its answer. */
  private dropUpstream(): void {
    this.timers.stopRetry();
    this.pendingOn?.abandon(this);
    const upstream = this.upstream;
    this.upstream = null;
    if (upstream !== null) {
      this.responseWireBytes = upstream.wireBytes;
      upstream.close();
    }
    this.releaseEndpoint(false);
  }

  private releaseEndpoint(success: boolean): void {
    const { endpoint } = this;
    if (endpoint === null || !this.endpointHeld) return;
    this.endpointHeld = false;
    this.path.core.wasm.endpointEnd(endpoint.slot);
    if (success) endpoint.stats.rqSuccess++;
    else endpoint.stats.rqError++;
  }

  private finish(close: boolean): void {
    const { core, stats } = this.path;
    this.active = false;
    this.timers.stop();
    if (this.holdsRequestUnit) core.wasm.release(this.clusterSlot, L.LIMIT_REQUESTS);
    this.holdsRequestUnit = false;
    this.attempts.end(this.clusterSlot);
    stats.downstreamRqActive--;
    countRequest(core, stats, this, this.client, this.path.clock.nowMs);
    if (this.log !== null) {
      const head = this.sentHead === '' ? this.kept.headText() : this.sentHead;
      this.log.finish(this, this.client, this.path.clusters[this.clusterSlot]?.name, head, this.path.clock.nowMs);
    }
    this.kept.release(null);
    this.client.writer.stopNotifying();
    this.client.onExchangeDone(close);
  }
}
