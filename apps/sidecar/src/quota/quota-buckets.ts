// Quotas: the buckets of this process by the ids that a quota service knows, what was used of each, and what is assigned.

import {
  BUCKET_CREDIT,
  BUCKET_FILLED_AT,
  BUCKET_INTERVAL,
  BUCKET_MAX_TOKENS,
  BUCKET_PER_FILL,
  type Core,
  QUOTA_BUCKET_ALLOWED,
  QUOTA_BUCKET_BRANCH,
  QUOTA_BUCKET_DENIED,
  QUOTA_BUCKET_STRATEGY,
  QUOTA_BUCKET_TOKENS,
  QUOTA_MADE,
  QUOTA_MADE_COUNT,
  QUOTA_UNASSIGNED,
  type QuotaBranch,
  type QuotaBranches,
  type QuotaStrategy,
  STRATEGY_BUCKET,
} from '@lateen/filters-wasm';

/** A bucket that requests have asked. */
export interface QuotaBucket {
  readonly branch: QuotaBranch;
  readonly id: Readonly<Record<string, string>>;
  readonly key: string;
}

/** What was used since the last call, and how long ago that was; of the first call nobody knows how long. */
export interface QuotaUsage {
  readonly allowed: number;
  readonly denied: number;
  readonly elapsedMs: number | undefined;
}

/**
 * Buckets of this domain need no quota: Pilot names it where the whole limit is the proxy's (quota-filter.ts in packages/
 * translate). Whoever sends requests says how many there are, so nothing is kept or told of them.
 */
const PROXY_QUOTA_DOMAIN = 'lateen.proxy';
/** An unused bucket is told of so often, so that the service learns that it is; then not until it is used again. */
const UNUSED_REPORTS = 10;

interface Entry extends QuotaBucket {
  readonly place: number;
  allowed: number;
  denied: number;
  expiresAtMs: number;
  /** When its usage was last taken; undefined: never yet. */
  takenAtMs: number | undefined;
  /** How often in a row its usage was none. */
  unused: number;
}

/** One for each data path. Nothing here is called for a request whose buckets exist already. */
export class QuotaBuckets {
  /** Told of each new bucket; its requests go by the filter's own strategy until there is an assignment. */
  onMade: ((bucket: QuotaBucket) => void) | undefined;
  readonly #byPlace = new Map<number, Entry>();
  readonly #byKey = new Map<string, Entry>();

  constructor(
    private readonly core: Core,
    private readonly branches: QuotaBranches,
  ) {}

