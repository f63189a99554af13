// Upstream: one unary call of gRPC that the proxy makes by itself, over the connections that requests to the cluster share.

import { CHUNK_MODE_DATA, LIMIT_REQUESTS, METHOD_POST, RESP_GRPC_STATUS } from '@lateen/filters-wasm';
import { unaryBody, unaryMessage } from '../../codec/grpc-message.js';
import type { UpstreamFailure } from '../../exchange/local-reply.js';
import { clusterCounts, countAnswer } from '../../observe/cluster-counts.js';
import type { DataPath } from '../../transport/data-path.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { Endpoint } from '../endpoint.js';
import type { UpstreamRequest } from '../upstream-request.js';
import type { UpstreamStream } from '../upstream-stream.js';
import { OwnRequest } from './own-request.js';

/** What is called. */
export interface CallTarget {
  readonly cluster: string;
  /** `:authority`. */
  readonly authority: string;
  /** `/PACKAGE.SERVICE/METHOD`. */
  readonly method: string;
  /** Further header lines, each with its end. */
  readonly headerLines: string;
  /** 0 = no limit. */
  readonly timeoutMs: number;
  /** Success without a message is an answer as well, of no bytes: what is called is a stream that only the caller fills. */
  readonly mayAnswerNothing?: boolean;
}

/** Exactly one of the two is called, unless the call was cancelled; it may be during `begin`. */
export interface CallOutcome {
  onCallAnswered(message: Uint8Array): void;
  onCallFailed(reason: string): void;
}

/** A larger answer is refused. */
const MAX_ANSWER_BYTES = 65_536;
const UNAVAILABLE = 503;
const TIMED_OUT = 504;
const HTTP_OK = 200;
const NO_MESSAGE = new Uint8Array();

export class UnaryCall extends OwnRequest implements UpstreamRequest, TimerOwner {
  readonly method = METHOD_POST;
  readonly listenerRecord = 0;
  readonly responseChunkMode = CHUNK_MODE_DATA;
  readonly clientAddresses = undefined;
  readonly http2 = true;
  readonly bodyChunked = true;
  private readonly timer = new Timer(this, 0);
  private endpoint: Endpoint | null = null;
  private upstream: UpstreamStream | null = null;
  private clusterSlot = -1;
  private status = 0;
  private grpcStatus = -1;
  private answer: Buffer[] = [];
  private answerBytes = 0;
  /** It was sent anew. */
  private again = false;
  private over = false;

  constructor(
    private readonly path: DataPath,
    private readonly target: CallTarget,
    private readonly message: Uint8Array,
    private readonly outcome: CallOutcome,
  ) {
    super();
  }

  get secure(): boolean {
    return this.endpoint?.transport.tls ?? false;
  }

  begin(): void {
    const { core, tables, endpoints, wheel } = this.path;
    const { cluster, timeoutMs } = this.target;
    this.clusterSlot = tables.clusterSlot(cluster);
    const slot = core.wasm.pick(this.clusterSlot, 0, 1);
    const endpoint = slot < 0 ? undefined : endpoints[slot];
    if (endpoint === undefined) {
      this.over = true;
      this.count(UNAVAILABLE, 'noneHealthy');
      this.outcome.onCallFailed(`cluster ${cluster} has no healthy endpoint`);
      return;
    }
    if (core.wasm.acquire(this.clusterSlot, LIMIT_REQUESTS) === 0) {
      this.over = true;
      this.count(UNAVAILABLE, 'pendingOverflow');
      this.outcome.onCallFailed(`cluster ${cluster} takes no more requests at a time`);
      return;
    }
    this.endpoint = endpoint;
    core.wasm.endpointBegin(slot);
    if (timeoutMs > 0) wheel.schedule(this.timer, timeoutMs);
    endpoint.acquire(this);
  }

  /** Gives the call up; the outcome is not told. */
  cancel(): void {
    if (this.over) return;
    this.pendingOn?.abandon(this);
    this.upstream?.close();
    this.release(false);
  }

