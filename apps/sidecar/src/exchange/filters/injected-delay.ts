// Exchange: a request that is held back on purpose, and what becomes of it afterwards.

import { FAULT_GRPC_SHIFT } from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { LocalReply } from '../local-reply.js';
import { FLAG } from '../response-flags.js';

/** An answer that was written while the tables still had what it says. */
export interface HeldAnswer {
  readonly status: number;
  readonly bytes: Buffer;
  readonly bodyLength: number;
  /** RESPONSE_CODE_DETAILS. */
  readonly details: string;
  /** -1 where the request is not gRPC. */
  readonly grpcStatus: number;
}

/** Who is told that the delay is over: at most one of the two answers is there, none means to forward. */
export interface DelayedRequest {
  afterDelay(reply: LocalReply | null, answer: HeldAnswer | null): void;
}

/** One for each exchange that ever had a delay, used again for each of its requests. */
export class InjectedDelay implements TimerOwner {
  private reply: LocalReply | null = null;
  private answer: HeldAnswer | null = null;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly request: DelayedRequest,
  ) {}

  get pending(): boolean {
    return this.timer.armed;
  }

  begin(delayMs: number, reply: LocalReply | null, answer: HeldAnswer | null): void {
    this.reply = reply;
    this.answer = answer;
    this.path.wheel.schedule(this.timer, delayMs);
  }

  cancel(): void {
    this.path.wheel.cancel(this.timer);
    this.answer = null;
  }

  onTimer(): void {
    this.path.clock.tick();
    const { reply, answer } = this;
    this.answer = null;
    this.request.afterDelay(reply, answer);
  }
}

const aborts = new Map<number, LocalReply>();

/** What a request is answered with that fails on purpose. @param statuses ROUTE_FAULT_ABORT_STATUS */
export function faultAbort(statuses: number): LocalReply {
  let reply = aborts.get(statuses);
  if (reply === undefined) {
    const status = statuses & ((1 << FAULT_GRPC_SHIFT) - 1);
    const grpcStatus = (statuses >> FAULT_GRPC_SHIFT) - 1;
    const words = { status, flags: FLAG.FI, body: 'fault filter abort', details: 'fault_filter_abort' };
    reply = grpcStatus < 0 ? words : { ...words, grpcStatus };
    aborts.set(statuses, reply);
  }
  return reply;
}
