// Exchange: the attempts at upstreams that one request has had, and those that its policy still allows.

import {
  type Core,
  LIMIT_RETRIES,
  PICK_EXCLUDED,
  PICK_HASH,
  PICK_HASH_SET,
  PICK_TRIED,
  PICK_TRIED_MAX,
  POLICY_AVOID_PREVIOUS,
  POLICY_HASHES,
  POLICY_HOST_SELECTION_ATTEMPTS,
  POLICY_PRIORITY_FREQUENCY,
  POLICY_RETRY_BUFFER_BYTES,
  POLICY_RETRY_ON,
  RESP_HEAD_LENGTH,
  RESP_HEAD_OFFSET,
  RETRY_ON_ENVOY_RATELIMITED,
  RETRY_ON_RETRIABLE_HEADERS,
} from '@lateen/filters-wasm';
import { clusterCounts } from '../../observe/cluster-counts.js';
import type { DataPath } from '../../transport/data-path.js';
import { headerValue } from '../access-log-entry.js';
import type { ExchangeClient } from '../exchange-client.js';
import type { KeptRequest } from '../kept-request.js';
import { matchesAny, resetAfterMs, retryHeadersOf } from './retry-headers.js';
import { backoffMs, retriesOf } from './retry-policy.js';

const RATE_LIMITED = 'x-envoy-ratelimited';

/** One for each exchange, used again for each request. Numbers only: nothing here is allocated for a request. */
export class Attempts {
  /** Attempts made so far. */
  count = 0;
  private left = 0;
  private policy = 0;
  private holdsUnit = false;
  private triedCount = 0;
  /** The first of those tried whose priorities are left out. */
  private firstTried = 0;
  /** Priorities that retries leave out: PICK_EXCLUDED. */
  private excluded = 0;
  private readonly tried: number[] = [];
  /** What hashRequest() said of the request, 0 where nothing was hashed; its hash, by which the endpoints of retries are chosen too. */
  private hashed = 0;
  private hashLow = 0;
  private hashHigh = 0;

  constructor(
    private readonly path: DataPath,
    private readonly kept: KeptRequest,
  ) {}

  /**
   * Before the first attempt, and before any of the body is kept.
   * @param policy 0 where the route has none
   * @param bufferBytes of the body that the listener keeps for a retry, where the route sets no limit
   */
  begin(policy: number, bufferBytes: number): void {
    const { core } = this.path;
    this.count = 0;
    this.triedCount = 0;
    this.firstTried = 0;
    this.excluded = 0;
    this.policy = policy;
    this.left = retriesOf(core, policy);
    const own = policy === 0 ? -1 : core.i32[(policy + POLICY_RETRY_BUFFER_BYTES) >> 2]!;
    this.kept.limitBytes = this.left === 0 ? -1 : own < 0 ? bufferBytes : own;
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
    if (this.left <= 0) {
      const counts = this.count > 1 ? clusterCounts(this.path, clusterSlot) : null;
      if (counts !== null) counts.retryLimitExceeded++;
      return false;
    }
    const headers = retryHeadersOf(this.path.core, this.policy);
    if (headers !== undefined && headers.request.length > 0 && !matchesAny(headers.request, this.kept.headText())) {
      return false;
    }
    const counts = clusterCounts(this.path, clusterSlot);
    if (!this.holdsUnit && this.path.core.wasm.acquire(clusterSlot, LIMIT_RETRIES) === 0) {
      if (counts !== null) counts.retryOverflow++;
      return false;
    }
    this.holdsUnit = true;
    this.left--;
    this.path.stats.upstreamRqRetry++;
    if (counts !== null) counts.retry++;
    return true;
  }

  /** REQ_* and ROUTE_* are filled: hashes what the policy says of the request, while it is still there to be read. */
  hash(policy: number, client: ExchangeClient): void {
    const { i32, wasm } = this.path.core;
    this.hashed = 0;
    if (policy === 0 || i32[(policy + POLICY_HASHES) >> 2] === 0) return;
    this.hashed = wasm.hashRequest(client.chain.listenerRecord, client.needRecord());
    this.hashLow = i32[PICK_HASH >> 2]!;
    this.hashHigh = i32[(PICK_HASH + 4) >> 2]!;
    // Another request may choose its endpoint before this one does.
    i32[PICK_HASH_SET >> 2] = 0;
  }

