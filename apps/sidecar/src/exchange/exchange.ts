// Exchange: the state machine of one request and its response; one object for each client connection, used again and again.

import * as L from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { DrainListener } from '../transport/socket-writer.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { UpstreamConnection } from '../upstream/upstream-connection.js';
import type { UpstreamRequest } from '../upstream/upstream-request.js';
import { AccessLogEntry } from './access-log-entry.js';
import type { ExchangeClient } from './exchange-client.js';
import { KeptRequest } from './kept-request.js';
import {
  clusterNotFound,
  DIRECT_RESPONSE_DETAILS,
  HEAD_TOO_LARGE,
  type LocalReply,
  NO_HEALTHY_UPSTREAM,
  PER_TRY_TIMEOUT,
  RESPONSE_TIMEOUT,
  ROUTE_NOT_FOUND,
  UPSTREAM_IDLE,
  type UpstreamFailure,
  upstreamReset,
  VIA_UPSTREAM_DETAILS,
} from './local-reply.js';
import { countRequest } from './request-metrics.js';
import { FLAG } from './response-flags.js';
import { backoffMs, isRetriableFailure, retriesOf } from './retry-policy.js';

const TIMER_ROUTE = 0;
const TIMER_TRY = 1;
const TIMER_BACKOFF = 2;

/** Room for what the proxy adds to a response head. */
const ADDED_RESPONSE_BYTES = 1024;
const CONNECTION_RESET = 'connection reset';

export class Exchange implements UpstreamRequest, TimerOwner, DrainListener {
  active = false;
  method = 0;
  upgrade = false;
  listenerRecord = 0;
  responseChunkMode = L.CHUNK_MODE_FRAMED;
  requestComplete = false;
  nextPending: UpstreamRequest | null = null;
  pendingOn: Endpoint | null = null;

  /** For metrics and the access log, valid until the next request begins. */
  startMs = 0;
  lastActiveMs = 0;
  flags = 0;
  status = 0;
  details = '';
  failureReason = '';
  clusterSlot = -1;
  policy = 0;
  endpoint: Endpoint | null = null;
  peer = 0;
  upstreamSecurityId = 0;
  requestWireBytes = 0;
  requestBodyBytes = 0;
  responseWireBytes = 0;
  responseBodyBytes = 0;
  serviceTimeMs = -1;
  attempts = 0;
  grpcStatus = -1;
  upstreamLocalAddress: string | undefined;

  readonly kept: KeptRequest;
  private readonly log: AccessLogEntry | null;
  private sentHead = '';
  private upstream: UpstreamConnection | null = null;
  private requestCompleteMs = 0;
  private downstreamFlags = 0;
  private responseStarted = false;
  private retriesLeft = 0;
  private holdsRetryUnit = false;
  private holdsRequestUnit = false;
  private endpointHeld = false;
  private triedCount = 0;
  private readonly tried = new Int32Array(L.PICK_TRIED_MAX);
  private readonly routeTimer = new Timer(this, TIMER_ROUTE);
  private readonly tryTimer = new Timer(this, TIMER_TRY);
  private readonly backoffTimer = new Timer(this, TIMER_BACKOFF);
  private readonly requestDrain: DrainListener = { onDrained: () => this.client.resumeRequest() };

  constructor(
    private readonly path: DataPath,
    private readonly client: ExchangeClient,
  ) {
    this.kept = new KeptRequest(path);
    const { accessLog } = client.chain;
    this.log = accessLog === undefined ? null : new AccessLogEntry(path.core, accessLog);
  }

  /** REQ_* is filled: decides, and sends the request with the body bytes that are here. */
  begin(headLength: number, bodyAddress: number, bodyLength: number, complete: boolean): void {
    const { core, stats } = this.path;
    const { wasm, i32 } = core;
    const { chain } = this.client;
    this.reset(headLength);
    stats.downstreamRqTotal++;
    stats.downstreamRqActive++;
    this.method = i32[L.REQ_METHOD >> 2]!;
    this.upgrade = (i32[L.REQ_FLAGS >> 2]! & L.REQUEST_UPGRADE) !== 0;
    this.listenerRecord = chain.listenerRecord;
    const http10 = i32[L.REQ_MINOR_VERSION >> 2] === 0;
    this.responseChunkMode = http10 ? L.CHUNK_MODE_DATA : L.CHUNK_MODE_FRAMED;
    this.downstreamFlags =
      (http10 ? L.DOWNSTREAM_HTTP_10 : 0) | (this.method === L.METHOD_HEAD ? L.DOWNSTREAM_HEAD : 0);
    if (chain.peerFromRequest) this.readRequestPeer();
    this.log?.noteRequest();
    const action = wasm.route(chain.routeConfigSlot, -1, this.client.secure);
    this.policy = i32[L.ROUTE_POLICY >> 2]!;
    this.log?.noteRoute();
    if (action === L.ROUTE_ACTION_FORWARD) this.forward(headLength, bodyAddress, bodyLength, complete);
    else {
      this.requestComplete = complete;
      if (action === L.ROUTE_ACTION_NONE) this.replyLocally(ROUTE_NOT_FOUND);
      else this.replyFromTable();
    }
  }

