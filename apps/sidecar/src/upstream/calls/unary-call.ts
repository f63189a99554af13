// Upstream: one unary call of gRPC that the proxy makes by itself.

import { CHUNK_MODE_DATA, METHOD_POST, RESP_GRPC_STATUS } from '@lateen/filters-wasm';
import { unaryBody, unaryMessage } from '../../codec/grpc-message.js';
import type { DataPath } from '../../transport/data-path.js';
import { type CallAddress, OwnCall } from './own-call.js';

/** What is called. */
export interface CallTarget extends CallAddress {
  /** `:authority`. */
  readonly authority: string;
  /** `/PACKAGE.SERVICE/METHOD`. */
  readonly method: string;
  /** Further header lines, each with its end. */
  readonly headerLines: string;
  /** Success without a message is an answer as well, of no bytes: what is called is a stream that only the caller fills. */
  readonly mayAnswerNothing?: boolean;
}

/** Exactly one of the two is called, unless the call was cancelled; it may be during `begin`. */
export interface CallOutcome {
  onCallAnswered(message: Uint8Array): void;
  onCallFailed(reason: string): void;
}

const HTTP_OK = 200;
const NO_MESSAGE = new Uint8Array();

export class UnaryCall extends OwnCall {
  readonly method = METHOD_POST;
  readonly responseChunkMode = CHUNK_MODE_DATA;
  readonly http2 = true;
  readonly bodyChunked = true;
  private grpcStatus = -1;

  constructor(
    path: DataPath,
    private readonly target: CallTarget,
    private readonly message: Uint8Array,
    private readonly outcome: CallOutcome,
  ) {
    super(path, target);
  }

  protected request(): readonly Buffer[] {
    const { method, authority, headerLines, timeoutMs } = this.target;
    const limit = timeoutMs > 0 ? `grpc-timeout: ${timeoutMs}m\r\n` : '';
    const head =
      `POST ${method} HTTP/1.1\r\nhost: ${authority}\r\ncontent-type: application/grpc\r\nte: trailers\r\n` +
      `transfer-encoding: chunked\r\n${limit}${headerLines}\r\n`;
    return [Buffer.from(head, 'latin1'), unaryBody(this.message)];
  }

  protected noteHead(): number {
    this.grpcStatus = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
    return this.grpcStatus;
  }

  override onResponseTrailers(): void {
    const status = this.path.core.i32[RESP_GRPC_STATUS >> 2]!;
    if (status >= 0) this.grpcStatus = status;
  }

  protected refusalOf(status: number, body: Buffer): string | undefined {
    if (status !== HTTP_OK) return `status ${status}`;
    if (this.grpcStatus !== 0) return this.grpcStatus < 0 ? 'no grpc-status' : `grpc-status ${this.grpcStatus}`;
    return this.messageOf(body) === undefined ? 'an answer that is no single message without compression' : undefined;
  }

  protected answered(_status: number, body: Buffer): void {
    this.outcome.onCallAnswered(this.messageOf(body) as Uint8Array);
  }

  private messageOf(body: Buffer): Uint8Array | undefined {
    const nothing = body.length === 0 && this.target.mayAnswerNothing === true;
    return nothing ? NO_MESSAGE : unaryMessage(body);
  }

  protected failed(reason: string): void {
    this.outcome.onCallFailed(reason);
  }
}
