// Quotas: the buckets that proxies have told of, what each is sent, and the share of its rate that each has been given.

import type { RateLimitBudget } from '@lateen/translate';
import { type QuotaShare, quotaShare } from './quota-share.js';
import { divideRate } from './shares.js';

/** Where a proxy's shares go: one of its streams. */
export interface QuotaHolder {
  /** Names the proxy, where it is known: a later stream of the same takes over what an earlier one was given. */
  readonly proxy?: string | undefined;
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
  usedAtMs: number;
  /** The present stream has been told what is given. */
  told: boolean;
  /** The proxy's stream has ended: it may go on using what it has. */
  leftAtMs: number | undefined;
}

interface Bucket {
  readonly key: string;
  readonly id: QuotaBucketId;
  readonly rule: QuotaRule;
  /** Of one value of a rule with `by`: whoever sends requests says how many there are. */
  readonly isValue: boolean;
  readonly accounts: Map<QuotaHolder, Account>;
}

/** How fast what is known of demand follows it: this part of each report counts, so that shares do not follow chance. */
const SMOOTHING = 0.2;
/** So many standard deviations (of a Poisson process) from what was expected are no chance: the load has moved. */
const SURPRISE = 3;
/** A share is told anew where it changes by so much of itself. */
const WORTH_TELLING = 0.01;
/** Who has left keeps its share so long, since it may only have lost its connection and go on. */
const KEPT_AFTER_LEAVING_MS = 10_000;
/**
 * A value that a proxy has not used for so long is forgotten. The proxy is not told: what it has counted would be gone, and
 * with it a limit of a longer period. When the value is used again it goes on with its last share until it has the new one.
 */
const UNUSED_VALUE_MS = 30_000;
/** What is over is looked for so often. */
const SWEEP_MS = 1_000;
/**
 * When proxies may come, shares are only told once those that hold one of an earlier time have had time to come back. A
 * sidecar tries at least every 1.2 s (its quota session).
 */
const GATHERING_MS = 2_000;
/** Proxies tell of a new bucket at once, with no time in which its requests came; reports of less are timed here. */
const SHORTEST_REPORT_MS = 100;
/** Shares of values: of one proxy (as many as a sidecar counts), and of all together (some 60 MB). */
const MAX_OF_HOLDER = 16_384;
const MAX_OF_ALL = 98_304;
/** So many shares of values are divided at a time, those that wait longest first: some 10 ms of work. */
const VALUES_AT_A_TIME = 4_096;
/** Sidecars cut each value at 256 bytes. */
const MAX_ID_CHARACTERS = 4_096;
const REFUSALS_TOLD_MS = 60_000;

export interface QuotaLedgerOptions {
  rule(id: string): QuotaRule | undefined;
  readonly ruleKey: string;
  readonly nowMs: () => number;
  /** At most once a minute: so many reports since the last time were of buckets for which there is no room. */
  onRefused?(reports: number, held: number): void;
  readonly maxOfHolder?: number;
  readonly maxOfAll?: number;
}

