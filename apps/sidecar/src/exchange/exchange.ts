// Exchange: the state machine of one request and its response; one object for each client connection, used again and again.

import * as L from '@lateen/filters-wasm';
import type { DrainListener } from '../codec/message-writer.js';
import { joinLines } from '../limit-service/limit-answer.js';
import { clusterCounts } from '../observe/cluster-counts.js';
import type { RbacFilter } from '../rbac/rbac-filter.js';
import { accessRefusal } from '../rbac/request-access.js';
import { TIMER_BACKOFF, TIMER_IDLE, TIMER_ROUTE, TIMER_STREAM, TIMER_TRY, timeoutReply } from './exchange-timers.js';
import { CheckedExchange } from './filters/checked-exchange.js';
import { CORS_FIRST, CORS_LAST } from './filters/cross-origin.js';
import { type DelayedRequest, faultAbort, type HeldAnswer, InjectedDelay } from './filters/injected-delay.js';
import { type InquiringRequest, LimitInquiry, limitReplyPolicy } from './filters/limit-inquiry.js';
import { chargeRateLimits } from './filters/rate-limit.js';
import { tunnelEndsHere, upgradeAllowed } from './filters/upgrades.js';
import { WebCall } from './grpc/web-call.js';
import { type LocalReply, ROUTE_NOT_FOUND, STREAM_IDLE, UPGRADE_NOT_ENABLED, UPSTREAM_IDLE } from './local-reply.js';
import { FLAG } from './response-flags.js';

export class Exchange extends CheckedExchange implements DelayedRequest, InquiringRequest {
  private delay: InjectedDelay | null = null;
  private inquiry: LimitInquiry | null = null;
  /** What is to be done with a request when all services have let it through. */
  private afterwards: { readonly delayMs: number; reply: LocalReply | null; answer: HeldAnswer | null } | null = null;
  private readonly requestDrain: DrainListener = { onDrained: () => this.client.resumeRequest() };

  /** REQ_* is filled: decides, and sends the request with the body bytes that are here (`wireLength` with their framing). */
  begin(headLength: number, bodyAddress: number, bodyLength: number, wireLength: number, complete: boolean): void {
    const { i32 } = this.path.core;
    const { chain } = this.client;
    this.start(headLength + wireLength);
    this.serial++;
    this.method = i32[L.REQ_METHOD >> 2]!;
    const requestFlags = i32[L.REQ_FLAGS >> 2]!;
    this.upgrade = (requestFlags & L.REQUEST_UPGRADE) !== 0;
    this.connect = (requestFlags & L.REQUEST_CONNECT) !== 0;
    this.grpc = (requestFlags & L.REQUEST_GRPC) !== 0;
    const http10 = i32[L.REQ_MINOR_VERSION >> 2] === 0;
    this.responseChunkMode = http10 || this.client.framesMessages ? L.CHUNK_MODE_DATA : L.CHUNK_MODE_FRAMED;
    this.downstreamFlags =
      (http10 ? L.DOWNSTREAM_HTTP_10 : this.client.framesMessages ? L.DOWNSTREAM_HTTP_2 : 0) |
      (this.method === L.METHOD_HEAD ? L.DOWNSTREAM_HEAD : 0) |
      (this.grpc ? L.DOWNSTREAM_GRPC : 0);
    if (this.grpc && chain.countsMessages && this.client.framesMessages) this.countMessages();
    if (chain.grpcWeb) this.beginWebCall();
    if (chain.peerFromRequest) this.readRequestPeer();
    this.log?.noteRequest(this.client.framesMessages);
    const action = this.route(-1, this.client.secure);
    this.requestComplete = complete;
    if (chain.firstChecks.length > 0) this.checkFirst(action, headLength, bodyAddress, bodyLength);
    else if (chain.tokens === null) this.filter(action, headLength, bodyAddress, bodyLength);
    else this.checkTokens(chain.tokens, action, headLength, bodyAddress, bodyLength);
  }

  /** REQ_* and ROUTE_* are filled: the filters that follow that for tokens, in their order. */
  protected filter(action: number, headLength: number, bodyAddress: number, bodyLength: number): void {
    const { wasm } = this.path.core;
    const { chain } = this.client;
    // What has no route is told so.
    const tunnels = this.tunnels && action !== L.ROUTE_ACTION_NONE;
    if (tunnels && !upgradeAllowed(this.path.core, this.policy, chain, this.connect)) {
      this.client.closeAfterResponse();
      this.replyLocally(UPGRADE_NOT_ENABLED);
      return;
    }
    this.terminates = action === L.ROUTE_ACTION_FORWARD && tunnelEndsHere(this.path.core, this.policy, this.method);
    const { rbac } = chain;
    if (rbac !== null && this.isDenied(rbac.beforeCors, action)) return;
    if (chain.cors === CORS_FIRST && this.answersPreflight()) return;
    if (rbac !== null && this.isDenied(rbac.afterCors, action)) return;
    const limited = chain.rateLimited ? chargeRateLimits(this.path, this.client, this) : null;
    if (limited !== null) this.replyLocally(limited);
    else if (chain.limitServices.length > 0 && action === L.ROUTE_ACTION_FORWARD) {
      this.inquire(headLength, bodyAddress, bodyLength);
    } else if (chain.injectsFaults && wasm.decideFault(chain.listenerRecord) === 1) {
      this.injectFault(action, headLength, bodyAddress, bodyLength);
    } else if (chain.cors === CORS_LAST && this.answersPreflight()) return;
    else if (action === L.ROUTE_ACTION_FORWARD) {
      if (this.prepare(headLength, bodyAddress, bodyLength)) this.forward();
    } else if (action === L.ROUTE_ACTION_NONE) this.replyLocally(ROUTE_NOT_FOUND);
    else this.replyFromTable();
  }

