// Upstream: one request that the proxy makes by itself, over the connections that requests to the cluster share, and its whole answer.

import { LIMIT_REQUESTS } from '@lateen/filters-wasm';
import type { UpstreamFailure } from '../../exchange/local-reply.js';
import { clusterCounts, countAnswer } from '../../observe/cluster-counts.js';
import type { DataPath } from '../../transport/data-path.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { Endpoint } from '../endpoint.js';
import type { UpstreamRequest } from '../upstream-request.js';
import type { UpstreamStream } from '../upstream-stream.js';
import { OwnRequest } from './own-request.js';

/** Who is called, and for how long. */
export interface CallAddress {
  readonly cluster: string;
  /** 0 = no limit. */
  readonly timeoutMs: number;
}

/** A larger answer is refused. */
const MAX_ANSWER_BYTES = 65_536;
const UNAVAILABLE = 503;
const TIMED_OUT = 504;

export abstract class OwnCall extends OwnRequest implements UpstreamRequest, TimerOwner {
  abstract readonly method: number;
  abstract readonly http2: boolean;
  abstract readonly bodyChunked: boolean;
  abstract readonly responseChunkMode: number;
  readonly listenerRecord = 0;
  readonly clientAddresses = undefined;
  private readonly timer = new Timer(this, 0);
  private endpoint: Endpoint | null = null;
  private upstream: UpstreamStream | null = null;
  private clusterSlot = -1;
  private status = 0;
  private answer: Buffer[] = [];
  private answerBytes = 0;
  /** It was sent anew. */
  private again = false;
  private over = false;

  constructor(
    protected readonly path: DataPath,
    private readonly address: CallAddress,
  ) {
    super();
  }

  /** Head and body, with what frames it. */
  protected abstract request(): readonly Buffer[];
  /** RESP_* is filled; the gRPC status in it, -1 where there is none. */
  protected abstract noteHead(): number;
  /** Why the answer is none; undefined: it is one. */
  protected abstract refusalOf(status: number, body: Buffer): string | undefined;
  /** All of it is here, and `refusalOf` had nothing against it. */
  protected abstract answered(status: number, body: Buffer): void;
  protected abstract failed(reason: string): void;

  get secure(): boolean {
    return this.endpoint?.transport.tls ?? false;
  }

  begin(): void {
    const { core, tables, endpoints, wheel } = this.path;
    const { cluster, timeoutMs } = this.address;
    this.clusterSlot = tables.clusterSlot(cluster);
    const slot = core.wasm.pick(this.clusterSlot, 0, 1);
    const endpoint = slot < 0 ? undefined : endpoints[slot];
    if (endpoint === undefined) {
      this.over = true;
      this.count(UNAVAILABLE, 'noneHealthy');
      this.failed(`cluster ${cluster} has no healthy endpoint`);
      return;
    }
    if (core.wasm.acquire(this.clusterSlot, LIMIT_REQUESTS) === 0) {
      this.over = true;
      this.count(UNAVAILABLE, 'pendingOverflow');
      this.failed(`cluster ${cluster} takes no more requests at a time`);
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
    this.failed(`no answer within ${this.address.timeoutMs} ms`);
  }

  onUpstreamReady(upstream: UpstreamStream): void {
    this.upstream = upstream;
    this.endpoint?.outlier?.connected();
    const { writer } = upstream;
    for (const bytes of this.request()) writer.writeBuffer(bytes);
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
    const grpcStatus = this.noteHead();
    this.endpoint?.outlier?.answered(status, grpcStatus);
    return false;
  }

  onResponseBytes(address: number, length: number): void {
    if (this.over || length === 0) return;
    this.answerBytes += length;
    if (this.answerBytes > MAX_ANSWER_BYTES) {
      this.cancel();
      this.failed(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      return;
    }
    this.answer.push(Buffer.from(this.path.core.bytes.subarray(address, address + length)));
  }

  onResponseEnd(): void {
    this.upstream = null;
    if (this.over) return;
    this.count(this.status);
    const { status } = this;
    const body = Buffer.concat(this.answer);
    const refusal = this.refusalOf(status, body);
    if (refusal !== undefined) {
      this.fail(refusal);
      return;
    }
    this.release(true);
    this.answered(status, body);
  }

  /** As Envoy's router does for its own calls, in whose cluster they count as others do. */
  private count(status: number, also?: 'timeout' | 'noneHealthy' | 'pendingOverflow'): void {
    const counts = clusterCounts(this.path, this.clusterSlot);
    countAnswer(counts, status);
    if (counts !== null && also !== undefined) counts[also]++;
  }

  private fail(reason: string): void {
    this.release(false);
    this.failed(reason);
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
