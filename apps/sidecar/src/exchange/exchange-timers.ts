// Exchange: the time limits of one request, as its route's policy sets them.

import {
  POLICY_IDLE_TIMEOUT_MS,
  POLICY_PER_TRY_IDLE_TIMEOUT_MS,
  POLICY_PER_TRY_TIMEOUT_MS,
  ROUTE_STREAM_MS,
  ROUTE_TIMEOUT_MS,
} from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';

import {
  type LocalReply,
  MAX_DURATION,
  MAX_DURATION_OF_REQUEST,
  PER_TRY_IDLE,
  PER_TRY_TIMEOUT,
  RESPONSE_TIMEOUT,
} from './local-reply.js';

/** Kinds of timers, told to the owner. */
export const TIMER_ROUTE = 0;
export const TIMER_TRY = 1;
export const TIMER_BACKOFF = 2;
export const TIMER_STREAM = 3;
export const TIMER_IDLE = 4;
export const TIMER_TRY_IDLE = 5;

export class ExchangeTimers {
  private readonly route: Timer;
  private readonly attempt: Timer;
  private readonly backoff: Timer;
  private readonly stream: Timer;
  private readonly idle: Timer;
  private readonly tryIdle: Timer;
  private attemptMs = 0;
  /** Limit of the whole request, from its end; 0 = none. */
  routeMs = 0;

  constructor(
    private readonly path: DataPath,
    owner: TimerOwner,
  ) {
    this.route = new Timer(owner, TIMER_ROUTE);
    this.attempt = new Timer(owner, TIMER_TRY);
    this.backoff = new Timer(owner, TIMER_BACKOFF);
    this.stream = new Timer(owner, TIMER_STREAM);
    this.idle = new Timer(owner, TIMER_IDLE);
    this.tryIdle = new Timer(owner, TIMER_TRY_IDLE);
  }

  /** The request's head was written (ROUTE_*_MS are filled): what limits it as a whole. `policy` is 0 where the route has none. */
  begin(policy: number): void {
    this.routeMs = this.path.core.i32[ROUTE_TIMEOUT_MS >> 2]!;
    if (policy === 0) return;
    this.arm(this.stream, ROUTE_STREAM_MS);
    this.arm(this.idle, policy + POLICY_IDLE_TIMEOUT_MS);
  }

  /** The whole request is here: Envoy's route timeout runs from now. */
  requestComplete(): void {
    if (this.routeMs > 0) this.path.wheel.schedule(this.route, this.routeMs);
  }

  beginAttempt(policy: number): void {
    if (policy === 0) return;
    this.attemptMs = this.path.clock.nowMs;
    this.arm(this.attempt, policy + POLICY_PER_TRY_TIMEOUT_MS);
    this.arm(this.tryIdle, policy + POLICY_PER_TRY_IDLE_TIMEOUT_MS);
  }

  endAttempt(): void {
    this.path.wheel.cancel(this.attempt);
  }

  retryAfter(delayMs: number): void {
    this.endAttempt();
    this.path.wheel.cancel(this.tryIdle);
    this.path.wheel.schedule(this.backoff, delayMs);
  }

  stopRetry(): void {
    this.path.wheel.cancel(this.backoff);
  }

  /**
   * Called when a timer fires: true where its time is over. One that is about quiet runs on for the rest where something
   * has moved since: `lastActiveMs`, or the beginning of the attempt.
   */
  isOver(kind: number, policy: number, lastActiveMs: number): boolean {
    if (kind === TIMER_IDLE) return this.isQuiet(this.idle, policy + POLICY_IDLE_TIMEOUT_MS, lastActiveMs);
    if (kind !== TIMER_TRY_IDLE) return true;
    const sinceMs = Math.max(lastActiveMs, this.attemptMs);
    return this.isQuiet(this.tryIdle, policy + POLICY_PER_TRY_IDLE_TIMEOUT_MS, sinceMs);
  }

  stop(): void {
    const { wheel } = this.path;
    wheel.cancel(this.tryIdle);
    wheel.cancel(this.route);
    wheel.cancel(this.attempt);
    wheel.cancel(this.backoff);
    wheel.cancel(this.stream);
    wheel.cancel(this.idle);
  }

  private isQuiet(timer: Timer, field: number, sinceMs: number): boolean {
    const leftMs = this.path.core.i32[field >> 2]! - (this.path.clock.nowMs - sinceMs);
    if (leftMs > 0) this.path.wheel.schedule(timer, leftMs);
    return leftMs <= 0;
  }

  private arm(timer: Timer, field: number): void {
    const limitMs = this.path.core.i32[field >> 2]!;
    if (limitMs > 0) this.path.wheel.schedule(timer, limitMs);
  }
}

/** What is answered when the time of a whole request or of its last attempt is over. */
export function timeoutReply(kind: number, requestComplete: boolean): LocalReply {
  if (kind === TIMER_ROUTE) return RESPONSE_TIMEOUT;
  if (kind === TIMER_STREAM) return requestComplete ? MAX_DURATION : MAX_DURATION_OF_REQUEST;
  return kind === TIMER_TRY ? PER_TRY_TIMEOUT : PER_TRY_IDLE;
}
