// Health checks: one check by a request, HTTP or gRPC, and what its answer says.

import { CHUNK_MODE_DATA, RESP_GRPC_STATUS } from '@lateen/filters-wasm';
import type { UpstreamFailure } from '../../exchange/local-reply.js';
import type { DataPath } from '../../transport/data-path.js';
import { OwnRequest } from '../calls/own-request.js';
import type { UpstreamRequest } from '../upstream-request.js';
import type { UpstreamStream } from '../upstream-stream.js';
import type { CheckConnection } from './check-connection.js';
import type { CheckResult } from './endpoint-health.js';

/** What is asked, and how the answer is judged. */
export interface AskedQuestion {
  /** METHOD_*. */
  readonly method: number;
  /** Head, and body with the framing that the head names, in HTTP/1.1's form. */
  readonly bytes: readonly Buffer[];
  readonly bodyChunked: boolean;
  /** So much of the answer's body is needed. */
  readonly maxBodyBytes: number;
  judge(status: number, grpcStatus: number, body: Buffer): CheckResult;
}

export interface CheckOutcome {
  onCheckEnded(result: CheckResult): void;
}

export class RequestCheck extends OwnRequest implements UpstreamRequest {
  readonly listenerRecord = 0;
  readonly responseChunkMode = CHUNK_MODE_DATA;
  readonly clientAddresses = undefined;
  readonly http2: boolean;
  readonly secure: boolean;
  readonly method: number;
  readonly bodyChunked: boolean;
  private status = 0;
  private grpcStatus = -1;
  private body: Buffer[] = [];
  private bodyBytes = 0;
  private over = false;
  /** It was sent anew. */
  private again = false;

  constructor(
    private readonly path: DataPath,
    private readonly connection: CheckConnection,
    private readonly question: AskedQuestion,
    private readonly outcome: CheckOutcome,
  ) {
    super();
    this.http2 = connection.protocol === 'http2';
    this.secure = connection.transport.tls;
    this.method = question.method;
    this.bodyChunked = question.bodyChunked;
  }

  begin(): void {
    this.connection.send(this);
  }

  /** Gives it up; the connection ends with it. */
  cancel(): void {
    this.over = true;
    this.connection.close();
  }

  onUpstreamReady(upstream: UpstreamStream): void {
    const { writer } = upstream;
    for (const bytes of this.question.bytes) writer.writeBuffer(bytes);
    this.requestComplete = true;
    writer.endMessage();
  }

  onUpstreamFailed(failure: UpstreamFailure, reason: string, freshConnection: boolean): void {
    if (this.over) return;
    // The server has closed a connection that was idle since the last check: that says nothing of how it is.
    if (!freshConnection && failure === 'closed' && this.status === 0 && !this.again) {
      this.again = true;
      this.requestComplete = false;
      this.connection.send(this);
      return;
    }
    const words = reason === '' ? failure : `${failure}: ${reason}`;
    this.end({ ok: false, kind: 'network', retriable: true, reason: words });
  }

  onResponseHead(status: number): boolean {
    this.status = status;
    this.grpcStatus = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
    return false;
  }

  onResponseBytes(address: number, length: number): void {
    const wanted = Math.min(length, this.question.maxBodyBytes - this.bodyBytes);
    if (wanted <= 0) return;
    this.bodyBytes += wanted;
    this.body.push(Buffer.from(this.path.core.bytes.subarray(address, address + wanted)));
  }

  override onResponseTrailers(): void {
    const status = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
    if (status >= 0) this.grpcStatus = status;
  }

  onResponseEnd(): void {
    this.end(this.question.judge(this.status, this.grpcStatus, Buffer.concat(this.body)));
  }

  private end(result: CheckResult): void {
    if (this.over) return;
    this.over = true;
    this.outcome.onCheckEnded(result);
  }
}