  /** An answer to a request that was not routed: a head that the codec refused. REQ_* need not be filled. */
  refuse(reply: LocalReply): void {
    this.reset(0);
    this.path.stats.downstreamRqTotal++;
    this.path.stats.downstreamRqActive++;
    this.listenerRecord = this.client.chain.listenerRecord;
    this.replyLocally(reply);
  }

  /** More of the request's body. */
  requestBytes(address: number, length: number, wireLength: number, complete: boolean): void {
    this.lastActiveMs = performance.now();
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
    if (kind === TIMER_BACKOFF) this.attempt();
    else {
      if (this.endpoint !== null) this.endpoint.stats.rqTimeout++;
      if (kind === TIMER_TRY && this.retryAfterTimeout()) return;
      this.fail(kind === TIMER_TRY ? PER_TRY_TIMEOUT : RESPONSE_TIMEOUT);
    }
  }

  /** Nothing has moved for as long as the listener allows. */
  onStreamIdle(): void {
    this.fail(UPSTREAM_IDLE);
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
      this.finish(true);
      this.client.abort();
      return;
    }
    if (this.policy !== 0 && this.kept.replayable) {
      const reset = reason === CONNECTION_RESET;
      const covered = isRetriableFailure(this.path.core, this.policy, failure, freshConnection, reset, this.method);
      if (covered && this.takeRetry()) {
        // The race with a server that closes idle connections says nothing about its health: no back-off.
        const stale = failure === 'closed' && !freshConnection;
        this.path.wheel.schedule(this.backoffTimer, stale ? 0 : this.nextBackoffMs());
        return;
      }
    }
    this.replyLocally(upstreamReset(failure, reason, this.attempts > 1));
  }

  onResponseHead(status: number): boolean {
    if (this.isRetriableResponse(status) && this.takeRetry()) {
      this.releaseEndpoint(status < 500);
      this.upstream = null;
      this.path.wheel.schedule(this.backoffTimer, this.nextBackoffMs());
      return true;
    }
    const { i32, wasm } = this.path.core;
    if (this.attempts > 1 && this.policy !== 0 && wasm.isRetriableStatus(this.policy, status) === 1)
      this.flags |= FLAG.URX;
    this.responseStarted = true;
    if (this.endsWithConnection()) this.client.closeAfterResponse();
    this.status = status;
    this.details = VIA_UPSTREAM_DETAILS;
    this.serviceTimeMs = Math.round(performance.now() - (this.requestComplete ? this.requestCompleteMs : this.startMs));
    this.path.wheel.cancel(this.tryTimer);
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
    if (isFirst) this.writeResponseHead(address, length);
    else {
      this.lastActiveMs = performance.now();
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

  onResponseEnd(): void {
    const upstream = this.upstream as UpstreamConnection;
    this.responseWireBytes = upstream.wireBytes;
    if (this.log !== null) this.sentHead = this.kept.headText();
    if (this.log !== null) this.kept.release(upstream.writer);
    this.upstream = null;
    this.releaseEndpoint(this.status < 500);
    this.finish(!this.requestComplete || this.client.closing);
  }

  // ---- Steps ---------------------------------------------------------------------------------------------------------

  private forward(headLength: number, bodyAddress: number, bodyLength: number, complete: boolean): void {
    const { core } = this.path;
    const { client } = this;
    this.clusterSlot = core.i32[L.ROUTE_CLUSTER >> 2]!;
    this.requestBodyBytes = bodyLength;
    this.requestComplete = complete;
    const slot = core.wasm.pick(this.clusterSlot, 0, 1);
    if (slot < 0) {
      this.replyLocally(slot === L.PICK_NO_CLUSTER ? this.noCluster() : NO_HEALTHY_UPSTREAM);
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
    this.kept.add(bodyAddress, bodyLength, null);
    this.retriesLeft = retriesOf(core, this.policy);
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
    this.attempts++;
    if (this.triedCount < L.PICK_TRIED_MAX) this.tried[this.triedCount++] = slot;
    this.endpointHeld = true;
    this.path.core.wasm.endpointBegin(slot);
    if (this.peer === 0 && !this.client.chain.inbound) this.peer = endpoint.workloadPeer;
    if (this.policy !== 0) {
      const perTryMs = this.path.core.i32[(this.policy + L.POLICY_PER_TRY_TIMEOUT_MS) >> 2]!;
      if (perTryMs > 0) this.path.wheel.schedule(this.tryTimer, perTryMs);
    }
    endpoint.acquire(this);
  }

  private completeRequest(): void {
    this.requestComplete = true;
    this.requestCompleteMs = performance.now();
    if (this.policy === 0) return;
    const timeoutMs = this.path.core.i32[(this.policy + L.POLICY_TIMEOUT_MS) >> 2]!;
    if (timeoutMs > 0) this.path.wheel.schedule(this.routeTimer, timeoutMs);
  }

  private isRetriableResponse(status: number): boolean {
    return (
      this.retriesLeft > 0 &&
      this.requestComplete &&
      this.kept.replayable &&
      this.path.core.wasm.isRetriableStatus(this.policy, status) === 1
    );
  }

  /** Takes one of the retries left, within the cluster's limit of retries at a time. */
  private takeRetry(): boolean {
    if (this.retriesLeft <= 0) return false;
    if (!this.holdsRetryUnit) {
      if (this.path.core.wasm.acquire(this.clusterSlot, L.LIMIT_RETRIES) === 0) return false;
      this.holdsRetryUnit = true;
    }
    this.retriesLeft--;
    this.path.stats.upstreamRqRetry++;
    return true;
  }

  private nextBackoffMs(): number {
    return backoffMs(this.path.core, this.policy, this.attempts);
  }

  private retryAfterTimeout(): boolean {
    const retriable = this.policy !== 0 && !this.responseStarted && this.kept.replayable;
    if (!retriable || !isRetriableFailure(this.path.core, this.policy, 'timeout', true, false, this.method))
      return false;
    if (!this.takeRetry()) return false;
    this.dropUpstream();
    this.path.wheel.schedule(this.backoffTimer, this.nextBackoffMs());
    return true;
  }

  /** One more attempt, at another endpoint where the policy wants that. */
  private attempt(): void {
    const { core } = this.path;
    const avoid = core.i32[(this.policy + L.POLICY_AVOID_PREVIOUS) >> 2] === 1 ? this.triedCount : 0;
    for (let index = 0; index < avoid; index++) core.i32[(L.PICK_TRIED >> 2) + index] = this.tried[index]!;
    const attempts = core.i32[(this.policy + L.POLICY_HOST_SELECTION_ATTEMPTS) >> 2]!;
    const slot = core.wasm.pick(this.clusterSlot, avoid, attempts);
    if (slot < 0) {
      this.replyLocally(slot === L.PICK_NO_CLUSTER ? this.noCluster() : NO_HEALTHY_UPSTREAM);
      return;
    }
    if ((core.i32[(this.policy + L.POLICY_FLAGS) >> 2]! & L.POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST) !== 0) {
      this.kept.setAttempt(this.attempts + 1);
    }
    this.useEndpoint(slot);
  }

  private noCluster(): LocalReply {
    const configured =
      this.policy === 0 ? 0 : this.path.core.i32[(this.policy + L.POLICY_CLUSTER_NOT_FOUND_STATUS) >> 2]!;
    return clusterNotFound(configured || 503);
  }

  private readRequestPeer(): void {
    const { i32, wasm } = this.path.core;
    const length = i32[L.REQ_PEER_METADATA_LENGTH >> 2]!;
    if (length === 0) return;
    this.downstreamFlags |= L.DOWNSTREAM_PEER_LINES;
    this.peer = wasm.internPeer(i32[L.REQ_PEER_METADATA_OFFSET >> 2]!, length, this.client.peerHint);
    this.client.peerHint = this.peer;
  }

  /** The client can only tell the end of this response by the end of its connection. */
  private endsWithConnection(): boolean {
    const body = this.path.core.i32[L.RESP_BODY >> 2]!;
    return body === L.BODY_UNTIL_CLOSE || (body === L.BODY_CHUNKED && this.responseChunkMode === L.CHUNK_MODE_DATA);
  }

  /** Flags for the head writers; the client is told to leave where the connection will not be used again. */
  private headFlags(): number {
    return this.client.closing ? this.downstreamFlags | L.DOWNSTREAM_CLOSE : this.downstreamFlags;
  }

  private writeResponseHead(bodyAddress: number, bodyLength: number): void {
    const { core, slots } = this.path;
    const { writer } = this.client;
    const needed = core.i32[L.RESP_HEAD_LENGTH >> 2]! + ADDED_RESPONSE_BYTES;
    const together = needed + bodyLength <= slots.largeBytes;
    const block = slots.take(together ? needed + bodyLength : needed);
    const out = block === 0 ? L.EMBEDDER_SCRATCH : block;
    const capacity = block === 0 ? L.EMBEDDER_SCRATCH_BYTES : slots.capacity(block);
    const serviceMs = this.serviceTimeMs;
    const length = core.wasm.writeDownstreamHead(
      out,
      capacity,
      this.listenerRecord,
      this.policy,
      this.headFlags(),
      serviceMs,
      this.attempts,
    );
    this.log?.noteResponse(out, length);
    if (block === 0) {
      writer.writeBuffer(Buffer.from(core.bytes.subarray(out, out + length)));
      if (bodyLength > 0) writer.writeCopy(bodyAddress, bodyLength);
    } else if (length + bodyLength <= capacity) {
      if (bodyLength > 0) core.wasm.copy(block + length, bodyAddress, bodyLength);
      writer.writeBlock(block, length + bodyLength);
    } else {
      writer.writeBlock(block, length);
      writer.writeCopy(bodyAddress, bodyLength);
    }
  }

  private replyFromTable(): void {
    const { i32 } = this.path.core;
    this.status = i32[L.ROUTE_STATUS >> 2]!;
    this.details = DIRECT_RESPONSE_DETAILS;
    this.writeReply(
      i32[L.ROUTE_BODY_OFFSET >> 2]!,
      i32[L.ROUTE_BODY_LENGTH >> 2]!,
      i32[L.ROUTE_LOCATION_OFFSET >> 2]!,
      i32[L.ROUTE_LOCATION_LENGTH >> 2]!,
    );
  }

  private replyLocally(reply: LocalReply): void {
    this.status = reply.status;
    this.flags |= reply.flags;
    this.details = reply.details;
    const length = reply.body === '' ? 0 : this.path.core.bytes.write(reply.body, L.PATH_SCRATCH, 'latin1');
    this.writeReply(L.PATH_SCRATCH, length, 0, 0);
  }

  private writeReply(body: number, bodyLength: number, location: number, locationLength: number): void {
    const { core } = this.path;
    const { client } = this;
    if (!this.requestComplete) client.closeAfterResponse();
    const length = core.wasm.writeLocalReply(
      L.EMBEDDER_SCRATCH,
      L.EMBEDDER_SCRATCH_BYTES,
      this.listenerRecord,
      this.policy,
      this.headFlags(),
      this.status,
      body,
      bodyLength,
      location,
      locationLength,
    );
    this.log?.noteResponse(L.EMBEDDER_SCRATCH, length);
    this.responseBodyBytes = bodyLength;
    this.responseWireBytes = length;
    client.writer.writeCopy(L.EMBEDDER_SCRATCH, length);
    this.finish(client.closing);
  }

  // ---- End -----------------------------------------------------------------------------------------------------------

  /** Lets go of the upstream without waiting for its answer. */
  private dropUpstream(): void {
    this.path.wheel.cancel(this.backoffTimer);
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
    const { wheel, core, stats } = this.path;
    this.active = false;
    wheel.cancel(this.routeTimer);
    wheel.cancel(this.tryTimer);
    if (this.holdsRequestUnit) core.wasm.release(this.clusterSlot, L.LIMIT_REQUESTS);
    this.holdsRequestUnit = false;
    if (this.holdsRetryUnit) core.wasm.release(this.clusterSlot, L.LIMIT_RETRIES);
    this.holdsRetryUnit = false;
    stats.downstreamRqActive--;
    countRequest(core, stats, this, this.client);
    if (this.log !== null) {
      const head = this.sentHead === '' ? this.kept.headText() : this.sentHead;
      this.log.finish(this, this.client, this.path.clusters[this.clusterSlot]?.name, head);
    }
    this.kept.release(null);
    this.client.writer.stopNotifying();
    this.client.onExchangeDone(close);
  }

  private reset(headLength: number): void {
    this.active = true;
    this.startMs = performance.now();
    this.lastActiveMs = this.startMs;
    this.requestCompleteMs = this.startMs;
    this.requestComplete = false;
    this.responseStarted = false;
    this.flags = 0;
    this.status = 0;
    this.details = '';
    this.failureReason = '';
    this.clusterSlot = -1;
    this.policy = 0;
    this.endpoint = null;
    this.peer = 0;
    this.upstreamSecurityId = 0;
    this.requestWireBytes = headLength;
    this.requestBodyBytes = 0;
    this.responseWireBytes = 0;
    this.responseBodyBytes = 0;
    this.serviceTimeMs = -1;
    this.attempts = 0;
    this.grpcStatus = -1;
    this.sentHead = '';
    this.upstreamLocalAddress = undefined;
    this.log?.begin();
    this.retriesLeft = 0;
    this.triedCount = 0;
    this.downstreamFlags = 0;
  }
}