  /** Cookies that were made to choose an endpoint, and that the response tells the client: SET_COOKIES. */
  get madeCookies(): number {
    return this.hashed >> 1;
  }

  /** Chooses the endpoint of the first attempt: its slot, or PICK_*. */
  pickFirst(clusterSlot: number): number {
    return this.pick(clusterSlot, 0, 1);
  }

  /** Chooses the endpoint of a retry, another one where the policy wants that: its slot, or PICK_*. */
  pickNext(policy: number, clusterSlot: number): number {
    const { i32 } = this.path.core;
    this.excludePriorities(clusterSlot, i32[(policy + POLICY_PRIORITY_FREQUENCY) >> 2]!);
    const avoided = i32[(policy + POLICY_AVOID_PREVIOUS) >> 2] === 1 ? this.triedCount : 0;
    for (let index = 0; index < avoided; index++) i32[(PICK_TRIED >> 2) + index] = this.tried[index]!;
    i32[PICK_EXCLUDED >> 2] = this.excluded;
    const slot = this.pick(clusterSlot, avoided, i32[(policy + POLICY_HOST_SELECTION_ATTEMPTS) >> 2]!);
    // A cluster with one priority does not look at it.
    i32[PICK_EXCLUDED >> 2] = 0;
    return slot;
  }

  /** As Envoy: each time so many more attempts have been made, and begun anew where nobody else is healthy. */
  private excludePriorities(clusterSlot: number, frequency: number): void {
    const { i32, wasm } = this.path.core;
    const count = this.triedCount - this.firstTried;
    if (frequency > 0 && count >= frequency && count % frequency === 0) {
      for (let index = 0; index < count; index++) {
        i32[(PICK_TRIED >> 2) + index] = this.tried[this.firstTried + index]!;
      }
      this.excluded = wasm.triedPriorities(clusterSlot, count);
      if (this.excluded === 0) this.firstTried = this.triedCount;
    }
  }

  private pick(clusterSlot: number, avoided: number, draws: number): number {
    const { i32, wasm } = this.path.core;
    if (this.hashed !== 0) {
      i32[PICK_HASH >> 2] = this.hashLow;
      i32[(PICK_HASH + 4) >> 2] = this.hashHigh;
      i32[PICK_HASH_SET >> 2] = 1;
    }
    return wasm.pick(clusterSlot, avoided, draws);
  }

  nextBackoffMs(policy: number): number {
    return backoffMs(this.path.core, policy, this.count);
  }

  /** The pause after a response (RESP_*), which may itself say how long it is to be; with Envoy's jitter of a half. */
  backoffAfterResponseMs(policy: number): number {
    const { core } = this.path;
    const headers = retryHeadersOf(core, policy);
    const asked =
      headers === undefined || headers.resets.length === 0
        ? undefined
        : resetAfterMs(headers, responseHead(core), Date.now());
    return asked === undefined ? this.nextBackoffMs(policy) : asked * (1 + Math.random() / 2);
  }

  /** The request has ended. */
  end(clusterSlot: number): void {
    if (this.holdsUnit) this.path.core.wasm.release(clusterSlot, LIMIT_RETRIES);
    this.holdsUnit = false;
    this.hashed = 0;
  }
}

/** True where the policy (0 = none) would try again for a response: RESP_*, of this status. */
export function isRetriableResponse(core: Core, policy: number, status: number): boolean {
  if (policy === 0) return false;
  const on = core.i32[(policy + POLICY_RETRY_ON) >> 2]!;
  const byStatus = core.wasm.isRetriableStatus(policy, status) === 1;
  const asksHeaders = (on & (RETRY_ON_RETRIABLE_HEADERS | RETRY_ON_ENVOY_RATELIMITED)) !== 0;
  if (!byStatus && !asksHeaders) return false;
  const head = responseHead(core);
  // A rate limit says that it is no use to try again soon: only who asks for it does.
  if (headerValue(head, RATE_LIMITED) !== undefined) return (on & RETRY_ON_ENVOY_RATELIMITED) !== 0;
  if (byStatus) return true;
  const headers = retryHeadersOf(core, policy);
  return (on & RETRY_ON_RETRIABLE_HEADERS) !== 0 && headers !== undefined && matchesAny(headers.response, head);
}

function responseHead(core: Core): string {
  return core.text(core.i32[RESP_HEAD_OFFSET >> 2]!, core.i32[RESP_HEAD_LENGTH >> 2]!);
}
