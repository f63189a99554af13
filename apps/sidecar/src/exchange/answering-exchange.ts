// Exchange: how each one begins and ends, and the answers that need no upstream.

import {
  DOWNSTREAM_GRPC_STATUS_SHIFT,
  DOWNSTREAM_HEAD,
  LIMIT_REQUESTS,
  RESP_GRPC_STATUS,
  ROUTE_BODY_LENGTH,
  ROUTE_CLUSTER,
  ROUTE_STATUS,
} from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { TimerOwner } from '../transport/timer-wheel.js';
import { AccessLogEntry } from './access-log-entry.js';
import type { ExchangeClient } from './exchange-client.js';
import { ExchangeState } from './exchange-state.js';
import { ExchangeTimers } from './exchange-timers.js';
import { CORS_ABSENT, CrossOrigin } from './filters/cross-origin.js';
import type { HeldAnswer } from './filters/injected-delay.js';
import { GrpcMessages } from './grpc/grpc-messages.js';
import type { WebCall } from './grpc/web-call.js';
import { KeptRequest } from './kept-request.js';
import { CORS_DETAILS, DIRECT_RESPONSE_DETAILS, type LocalReply } from './local-reply.js';
import { countRequest } from './request-metrics.js';
import { type ResponseFacts, ResponseWriter } from './response-writer.js';
import { Attempts } from './retries/attempts.js';

export abstract class AnsweringExchange extends ExchangeState implements ResponseFacts, TimerOwner {
  protected readonly kept: KeptRequest;
  readonly attempts: Attempts;
  protected readonly writer: ResponseWriter;
  protected readonly log: AccessLogEntry | null;
  protected readonly timers: ExchangeTimers;
  /** Null where the chain has no filter for it. */
  readonly sharing: CrossOrigin | null;
  /** The request is gRPC-Web, where the chain translates that. */
  web: WebCall | null = null;
  protected holdsRequestUnit = false;
  /** Messages of gRPC, null until the first request whose are counted. */
  requestMessages: GrpcMessages | null = null;
  responseMessages: GrpcMessages | null = null;

  constructor(
    protected readonly path: DataPath,
    protected readonly client: ExchangeClient,
  ) {
    super();
    this.kept = new KeptRequest(path);
    this.attempts = new Attempts(path, this.kept);
    this.timers = new ExchangeTimers(path, this);
    const { accessLog } = client.chain;
    this.log = accessLog === undefined ? null : new AccessLogEntry(path.core, accessLog);
    this.sharing = client.chain.cors === CORS_ABSENT ? null : new CrossOrigin(path);
    this.writer = new ResponseWriter(path, client, this.log);
  }

  abstract onTimer(kind: number): void;

  /** Counts the messages of this request and of its response. */
  protected countMessages(): void {
    this.countsMessages = true;
    this.requestMessages ??= new GrpcMessages();
    this.responseMessages ??= new GrpcMessages();
    this.requestMessages.begin();
    this.responseMessages.begin();
  }

  /** An answer to a request that was not routed: a head that the codec refused. REQ_* need not be filled. One to HEAD has no body. */
  refuse(reply: LocalReply, toHead = false): void {
    this.start(0);
    if (toHead) this.downstreamFlags |= DOWNSTREAM_HEAD;
    this.replyLocally(reply);
  }

  protected start(wireBytes: number): void {
    this.reset(wireBytes, this.path.clock.nowMs);
    this.attempts.begin(0, 0);
    this.web = null;
    this.log?.begin();
    if (this.sharing !== null) this.sharing.policy = 0;
    this.listenerRecord = this.client.chain.listenerRecord;
    this.path.stats.downstreamRqTotal++;
    this.path.stats.downstreamRqActive++;
  }