  /** Where it is one: from here on it counts as gRPC, and the upstream's bodies come without their framing. */
  private beginWebCall(): void {
    const { chain } = this.client;
    // What is in a tunnel is nobody's call, whatever its head says.
    if (this.tunnels) return;
    const web = WebCall.of(this.path.core, this.responseChunkMode);
    if (web === null) return;
    this.web = web;
    this.grpc = true;
    this.responseChunkMode = L.CHUNK_MODE_DATA;
    if (!chain.countsMessages) return;
    this.countMessages();
    web.requestMessages = this.requestMessages;
    web.responseMessages = this.responseMessages;
  }

  /** More of the request's body. */
  requestBytes(address: number, length: number, wireLength: number, complete: boolean): void {
    this.lastActiveMs = this.path.clock.nowMs;
    this.requestWireBytes += wireLength;
    if (this.holdsBody) {
      this.holdBody(address, length, complete);
      return;
    }
    this.requestBodyBytes += length;
    if (this.web === null) this.addBody(address, length);
    else if (!this.web.passRequest(this.path.core, address, length, complete, this)) {
      this.fail(this.web.refusal);
      return;
    }
    const upstream = this.upstream;
    if (complete) {
      this.completeRequest();
      upstream?.writer.endMessage();
    } else if (upstream === null) this.client.pauseRequest();
    else if (upstream.writer.backedUp) {
      this.client.pauseRequest();
      upstream.writer.notifyDrained(this.requestDrain);
    }
  }

  /** Bytes of the request's body as the client sent them, where messages are counted; `requestBytes` may have them in chunks. */
  noteRequestData(address: number, length: number): void {
    if (this.countsMessages && this.web === null) this.requestMessages?.add(this.path.core.bytes, address, length);
  }

  /** Trailers, as header lines; the end of the request follows. */
  requestTrailers(address: number, length: number): void {
    this.mirroring?.addTrailers(address, length);
    this.kept.addTrailers(address, length, this.upstream === null ? null : this.upstream.writer);
  }

