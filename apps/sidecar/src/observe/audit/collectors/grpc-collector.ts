// Audit: hands the lines of a chain to a collector by gRPC, over a cluster of the proxy, a batch a call.

import type { CallTarget } from '../../../upstream/calls/unary-call.js';
import type { AuditSink, FoundEnd } from '../audit-sink.js';

/** Calls a service over a cluster; rejects with the reason where it does not answer with success. */
export type CallService = (target: CallTarget, message: Uint8Array) => Promise<Uint8Array>;

/** The message of one call. */
export interface CollectorBatch {
  readonly message: Uint8Array;
  /** So many lines are in it. */
  readonly lines: number;
}

export interface CollectorProtocol {
  readonly target: CallTarget;
  /** As many lines, from the first one on, as go into one call; at least one. */
  readonly encode: (lines: readonly string[], first: number) => CollectorBatch;
  /** What the collector has not taken, for good. */
  readonly refused: (answer: Uint8Array) => { readonly lines: number; readonly reason: string } | undefined;
}

/** A collector would rather have few calls. */
const WRITE_DELAY_MS = 500;

export class GrpcCollector implements AuditSink {
  readonly writeDelayMs = WRITE_DELAY_MS;
  #protocol: CollectorProtocol | undefined;
  /** Lines that it has of a batch that a failure cut off. */
  #taken = 0;

  /**
   * @param load called once, when there is something to hand over: most sidecars have no collector, and start-up time matters
   * @param onRefused told where the collector has taken a call, and not all in it: that is not sent again
   */
  constructor(
    private readonly load: () => Promise<CollectorProtocol>,
    private readonly call: CallService,
    private readonly onRefused: (lines: number, reason: string) => void,
  ) {}

  async open(): Promise<FoundEnd> {
    return { previous: undefined, torn: false };
  }

  async append(lines: readonly string[]): Promise<void> {
    this.#protocol ??= await this.load();
    const { target, encode, refused: refusedOf } = this.#protocol;
    while (this.#taken < lines.length) {
      const batch = encode(lines, this.#taken);
      const answer = await this.call(target, batch.message);
      this.#taken += batch.lines;
      const refused = refusedOf(answer);
      if (refused !== undefined) this.onRefused(refused.lines, refused.reason);
    }
    this.#taken = 0;
  }

  /** What was answered is the collector's. */
  async sync(): Promise<void> {}

  async close(): Promise<void> {}
}
