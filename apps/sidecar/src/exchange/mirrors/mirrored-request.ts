// Mirrors: one copy of a request on its way to a cluster that gets copies; what it is answered with is thrown away.

import { CHUNK_MODE_FRAMED, EMBEDDER_SCRATCH, LIMIT_REQUESTS } from '@lateen/filters-wasm';
import type { DrainListener, MessageWriter } from '../../codec/message-writer.js';
import { type ClusterCounts, clusterCounts, countAnswer } from '../../observe/cluster-counts.js';
import type { DataPath } from '../../transport/data-path.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import { OwnRequest } from '../../upstream/calls/own-request.js';
import type { Endpoint } from '../../upstream/endpoint.js';
import type { UpstreamRequest } from '../../upstream/upstream-request.js';
import type { UpstreamStream } from '../../upstream/upstream-stream.js';

/** A copy of which more waits is given up: the request itself waits for nobody. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** The same for all copies of the process together. */
const MAX_ALL_WAITING_BYTES = 64 * 1024 * 1024;
/** A copy in which nothing moves for so long is given up, whatever its route allows. */
const QUIET_MS = 300_000;

/** What waits in all copies of a data path. */
export interface MirrorMemory {
  waitingBytes: number;
}

/** What the copy has in common with its request. */
export type MirrorSource = Pick<UpstreamRequest, 'method' | 'listenerRecord' | 'secure' | 'http2' | 'bodyChunked'>;

export class MirroredRequest extends OwnRequest implements UpstreamRequest, DrainListener, TimerOwner {
  readonly method: number;
  /** A copy is the proxy's own doing, as in Envoy. */
  readonly clientAddresses = undefined;
  readonly listenerRecord: number;
  readonly secure: boolean;
  readonly http2: boolean;
  readonly bodyChunked: boolean;
  readonly responseChunkMode = CHUNK_MODE_FRAMED;
  private readonly timer = new Timer(this, 0);
  /** Taken at the beginning: another configuration may give the slot to another cluster. */
  private readonly counts: ClusterCounts | null;
  private upstream: UpstreamStream | null = null;
  /** What has not been written, in order: the head first, until there is a connection. */
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private trailers: Buffer | null = null;
  private lastActiveMs = 0;
  private completeMs = 0;
  private status = 0;
  private over = false;

  constructor(
    private readonly path: DataPath,
    private readonly memory: MirrorMemory,
    private readonly clusterSlot: number,
    private readonly endpoint: Endpoint,
    /** The whole request's time limit, from its end; 0 = none. */
    private readonly timeoutMs: number,
    { method, listenerRecord, secure, http2, bodyChunked }: MirrorSource,
  ) {
    super();
    this.counts = clusterCounts(path, clusterSlot);
    this.method = method;
    this.listenerRecord = listenerRecord;
    this.secure = secure;
    this.http2 = http2;
    this.bodyChunked = bodyChunked;
  }

  /** A unit of the cluster's limit of requests has been taken. */
  begin(head: Buffer, body: readonly Buffer[]): void {
    this.path.core.wasm.endpointBegin(this.endpoint.slot);
    this.path.wheel.schedule(this.timer, QUIET_MS);
    for (const bytes of [head, ...body]) this.add(bytes);
    if (!this.over) this.endpoint.acquire(this);
  }

  /** More of the request; the bytes must not change afterwards. */
  add(bytes: Buffer): void {
    if (this.over) return;
    this.lastActiveMs = this.path.clock.nowMs;
    const { upstream } = this;
    if (upstream !== null && this.waiting.length === 0 && !upstream.writer.backedUp) {
      upstream.writer.writeBuffer(bytes);
      return;
    }
    this.wait(bytes.length);
    this.waiting.push(bytes);
    const tooMuch = this.waitingBytes > MAX_WAITING_BYTES || this.memory.waitingBytes > MAX_ALL_WAITING_BYTES;
    if (tooMuch) this.giveUp();
    else upstream?.writer.notifyDrained(this);
  }

  /** Header lines; the end follows. */
  addTrailers(lines: Buffer): void {
    if (!this.over) this.trailers = lines;
  }

  /** The request has been added to its end. */
  end(): void {
    if (this.over) return;
    this.requestComplete = true;
    this.completeMs = this.path.clock.nowMs;
    if (this.timeoutMs > 0) this.path.wheel.schedule(this.timer, Math.min(this.timeoutMs, QUIET_MS));
    if (this.waiting.length === 0 && this.upstream !== null) this.endMessage(this.upstream.writer);
  }

  /** Lets go of everything; what was sent of an unfinished copy ends with its connection. */
  giveUp(): void {
    if (this.over) return;
    this.pendingOn?.abandon(this);
    this.upstream?.close();
    this.finish(false);
  }

  onTimer(): void {
    this.path.clock.tick();
    const { nowMs } = this.path.clock;
    const quietLeftMs = QUIET_MS - (nowMs - this.lastActiveMs);
    const timeLeftMs =
      this.requestComplete && this.timeoutMs > 0 ? this.timeoutMs - (nowMs - this.completeMs) : QUIET_MS;
    const leftMs = Math.min(quietLeftMs, timeLeftMs);
    if (leftMs > 0) this.path.wheel.schedule(this.timer, leftMs);
    else {
      this.endpoint.stats.rqTimeout++;
      this.giveUp();
    }
  }

  onUpstreamReady(upstream: UpstreamStream): void {
    this.upstream = upstream;
    this.onDrained();
  }

  onDrained(): void {
    if (this.upstream === null) return;
    const { writer } = this.upstream;
    let sent = 0;
    while (sent < this.waiting.length && !writer.backedUp) {
      const bytes = this.waiting[sent++]!;
      this.wait(-bytes.length);
      writer.writeBuffer(bytes);
    }
    this.waiting.splice(0, sent);
    if (this.waiting.length > 0) writer.notifyDrained(this);
    else if (this.requestComplete) this.endMessage(writer);
  }

  private endMessage(writer: MessageWriter): void {
    const { trailers } = this;
    this.trailers = null;
    if (trailers !== null) {
      this.path.core.bytes.set(trailers, EMBEDDER_SCRATCH);
      writer.writeTrailers(EMBEDDER_SCRATCH, trailers.length);
    }
    writer.endMessage();
  }

  onUpstreamFailed(): void {
    this.finish(false);
  }

  onResponseHead(status: number): boolean {
    this.status = status;
    // Nobody sees the answer, and yet it is one of the cluster's, as in Envoy.
    countAnswer(this.counts, status);
    return false;
  }

  onResponseBytes(): void {
    this.lastActiveMs = this.path.clock.nowMs;
  }

  onResponseEnd(): void {
    this.finish(this.status < 500);
  }

  private wait(bytes: number): void {
    this.waitingBytes += bytes;
    this.memory.waitingBytes += bytes;
  }

  private finish(success: boolean): void {
    if (this.over) return;
    this.over = true;
    this.upstream?.writer.stopNotifying();
    this.upstream = null;
    this.wait(-this.waitingBytes);
    this.waiting = [];
    const { wheel, core } = this.path;
    wheel.cancel(this.timer);
    core.wasm.release(this.clusterSlot, LIMIT_REQUESTS);
    core.wasm.endpointEnd(this.endpoint.slot);
    if (success) this.endpoint.stats.rqSuccess++;
    else this.endpoint.stats.rqError++;
  }
}
