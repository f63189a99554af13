// Exchange: the attempts at upstreams that one request has had, and those that its policy still allows.

import {
  type Core,
  LIMIT_RETRIES,
  PICK_TRIED,
  PICK_TRIED_MAX,
  POLICY_AVOID_PREVIOUS,
  POLICY_HOST_SELECTION_ATTEMPTS,
} from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import { backoffMs, retriesOf } from './retry-policy.js';

/** One for each exchange, used again for each request. Numbers only: nothing here is allocated for a request. */
export class Attempts {
  /** Attempts made so far. */
  count = 0;
  private left = 0;
  private holdsUnit = false;
  private triedCount = 0;
  private readonly tried: number[] = [];

  constructor(private readonly path: DataPath) {}

  /** Before the first attempt. @param policy 0 where the route has none */
  begin(policy: number): void {
    this.count = 0;
    this.triedCount = 0;
    this.left = retriesOf(this.path.core, policy);
  }

  /** An attempt at this endpoint starts. */
  note(endpointSlot: number): void {
    this.count++;
    if (this.left > 0 && this.triedCount < PICK_TRIED_MAX) this.tried[this.triedCount++] = endpointSlot;
  }

  get anyLeft(): boolean {
    return this.left > 0;
  }

  /** Takes one of the retries left, within the cluster's limit of retries at a time. */
  take(clusterSlot: number): boolean {
    if (this.left <= 0) return false;
    if (!this.holdsUnit && this.path.core.wasm.acquire(clusterSlot, LIMIT_RETRIES) === 0) return false;
    this.holdsUnit = true;
    this.left--;
    this.path.stats.upstreamRqRetry++;
    return true;
  }

  /** Chooses the endpoint of a retry, another one where the policy wants that: its slot, or PICK_*. */
  pickNext(policy: number, clusterSlot: number): number {
    const { i32, wasm } = this.path.core;
    const avoided = i32[(policy + POLICY_AVOID_PREVIOUS) >> 2] === 1 ? this.triedCount : 0;
    for (let index = 0; index < avoided; index++) i32[(PICK_TRIED >> 2) + index] = this.tried[index]!;
    return wasm.pick(clusterSlot, avoided, i32[(policy + POLICY_HOST_SELECTION_ATTEMPTS) >> 2]!);
  }

  nextBackoffMs(policy: number): number {
    return backoffMs(this.path.core, policy, this.count);
  }

  /** The request has ended. */
  end(clusterSlot: number): void {
    if (this.holdsUnit) this.path.core.wasm.release(clusterSlot, LIMIT_RETRIES);
    this.holdsUnit = false;
  }
}

/** True where the status of a response is one that the policy (0 = none) would try again for. */
export function isRetriableStatus(core: Core, policy: number, status: number): boolean {
  return policy !== 0 && core.wasm.isRetriableStatus(policy, status) === 1;
}