  onTimer(): void {
    this.path.clock.tick();
    if (this.endpoint !== null) this.endpoint.stats.rqTimeout++;
    this.count(TIMED_OUT, 'timeout');
    this.endpoint?.outlier?.failedLocally(true);
    this.cancel();
    this.outcome.onCallFailed(`no answer within ${this.target.timeoutMs} ms`);
  }

  onUpstreamReady(upstream: UpstreamStream): void {
    this.upstream = upstream;
    this.endpoint?.outlier?.connected();
    const { method, authority, headerLines, timeoutMs } = this.target;
    const { writer } = upstream;
    const limit = timeoutMs > 0 ? `grpc-timeout: ${timeoutMs}m\r\n` : '';
    writer.writeBuffer(
      Buffer.from(
        `POST ${method} HTTP/1.1\r\nhost: ${authority}\r\ncontent-type: application/grpc\r\nte: trailers\r\n` +
          `transfer-encoding: chunked\r\n${limit}${headerLines}\r\n`,
        'latin1',
      ),
    );
    writer.writeBuffer(unaryBody(this.message));
    this.requestComplete = true;
    writer.endMessage();
  }

  onUpstreamFailed(failure: UpstreamFailure, reason: string): void {
    this.upstream = null;
    if (this.over) return;
    // The server says that it has not looked at it (REFUSED_STREAM, GOAWAY): that says nothing of how it is. Of a connection that
    // was closed nobody knows whether the call was handled, and a call may not be made twice (a limit would count it twice).
    if (failure === 'refused' && !this.again && this.endpoint !== null) {
      this.again = true;
      this.requestComplete = false;
      this.endpoint.acquire(this);
      return;
    }
    this.count(UNAVAILABLE, failure === 'overflow' ? 'pendingOverflow' : undefined);
    if (failure !== 'overflow') this.endpoint?.outlier?.failedLocally(failure === 'timeout');
    this.fail(reason === '' ? failure : `${failure}: ${reason}`);
  }

  onResponseHead(status: number): boolean {
    this.status = status;
    this.grpcStatus = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
    this.endpoint?.outlier?.answered(status, this.grpcStatus);
    return false;
  }

  onResponseBytes(address: number, length: number): void {
    if (this.over || length === 0) return;
    this.answerBytes += length;
    if (this.answerBytes > MAX_ANSWER_BYTES) {
      this.cancel();
      this.outcome.onCallFailed(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      return;
    }
    this.answer.push(Buffer.from(this.path.core.bytes.subarray(address, address + length)));
  }

  override onResponseTrailers(): void {
    const status = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
    if (status >= 0) this.grpcStatus = status;
  }

  onResponseEnd(): void {
    this.upstream = null;
    if (this.over) return;
    this.count(this.status);
    if (this.status !== HTTP_OK) {
      this.fail(`status ${this.status}`);
      return;
    }
    if (this.grpcStatus !== 0) {
      this.fail(this.grpcStatus < 0 ? 'no grpc-status' : `grpc-status ${this.grpcStatus}`);
      return;
    }
    const nothing = this.answerBytes === 0 && this.target.mayAnswerNothing === true;
    const message = nothing ? NO_MESSAGE : unaryMessage(Buffer.concat(this.answer));
    if (message === undefined) {
      this.fail('an answer that is no single message without compression');
      return;
    }
    this.release(true);
    this.outcome.onCallAnswered(message);
  }

  /** As Envoy's router does for its own calls, in whose cluster they count as others do. */
  private count(status: number, also?: 'timeout' | 'noneHealthy' | 'pendingOverflow'): void {
    const counts = clusterCounts(this.path, this.clusterSlot);
    countAnswer(counts, status);
    if (counts !== null && also !== undefined) counts[also]++;
  }

  private fail(reason: string): void {
    this.release(false);
    this.outcome.onCallFailed(reason);
  }

  private release(success: boolean): void {
    this.over = true;
    this.upstream = null;
    this.answer = [];
    const { core, wheel } = this.path;
    wheel.cancel(this.timer);
    const { endpoint } = this;
    if (endpoint === null) return;
    core.wasm.release(this.clusterSlot, LIMIT_REQUESTS);
    core.wasm.endpointEnd(endpoint.slot);
    if (success) endpoint.stats.rqSuccess++;
    else endpoint.stats.rqError++;
  }
}