  protected replyLocally(reply: LocalReply): void {
    this.status = reply.status;
    this.flags |= reply.flags;
    this.details = reply.details;
    if (!this.requestComplete) this.client.closeAfterResponse();
    this.responseBodyBytes = reply.body.length;
    if (reply.grpcStatus !== undefined) this.downstreamFlags |= (reply.grpcStatus + 1) << DOWNSTREAM_GRPC_STATUS_SHIFT;
    this.responseWireBytes = this.writer.writeText(this, reply.body);
    this.noteGrpcReply();
    this.finish(this.client.closing);
  }

  /** ROUTE_* is filled: answers with the direct response or the redirect that the route says. */
  protected replyFromTable(): void {
    const { i32 } = this.path.core;
    this.status = i32[ROUTE_STATUS >> 2]!;
    this.details = DIRECT_RESPONSE_DETAILS;
    if (!this.requestComplete) this.client.closeAfterResponse();
    this.responseBodyBytes = i32[ROUTE_BODY_LENGTH >> 2]!;
    this.responseWireBytes = this.writer.writeFromTable(this);
    this.noteGrpcReply();
    this.finish(this.client.closing);
  }

  /** A local answer has been written: to gRPC it was 200, whatever it is about, with the status in its head. */
  private noteGrpcReply(): void {
    if (!this.grpc) return;
    // gRPC-Web keeps the status of HTTP.
    if (this.web === null) this.status = 200;
    this.responseBodyBytes = 0;
    this.grpcStatus = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
  }

  /** The same answer for later, when ROUTE_* are another request's. */
  protected holdTableReply(): HeldAnswer {
    const { i32 } = this.path.core;
    if (!this.requestComplete) this.client.closeAfterResponse();
    const bytes = this.writer.copyFromTable(this);
    const grpcStatus = i32[RESP_GRPC_STATUS >> 2]!;
    const details = DIRECT_RESPONSE_DETAILS;
    if (this.grpc)
      return { status: this.web === null ? 200 : i32[ROUTE_STATUS >> 2]!, bytes, bodyLength: 0, details, grpcStatus };
    return { status: i32[ROUTE_STATUS >> 2]!, bytes, bodyLength: i32[ROUTE_BODY_LENGTH >> 2]!, details, grpcStatus };
  }

  /** REQ_* and ROUTE_* are filled: what a preflight is answered with here; null for every other request. */
  protected preflightAnswer(): HeldAnswer | null {
    if (this.sharing?.decide(this.listenerRecord) !== true) return null;
    // For the log and the metrics: where the request would have gone.
    this.clusterSlot = this.path.core.i32[ROUTE_CLUSTER >> 2]!;
    if (!this.requestComplete) this.client.closeAfterResponse();
    return {
      status: 200,
      bytes: this.writer.copyPreflight(this),
      bodyLength: 0,
      details: CORS_DETAILS,
      grpcStatus: this.path.core.i32[RESP_GRPC_STATUS >> 2]!,
    };
  }

  protected replyWith(answer: HeldAnswer): void {
    this.status = answer.status;
    this.details = answer.details;
    this.responseBodyBytes = answer.bodyLength;
    this.responseWireBytes = answer.bytes.length;
    this.grpcStatus = answer.grpcStatus;
    this.writer.writeCopied(answer.bytes);
    this.finish(this.client.closing);
  }

  protected finish(close: boolean): void {
    const { core, stats } = this.path;
    // An answer that has no room ends its client's connection, which ends the exchange while the answer is being written.
    if (!this.active) return;
    this.active = false;
    this.web?.end(core);
    this.timers.stop();
    if (this.holdsRequestUnit) core.wasm.release(this.clusterSlot, LIMIT_REQUESTS);
    this.holdsRequestUnit = false;
    this.attempts.end(this.clusterSlot);
    stats.downstreamRqActive--;
    countRequest(this.path, this, this.client);
    if (this.log !== null) {
      const head = this.sentHead === '' ? this.kept.headText() : this.sentHead;
      this.log.finish(this, this.client, this.path.clusters[this.clusterSlot], head, this.path.clock.nowMs);
    }
    this.kept.release(null);
    this.client.writer.stopNotifying();
    this.client.onExchangeDone(close);
  }
}
