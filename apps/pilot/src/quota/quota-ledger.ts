// Quotas: the buckets that proxies have told of, what each is sent, and the share of its rate that each has been given.

import type { RateLimitBudget } from '@lateen/translate';
import { divideRate } from './shares.js';

/** A share: `requests` in `periodMs`, `burst` at once. */
export interface QuotaShare {
  readonly requests: number;
  readonly periodMs: number;
  readonly burst: number;
}

/** Where a proxy's shares go. */
export interface QuotaHolder {
  assign(bucket: QuotaBucketId, share: QuotaShare): void;
  /** The rule is gone. */
  abandon(bucket: QuotaBucketId): void;
}

export type QuotaBucketId = Readonly<Record<string, string>>;

/** What the ledger knows of a rule. */
export interface QuotaRule {
  readonly budget: RateLimitBudget;
  readonly scope: 'PROXY' | 'MESH';
}

interface Account {
  offered: number;
  given: number;
  reportedAtMs: number;
  /** The proxy's stream has ended: it may go on using what it has. */
  leftAtMs: number | undefined;
}

interface Bucket {
  readonly id: QuotaBucketId;
  readonly rule: QuotaRule;
  readonly accounts: Map<QuotaHolder, Account>;
  dirty: boolean;
}

/** How fast what is known of demand follows it: this part of each report counts. */
const SMOOTHING = 0.5;
/** A share is told anew where it changes by so much of itself. */
const WORTH_TELLING = 0.01;
/** Who has left keeps its share so long, since it may only have lost its connection and go on. */
const KEPT_AFTER_LEAVING_MS = 10_000;
/** A bucket that nobody tells of is forgotten. */
const FORGOTTEN_AFTER_MS = 600_000;
/** After the start shares are only told once the proxies have had time to come back and say what they are sent. */
const GATHERING_MS = 1_000;
/** Tokens are whole; a share is written as so many requests in this many periods. */
const PERIODS = 1_000;

export interface QuotaLedgerOptions {
  rule(id: string): QuotaRule | undefined;
  readonly ruleKey: string;
  readonly nowMs: () => number;
}

export class QuotaLedger {
  readonly #buckets = new Map<string, Bucket>();
  readonly #startedMs: number;

  constructor(private readonly options: QuotaLedgerOptions) {
    this.#startedMs = options.nowMs();
  }

  get bucketCount(): number {
    return this.#buckets.size;
  }

  /** What a proxy used in the time since its last report. The first of a bucket says nothing of how fast. */
  report(holder: QuotaHolder, id: QuotaBucketId, used: number, elapsedMs: number, first: boolean): void {
    const rule = this.options.rule(id[this.options.ruleKey] ?? '');
    if (rule === undefined) {
      holder.abandon(id);
      return;
    }
    const bucket = this.#bucketOf(id, rule);
    const nowMs = this.options.nowMs();
    let account = bucket.accounts.get(holder);
    if (account === undefined) {
      account = { offered: 0, given: 0, reportedAtMs: nowMs, leftAtMs: undefined };
      bucket.accounts.set(holder, account);
      bucket.dirty = true;
    }
    account.reportedAtMs = nowMs;
    if (first || elapsedMs <= 0) return;
    const rate = (used * 1_000) / elapsedMs;
    account.offered = account.offered === 0 ? rate : account.offered + SMOOTHING * (rate - account.offered);
    bucket.dirty = true;
  }

  /** The proxy's stream has ended. */
  leave(holder: QuotaHolder): void {
    const nowMs = this.options.nowMs();
    for (const { accounts } of this.#buckets.values()) {
      const account = accounts.get(holder);
      if (account !== undefined) account.leftAtMs = nowMs;
    }
  }

  /** Divides anew what has changed, and tells the shares. To be called every now and then. */
  settle(): void {
    const nowMs = this.options.nowMs();
    for (const [key, bucket] of this.#buckets) {
      this.#clean(bucket, nowMs);
      if (bucket.accounts.size === 0) {
        this.#buckets.delete(key);
        continue;
      }
      if (!bucket.dirty) continue;
      if (bucket.rule.scope === 'MESH' && nowMs - this.#startedMs < GATHERING_MS) continue;
      bucket.dirty = false;
      this.#divide(bucket);
    }
  }

  /** Rules have changed: buckets of rules that say something else now begin anew. */
  refresh(): void {
    for (const [key, bucket] of this.#buckets) {
      const rule = this.options.rule(bucket.id[this.options.ruleKey] ?? '');
      if (rule !== undefined && JSON.stringify(rule) === JSON.stringify(bucket.rule)) continue;
      this.#buckets.delete(key);
      for (const [holder, { leftAtMs }] of bucket.accounts) if (leftAtMs === undefined) holder.abandon(bucket.id);
    }
  }

  #bucketOf(id: QuotaBucketId, rule: QuotaRule): Bucket {
    const key = JSON.stringify(
      Object.keys(id)
        .sort()
        .map((part) => [part, id[part]]),
    );
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { id, rule, accounts: new Map(), dirty: true };
      this.#buckets.set(key, bucket);
    }
    return bucket;
  }

  #clean(bucket: Bucket, nowMs: number): void {
    for (const [holder, { leftAtMs, reportedAtMs }] of bucket.accounts) {
      const gone = leftAtMs !== undefined && nowMs - leftAtMs > KEPT_AFTER_LEAVING_MS;
      if (!gone && nowMs - reportedAtMs <= FORGOTTEN_AFTER_MS) continue;
      bucket.accounts.delete(holder);
      bucket.dirty = true;
    }
  }

  #divide({ id, rule, accounts }: Bucket): void {
    const { requests, periodMs, burst } = rule.budget;
    const rate = (requests * 1_000) / periodMs;
    const kept = [...accounts.values()].reduce(
      (sum, { leftAtMs, given }) => sum + (leftAtMs === undefined ? 0 : given),
      0,
    );
    const present = [...accounts].filter(([, { leftAtMs }]) => leftAtMs === undefined);
    const shares =
      rule.scope === 'MESH'
        ? divideRate(
            Math.max(rate - kept, 0),
            present.map(([, account]) => account),
          )
        : present.map(() => rate);
    // Who gets less is told first: together they have never more than there is, but for the time of a message.
    const changes = present
      .map(([holder, account], index) => ({ holder, account, share: shares[index] ?? 0 }))
      .filter(({ account, share }) => Math.abs(share - account.given) > WORTH_TELLING * Math.max(account.given, 1e-9))
      .sort((a, b) => a.share - a.account.given - (b.share - b.account.given));
    for (const { holder, account, share } of changes) {
      account.given = share;
      const part = rate === 0 ? 0 : share / rate;
      holder.assign(id, {
        requests: Math.round(requests * part * PERIODS),
        periodMs: periodMs * PERIODS,
        burst: Math.max(1, Math.round(burst * part)),
      });
    }
  }
}