  /** After chargeQuotas: takes in the buckets that it made. */
  noteMade(): void {
    const count = this.#int(QUOTA_MADE_COUNT);
    for (let index = 0; index < count; index++) {
      const place = this.#int(QUOTA_MADE + index * 8);
      this.#forget(place);
      const branch = this.branches.branch(this.#int(place + QUOTA_BUCKET_BRANCH));
      if (branch === undefined || branch.domain === PROXY_QUOTA_DOMAIN) continue;
      const id = this.#readId(branch, this.#int(QUOTA_MADE + index * 8 + 4));
      const key = bucketKey(branch.domain, id);
      const counts = { allowed: 0, denied: 0, expiresAtMs: Number.POSITIVE_INFINITY, takenAtMs: undefined, unused: 0 };
      const entry: Entry = { branch, id, key, place, ...counts };
      this.#byPlace.set(place, entry);
      this.#byKey.set(key, entry);
      this.onMade?.(entry);
    }
  }

  [Symbol.iterator](): IterableIterator<QuotaBucket> {
    return this.#byPlace.values();
  }

  find(domain: string, id: Readonly<Record<string, string>>): QuotaBucket | undefined {
    return this.#byKey.get(bucketKey(domain, id));
  }

  /** Its place has not been given to another bucket. */
  holds(bucket: QuotaBucket): boolean {
    return this.#byKey.get(bucket.key) === bucket;
  }

  /** Whether there is something to tell of it: it was used, or the service may not know yet that it is not. */
  isDue(bucket: QuotaBucket, nowMs: number): boolean {
    const entry = this.#byKey.get(bucket.key);
    if (entry === undefined) return false;
    if (nowMs - (entry.takenAtMs ?? Number.NEGATIVE_INFINITY) < entry.branch.reportingIntervalMs) return false;
    return entry.unused < UNUSED_REPORTS || this.#used(entry) > 0;
  }

  /** The service of a domain may have forgotten all: everything is to be told again. */
  tellAgain(domain: string): void {
    for (const entry of this.#byPlace.values()) if (entry.branch.domain === domain) entry.unused = 0;
  }

  /** What was used since the last time that this was asked. */
  takeUsage(bucket: QuotaBucket, nowMs: number): QuotaUsage {
    const entry = this.#byKey.get(bucket.key);
    if (entry === undefined) return { allowed: 0, denied: 0, elapsedMs: undefined };
    const elapsedMs = entry.takenAtMs === undefined ? undefined : nowMs - entry.takenAtMs;
    entry.takenAtMs = nowMs;
    entry.unused = this.#used(entry) > 0 ? 0 : entry.unused + 1;
    const allowed = this.core.f64[(entry.place + QUOTA_BUCKET_ALLOWED) >> 3] as number;
    const denied = this.core.f64[(entry.place + QUOTA_BUCKET_DENIED) >> 3] as number;
    const usage = { allowed: allowed - entry.allowed, denied: denied - entry.denied, elapsedMs };
    entry.allowed = allowed;
    entry.denied = denied;
    return usage;
  }

  /**
   * Puts an assignment in effect. A token bucket keeps the tokens that it holds, up to what the new one may hold.
   * @param ttlMs how long it counts; Infinity for ever
   */
  assign(bucket: QuotaBucket, strategy: QuotaStrategy, ttlMs: number, nowMs: number): void {
    const entry = this.#byKey.get(bucket.key);
    if (entry === undefined) return;
    entry.expiresAtMs = nowMs + ttlMs;
    if (strategy.kind === STRATEGY_BUCKET) this.#adopt(entry.place + QUOTA_BUCKET_TOKENS, strategy, nowMs);
    this.core.i32[(entry.place + QUOTA_BUCKET_STRATEGY) >> 2] = strategy.kind;
  }

  /** The service has no quota for it: it goes by the filter's own strategy, and is told of when it is used again. */
  abandon(bucket: QuotaBucket): void {
    const entry = this.#byKey.get(bucket.key);
    if (entry !== undefined) entry.unused = UNUSED_REPORTS;
    this.unassign(bucket);
  }

  /** The bucket goes by the filter's own strategy again. */
  unassign(bucket: QuotaBucket): void {
    const entry = this.#byKey.get(bucket.key);
    if (entry === undefined) return;
    entry.expiresAtMs = Number.POSITIVE_INFINITY;
    this.core.i32[(entry.place + QUOTA_BUCKET_STRATEGY) >> 2] = QUOTA_UNASSIGNED;
  }

  /** Ends assignments whose time is over, as their filter says. */
  expire(nowMs: number): void {
    for (const entry of this.#byPlace.values()) {
      const { expired, expiredForMs } = entry.branch;
      const usedUntilMs = entry.expiresAtMs + (expired === 'reuse' ? expiredForMs : 0);
      if (usedUntilMs <= nowMs) this.unassign(entry);
    }
  }

  #used({ place, allowed, denied }: Entry): number {
    const { f64 } = this.core;
    const counted = (f64[(place + QUOTA_BUCKET_ALLOWED) >> 3] ?? 0) + (f64[(place + QUOTA_BUCKET_DENIED) >> 3] ?? 0);
    return counted - allowed - denied;
  }

  #adopt(tokens: number, { interval, maxTokens, perFill }: QuotaStrategy, nowMs: number): void {
    const { bytes } = this.core;
    const before = bytes.readBigInt64LE(tokens + BUCKET_INTERVAL);
    const held =
      before === 0n ? maxTokens * interval : (bytes.readBigInt64LE(tokens + BUCKET_CREDIT) * interval) / before;
    const full = maxTokens * interval;
    bytes.writeBigInt64LE(held > full ? full : held, tokens + BUCKET_CREDIT);
    if (before === 0n) bytes.writeBigInt64LE(BigInt(Math.floor(nowMs * 1000)), tokens + BUCKET_FILLED_AT);
    bytes.writeBigInt64LE(interval, tokens + BUCKET_INTERVAL);
    bytes.writeBigInt64LE(maxTokens, tokens + BUCKET_MAX_TOKENS);
    bytes.writeBigInt64LE(perFill, tokens + BUCKET_PER_FILL);
  }

  /** Another bucket has the place now. */
  #forget(place: number): void {
    const entry = this.#byPlace.get(place);
    if (entry === undefined) return;
    this.#byPlace.delete(place);
    if (this.#byKey.get(entry.key) === entry) this.#byKey.delete(entry.key);
  }

  #readId({ keys }: QuotaBranch, start: number): Record<string, string> {
    const id: Record<string, string> = {};
    let at = start;
    for (const key of keys) {
      const length = this.#int(at);
      id[key] = this.core.bytes.toString('utf8', at + 4, at + 4 + length);
      at += 4 + ((length + 3) & ~3);
    }
    return id;
  }

  #int(place: number): number {
    return this.core.i32[place >> 2] as number;
  }
}

/** Equal for equal ids, whatever the order of their parts. */
function bucketKey(domain: string, id: Readonly<Record<string, string>>): string {
  return JSON.stringify([
    domain,
    ...Object.keys(id)
      .sort()
      .flatMap((key) => [key, id[key]]),
  ]);
}