export class QuotaLedger {
  readonly #buckets = new Map<string, Bucket>();
  /** To be divided anew. */
  readonly #dirty = new Set<Bucket>();
  /** Streams in the order in which they came, and how many shares of values each has. */
  readonly #holders = new Map<QuotaHolder, { readonly order: number; values: number }>();
  #startedMs: number;
  #order = 0;
  #values = 0;
  #refused = 0;
  #refusalsToldMs = Number.NEGATIVE_INFINITY;
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: QuotaLedgerOptions) {
    this.#startedMs = options.nowMs();
  }

  /** From now on proxies may come. */
  gather(): void {
    this.#startedMs = this.options.nowMs();
  }

  get bucketCount(): number {
    return this.#buckets.size;
  }

  /**
   * What a proxy used in the time since its last report. The first of a stream says nothing of how fast. A bucket for which
   * there is no room gets no answer: it goes by the filter's behaviour without an assignment.
   */
  report(holder: QuotaHolder, id: QuotaBucketId, used: number, elapsedMs: number): void {
    const rule = this.options.rule(id[this.options.ruleKey] ?? '');
    if (rule === undefined) {
      holder.abandon(id);
      return;
    }
    const key = bucketKey(id);
    const nowMs = this.options.nowMs();
    const account = this.#buckets.get(key)?.accounts.get(holder);
    if (account === undefined) {
      if (used > 0 || !isValue(id)) this.#open(holder, key, id, rule, nowMs);
      return;
    }
    const timeMs = elapsedMs < SHORTEST_REPORT_MS ? nowMs - account.reportedAtMs : elapsedMs;
    account.reportedAtMs = nowMs;
    if (used > 0) account.usedAtMs = nowMs;
    if (timeMs <= 0) return;
    account.offered = demandAfter(account.offered, used, timeMs);
    this.#dirty.add(this.#buckets.get(key) as Bucket);
  }

  /** The proxy's stream has ended. */
  leave(holder: QuotaHolder): void {
    if (!this.#holders.delete(holder)) return;
    const nowMs = this.options.nowMs();
    for (const { accounts } of this.#buckets.values()) {
      const account = accounts.get(holder);
      if (account !== undefined) account.leftAtMs = nowMs;
    }
  }

  /** Divides anew what has changed, and tells the shares. To be called every now and then. */
  settle(): void {
    const nowMs = this.options.nowMs();
    if (nowMs - this.#sweptMs >= SWEEP_MS) this.#sweep(nowMs);
    let values = 0;
    for (const bucket of this.#dirty) {
      if (bucket.isValue && ++values > VALUES_AT_A_TIME) continue;
      if (bucket.rule.scope === 'MESH' && nowMs - this.#startedMs < GATHERING_MS) continue;
      this.#dirty.delete(bucket);
      this.#divide(bucket);
    }
  }

  /** Rules have changed: buckets of rules that say something else now begin anew. */
  refresh(): void {
    const same = new Map<string, boolean>();
    for (const bucket of this.#buckets.values()) {
      const ruleId = bucket.id[this.options.ruleKey] ?? '';
      let isSame = same.get(ruleId);
      if (isSame === undefined) {
        isSame = JSON.stringify(this.options.rule(ruleId)) === JSON.stringify(bucket.rule);
        same.set(ruleId, isSame);
      }
      if (isSame) continue;
      for (const [holder, { leftAtMs }] of bucket.accounts) {
        this.#remove(bucket, holder);
        if (leftAtMs === undefined) holder.abandon(bucket.id);
      }
    }
  }

  /** Begins to count for a stream, with what an earlier one of the same proxy had. */
  #open(holder: QuotaHolder, key: string, id: QuotaBucketId, rule: QuotaRule, nowMs: number): void {
    let state = this.#holders.get(holder);
    if (state === undefined) {
      state = { order: this.#order++, values: 0 };
      this.#holders.set(holder, state);
    }
    const known = this.#buckets.get(key);
    const earlier = known && this.#earlierOf(known, holder, state.order);
    const { maxOfHolder = MAX_OF_HOLDER, maxOfAll = MAX_OF_ALL } = this.options;
    // Rules without `by` are as many as the mesh's author wrote, whatever is sent: there is always room.
    const ofValue = isValue(id);
    const full = state.values >= maxOfHolder || (earlier === undefined && this.#values >= maxOfAll);
    if (ofValue && (full || key.length > MAX_ID_CHARACTERS)) {
      this.#refused++;
      return;
    }
    const taken = earlier && known.accounts.get(earlier);
    if (known !== undefined && earlier !== undefined) this.#remove(known, earlier);
    const bucket = this.#buckets.get(key) ?? { key, id, rule, isValue: ofValue, accounts: new Map() };
    this.#buckets.set(key, bucket);
    const { offered = 0, given = 0 } = taken ?? {};
    bucket.accounts.set(holder, {
      offered,
      given,
      reportedAtMs: nowMs,
      usedAtMs: nowMs,
      told: false,
      leftAtMs: undefined,
    });
    if (ofValue) {
      state.values++;
      this.#values++;
    }
    this.#dirty.add(bucket);
  }

  /** A stream of the same proxy that has ended, or that a newer one replaces. */
  #earlierOf({ accounts }: Bucket, { proxy }: QuotaHolder, order: number): QuotaHolder | undefined {
    if (proxy === undefined) return undefined;
    for (const other of accounts.keys()) {
      if (other.proxy === proxy && (this.#holders.get(other)?.order ?? -1) < order) return other;
    }
    return undefined;
  }

  #remove(bucket: Bucket, holder: QuotaHolder): void {
    bucket.accounts.delete(holder);
    if (bucket.isValue) {
      this.#values--;
      const state = this.#holders.get(holder);
      if (state !== undefined) state.values--;
    }
    if (bucket.accounts.size > 0) this.#dirty.add(bucket);
    else {
      this.#buckets.delete(bucket.key);
      this.#dirty.delete(bucket);
    }
  }

  #sweep(nowMs: number): void {
    this.#sweptMs = nowMs;
    for (const bucket of this.#buckets.values()) {
      for (const [holder, { leftAtMs, usedAtMs }] of bucket.accounts) {
        const gone = leftAtMs !== undefined && nowMs - leftAtMs > KEPT_AFTER_LEAVING_MS;
        if (gone || (bucket.isValue && nowMs - usedAtMs > UNUSED_VALUE_MS)) this.#remove(bucket, holder);
      }
    }
    if (this.#refused === 0 || nowMs - this.#refusalsToldMs < REFUSALS_TOLD_MS) return;
    this.options.onRefused?.(this.#refused, this.#values);
    this.#refused = 0;
    this.#refusalsToldMs = nowMs;
  }

  #divide({ id, rule, accounts }: Bucket): void {
    const { budget } = rule;
    const rate = (budget.requests * 1_000) / budget.periodMs;
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
      .filter(({ account, share }) => !account.told || isWorthTelling(account.given, share))
      .sort((a, b) => a.share - a.account.given - (b.share - b.account.given));
    for (const { holder, account, share } of changes) {
      account.given = share;
      account.told = true;
      holder.assign(id, quotaShare(budget, rate === 0 ? 0 : share / rate, 1 / accounts.size));
    }
  }
}

/** What is known of demand, in requests a second, after a report. */
function demandAfter(before: number, used: number, timeMs: number): number {
  const rate = (used * 1_000) / timeMs;
  const expected = (before * timeMs) / 1_000;
  const moved = Math.abs(used - expected) > SURPRISE * Math.sqrt(Math.max(used, expected, 1));
  return moved || before === 0 ? rate : before + SMOOTHING * (rate - before);
}

/** A part beside the rule. */
function isValue(id: QuotaBucketId): boolean {
  return Object.keys(id).length > 1;
}

function isWorthTelling(given: number, share: number): boolean {
  return Math.abs(share - given) > WORTH_TELLING * Math.max(given, 1e-9);
}

/** Equal for equal ids, whatever the order of their parts. */
function bucketKey(id: QuotaBucketId): string {
  return JSON.stringify(
    Object.keys(id)
      .sort()
      .map((part) => [part, id[part]]),
  );
}