  /** The client has gone; nobody is left to answer. */
  onClientGone(): void {
    if (!this.active) return;
    this.flags |= FLAG.DC;
    if (this.details === '') this.details = 'downstream_remote_disconnect';
    this.dropUpstream();
    this.finish(true);
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_BACKOFF) this.tryAgain();
    else if (kind === TIMER_STREAM) this.fail(timeoutReply(kind, this.requestComplete));
    else if (!this.timers.isOver(kind, this.policy, this.lastActiveMs)) return;
    else if (kind === TIMER_IDLE) this.onStreamIdle();
    else {
      if (this.endpoint !== null) this.endpoint.stats.rqTimeout++;
      this.countTimeout(kind);
      if (this.waitsForAnswer) this.endpoint?.outlier?.failedLocally(true);
      if (kind === TIMER_ROUTE || !this.retryAfterTimeout()) this.fail(timeoutReply(kind, this.requestComplete));
    }
  }

  private countTimeout(kind: number): void {
    const counts = clusterCounts(this.path, this.clusterSlot);
    if (counts === null) return;
    if (kind === TIMER_ROUTE) counts.timeout++;
    else if (kind === TIMER_TRY) counts.perTryTimeout++;
  }

  /** Nothing has moved for as long as the listener or the route allows. */
  onStreamIdle(): void {
    this.fail(this.requestComplete ? UPSTREAM_IDLE : STREAM_IDLE);
  }

  // ---- Filters -------------------------------------------------------------------------------------------------------

  /** REQ_* and ROUTE_* are filled: asks who may. */
  private isDenied(filters: readonly RbacFilter[], action: number): boolean {
    const { path, client, log } = this;
    const denial = accessRefusal(path, filters, this.listenerRecord, client, log);
    if (denial === null) return false;
    // For the log and the metrics: where the request would have gone.
    if (action === L.ROUTE_ACTION_FORWARD) this.clusterSlot = path.core.i32[L.ROUTE_CLUSTER >> 2]!;
    this.replyLocally(denial);
    return true;
  }

  private answersPreflight(): boolean {
    const answer = this.preflightAnswer();
    if (answer === null) return false;
    this.replyWith(answer);
    return true;
  }

  /** ROUTE_FAULT_* are filled: fails the request on purpose, or holds it back before anything is done with it. */
  private injectFault(action: number, headLength: number, bodyAddress: number, bodyLength: number): void {
    const { i32 } = this.path.core;
    const delayMs = i32[L.ROUTE_FAULT_DELAY_MS >> 2]!;
    const abortStatus = i32[L.ROUTE_FAULT_ABORT_STATUS >> 2]!;
    const forwards = action === L.ROUTE_ACTION_FORWARD;
    // For the log and the metrics: where the request would have gone.
    if (forwards) this.clusterSlot = i32[L.ROUTE_CLUSTER >> 2]!;
    let reply = abortStatus === 0 ? null : faultAbort(abortStatus);
    if (reply === null && action === L.ROUTE_ACTION_NONE) reply = ROUTE_NOT_FOUND;
    if (delayMs === 0) {
      if (reply !== null) this.replyLocally(reply);
      return;
    }
    this.flags |= FLAG.DI;
    // What comes after the delay is decided now, while the request is there to be read.
    let answer = reply === null && this.client.chain.cors === CORS_LAST ? this.preflightAnswer() : null;
    if (reply === null && answer === null) {
      if (!forwards) answer = this.holdTableReply();
      else if (!this.prepare(headLength, bodyAddress, bodyLength)) return;
    }
    this.hold(delayMs, reply, answer);
  }

  afterDelay(reply: LocalReply | null, answer: HeldAnswer | null): void {
    this.heldBack = false;
    if (reply !== null) this.replyLocally(reply);
    else if (answer !== null) this.replyWith(answer);
    else this.forward();
  }

  /** Holds the request back for the rate limit services that have to be asked about it; what comes after is decided now. */
  private inquire(headLength: number, bodyAddress: number, bodyLength: number): void {
    const { i32, wasm } = this.path.core;
    const { chain } = this.client;
    this.clusterSlot = i32[L.ROUTE_CLUSTER >> 2]!;
    const faulty = chain.injectsFaults && wasm.decideFault(chain.listenerRecord) === 1;
    const abortStatus = faulty ? i32[L.ROUTE_FAULT_ABORT_STATUS >> 2]! : 0;
    const delayMs = faulty ? i32[L.ROUTE_FAULT_DELAY_MS >> 2]! : 0;
    const reply = abortStatus === 0 ? null : faultAbort(abortStatus);
    const answer = reply === null && chain.cors === CORS_LAST ? this.preflightAnswer() : null;
    const cluster = this.path.clusters[this.clusterSlot]?.name ?? '';
    this.inquiry ??= new LimitInquiry(this.path, this);
    const asks = cluster !== '' && this.inquiry.describe(this.client, cluster, reply !== null, answer !== null);
    if (reply === null && answer === null && !this.prepare(headLength, bodyAddress, bodyLength)) return;
    this.afterwards = { delayMs, reply, answer };
    if (!asks) {
      this.proceed();
      return;
    }
    this.heldBack = true;
    this.inquiry.begin();
    if (this.heldBack && !this.requestComplete) this.client.pauseRequest();
  }

  afterInquiry(reply: LocalReply | null, requestLines: string, responseLines: string, refusedBy: number): void {
    this.heldBack = false;
    this.headLines = joinLines(this.headLines, responseLines);
    if (reply !== null) {
      // As in Envoy, what a limit refuses is an answer of the cluster that the request was for.
      this.asksCluster = refusedBy >= 0;
      this.policy = refusedBy < 0 ? 0 : limitReplyPolicy(this.path.core, this.listenerRecord, refusedBy);
      this.afterwards = null;
      this.replyLocally(reply);
      return;
    }
    if (requestLines !== '' && this.afterwards?.reply === null && this.afterwards.answer === null) {
      this.kept.addLines(requestLines);
    }
    this.proceed();
  }

  /** Does with the request what was decided before it was held back. */
  private proceed(): void {
    const { afterwards } = this;
    this.afterwards = null;
    if (afterwards === null) return;
    if (afterwards.delayMs === 0) {
      this.afterDelay(afterwards.reply, afterwards.answer);
      return;
    }
    this.flags |= FLAG.DI;
    this.hold(afterwards.delayMs, afterwards.reply, afterwards.answer);
  }

  private hold(delayMs: number, reply: LocalReply | null, answer: HeldAnswer | null): void {
    this.delay ??= new InjectedDelay(this.path, this);
    this.heldBack = true;
    this.delay.begin(delayMs, reply, answer);
    if (!this.requestComplete) this.client.pauseRequest();
  }

  private readRequestPeer(): void {
    const { i32, wasm } = this.path.core;
    const length = i32[L.REQ_PEER_METADATA_LENGTH >> 2]!;
    if (length === 0) return;
    this.downstreamFlags |= L.DOWNSTREAM_PEER_LINES;
    this.peer = wasm.internPeer(i32[L.REQ_PEER_METADATA_OFFSET >> 2]!, length, this.client.peerHint);
    this.client.peerHint = this.peer;
  }

  protected override finish(close: boolean): void {
    this.endChecks();
    if (this.heldBack) {
      this.delay?.cancel();
      this.inquiry?.cancel();
    }
    this.heldBack = false;
    super.finish(close);
  }
}
