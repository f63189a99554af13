// A mesh-wide limit over five proxies in simulated time: what is let through, and what each is given.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuotaLedger, type QuotaLedgerOptions } from './quota-ledger.js';
import { type QuotaShare, quotaShare } from './quota-share.js';
import { divideRate } from './shares.js';

const LIMIT = { requests: 500, periodMs: 1_000, burst: 50 };
const ID = { rule: 'default/limit/all' };

/** Arithmetic of the sidecar's buckets (assembly/decide/quota.ts) in floats. */
class SimulatedProxy {
  tokens: number;
  perMs: number;
  burst: number;
  allowed = 0;
  denied = 0;
  reportedAtMs = 0;
  shares: QuotaShare[] = [];

  constructor() {
    this.burst = LIMIT.burst / 10;
    this.tokens = this.burst;
    this.perMs = LIMIT.requests / LIMIT.periodMs / 10;
  }

  assign(_id: unknown, share: QuotaShare): void {
    this.shares.push(share);
    this.perMs = share.requests / share.periodMs;
    this.burst = share.burst;
    this.tokens = Math.min(this.tokens, this.burst);
  }

  abandon(): void {
    throw new Error('the rule is known');
  }

  tick(requests: number): void {
    this.tokens = Math.min(this.tokens + this.perMs, this.burst);
    for (let left = requests; left > 0; left--) {
      if (this.tokens >= 1) {
        this.tokens--;
        this.allowed++;
      } else this.denied++;
    }
  }
}

/** A small random generator, so that a run is the same each time. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function poisson(mean: number, random: () => number): number {
  const end = Math.exp(-mean);
  let product = random();
  let count = 0;
  while (product > end) {
    product *= random();
    count++;
  }
  return count;
}

/** Requests a millisecond at each proxy, at a time. */
type Load = (nowMs: number) => readonly number[];

function simulate(load: Load, seconds: number, seed: number, awayFromMs = Number.POSITIVE_INFINITY): number {
  const random = generator(seed);
  let nowMs = 0;
  const rule = { budget: LIMIT, scope: 'MESH' as const };
  const ledger = new QuotaLedger({ rule: () => rule, ruleKey: 'rule', nowMs: () => nowMs - 10_000 });
  const proxies = load(0).map(() => new SimulatedProxy());
  nowMs = 10_000; // the service has been up for a while
  const startMs = nowMs;
  for (; nowMs < startMs + seconds * 1_000; nowMs++) {
    const rates = load(nowMs - startMs);
    const away = nowMs - startMs >= awayFromMs;
    for (const [index, proxy] of proxies.entries()) {
      proxy.tick(poisson(rates[index] as number, random));
      // Each reports every 200 ms, at a time of its own.
      if (away || (nowMs + index * 37) % 200 !== 0) continue;
      ledger.report(proxy, ID, proxy.allowed + proxy.denied - sent(proxy), nowMs - proxy.reportedAtMs);
      counted.set(proxy, proxy.allowed + proxy.denied);
      proxy.reportedAtMs = nowMs;
    }
    if (!away && nowMs % 100 === 0) ledger.settle();
  }
  return proxies.reduce((sum, { allowed }) => sum + allowed, 0);
}

const counted = new WeakMap<SimulatedProxy, number>();
const sent = (proxy: SimulatedProxy) => counted.get(proxy) ?? 0;

const even: Load = () => [1, 1, 1, 1, 1];
const skewed: Load = () => [4, 0.25, 0.25, 0.25, 0.25];
/** The load moves from one proxy to the next every six seconds. */
const shifting: Load = (nowMs) => even(0).map((_, index) => (Math.floor(nowMs / 6_000) % 5 === index ? 4 : 0.25));

describe('500 requests a second for five proxies that are sent 5,000', () => {
  const wanted = 500 * 30;
  for (const seed of [1, 2, 3]) {
    it(`lets through what is allowed, seed ${seed}`, () => {
      expect(Math.abs(simulate(even, 30, seed) - wanted) / wanted).toBeLessThan(0.03);
      expect(Math.abs(simulate(skewed, 30, seed) - wanted) / wanted).toBeLessThan(0.05);
      expect(Math.abs(simulate(shifting, 30, seed) - wanted) / wanted).toBeLessThan(0.1);
    });
  }

  it('lets through nearly what is allowed where barely too much is sent, most of it to one proxy', () => {
    // Shares have to be unequal here, and small ones to take two requests at once.
    const barely =
      (load: Load): Load =>
      (nowMs) =>
        load(nowMs).map((rate) => rate * 0.12);
    expect(Math.abs(simulate(barely(skewed), 30, 6) - wanted) / wanted).toBeLessThan(0.05);
    expect(Math.abs(simulate(barely(shifting), 30, 7) - wanted) / wanted).toBeLessThan(0.08);
  });

  it('holds the last quotas while the service is away, and never lets through more than the limit', () => {
    const admitted = simulate(shifting, 30, 4, 3_000);
    expect(admitted).toBeLessThan(wanted * 1.03);
    const evenly = simulate(even, 30, 5, 3_000);
    expect(Math.abs(evenly - wanted) / wanted).toBeLessThan(0.03);
  });

  it('lets everything through where less is sent than is allowed', () => {
    const light: Load = () => [0.2, 0.1, 0.05, 0, 0];
    const all = 350 * 30;
    expect(simulate(light, 30, 6)).toBeGreaterThan(all * 0.95);
  });
});

describe('the shares of a rate', () => {
  it('sum to the rate, are never negative, and leave nobody short for one who has more than it needs', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 1e6, noNaN: true }),
        fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 20 }),
        (rate, offered) => {
          const shares = divideRate(
            rate,
            offered.map((each) => ({ offered: each })),
          );
          expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(rate, 3);
          expect(Math.min(...shares)).toBeGreaterThanOrEqual(0);
          // Who is sent more has no smaller share; who is short has no less than any other.
          for (const [a, share] of shares.entries()) {
            for (const [b, other] of shares.entries()) {
              if ((offered[a] as number) >= (offered[b] as number)) expect(share).toBeGreaterThanOrEqual(other - 1e-6);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the ledger', () => {
  const share = { scope: 'MESH' as const, budget: LIMIT };

  function ledgerAt(
    start: number,
    rule: () => typeof share | undefined = () => share,
    more: Partial<QuotaLedgerOptions> = {},
  ) {
    const time = { nowMs: start };
    const ledger = new QuotaLedger({ rule, ruleKey: 'rule', nowMs: () => time.nowMs, ...more });
    return { time, ledger };
  }

  function holder(proxy?: string) {
    const assigned: QuotaShare[] = [];
    const abandoned: unknown[] = [];
    return {
      proxy,
      assigned,
      abandoned,
      assign: (_: unknown, to: QuotaShare) => assigned.push(to),
      abandon: (id: unknown) => abandoned.push(id),
    };
  }

  it('keeps the share of a proxy whose stream ended for a while, since it may go on', () => {
    const { time, ledger } = ledgerAt(0);
    time.nowMs = 5_000;
    const [a, b] = [holder(), holder()];
    for (const each of [a, b]) ledger.report(each, ID, 0, 0);
    ledger.settle();
    expect([a, b].map(({ assigned }) => assigned.at(-1)?.requests)).toEqual([250_000, 250_000]);
    ledger.leave(a);
    ledger.report(b, ID, 1_000, 1_000);
    ledger.settle();
    expect(b.assigned.at(-1)?.requests).toBe(250_000);
    time.nowMs = 16_000;
    ledger.settle();
    expect(b.assigned.at(-1)).toEqual({ requests: 500_000, periodMs: 1_000_000, burst: 50 });
  });

  it('tells nobody a share before the proxies have had time to come back', () => {
    const { time, ledger } = ledgerAt(0);
    const a = holder();
    ledger.report(a, ID, 0, 0);
    ledger.settle();
    time.nowMs = 1_500;
    ledger.settle();
    // The service has waited for something else before proxies could reach it.
    ledger.gather();
    time.nowMs = 3_400;
    ledger.settle();
    expect(a.assigned).toEqual([]);
    time.nowMs = 3_600;
    ledger.settle();
    expect(a.assigned).toHaveLength(1);
  });

  it('abandons buckets of rules that are gone, and begins anew those that changed', () => {
    let rule: typeof share | undefined = share;
    const { time, ledger } = ledgerAt(0, () => rule);
    time.nowMs = 5_000;
    const a = holder();
    ledger.report(a, ID, 0, 0);
    ledger.settle();
    rule = { ...share, budget: { ...LIMIT, requests: 10 } };
    ledger.refresh();
    expect(a.abandoned).toEqual([ID]);
    ledger.report(a, ID, 5, 200);
    ledger.settle();
    expect(a.assigned.at(-1)?.requests).toBe(10_000);
    rule = undefined;
    ledger.refresh();
    ledger.report(a, ID, 5, 200);
    expect(a.abandoned).toEqual([ID, ID, ID]);
    expect(ledger.bucketCount).toBe(0);
  });

  const perSecond = (to: QuotaShare | undefined) => ((to?.requests ?? 0) * 1_000) / (to?.periodMs ?? 1);

  it('gives the returning stream of a proxy what the one before it had, whether that has ended or not', () => {
    for (const ended of [true, false]) {
      const { time, ledger } = ledgerAt(0);
      const [a, b, again] = [holder('a'), holder('b'), holder('a')];
      const busy = [a, b];
      for (time.nowMs = 5_000; time.nowMs < 8_000; time.nowMs += 200) {
        for (const each of busy) ledger.report(each, ID, 100, 200);
        ledger.settle();
      }
      expect([a, b].map(({ assigned }) => perSecond(assigned.at(-1)))).toEqual([250, 250]);
      if (ended) ledger.leave(a);
      busy[0] = again;
      for (; time.nowMs < 9_000; time.nowMs += 200) {
        for (const each of busy) ledger.report(each, ID, 100, 200);
        ledger.settle();
        expect(perSecond(again.assigned.at(-1))).toBeCloseTo(250, 0);
        expect(perSecond(b.assigned.at(-1))).toBeCloseTo(250, 0);
      }
      // The end of the old one comes late, and is no matter any more.
      if (!ended) ledger.leave(a);
      time.nowMs = 9_500;
      for (const each of busy) ledger.report(each, ID, 100, 200);
      ledger.settle();
      expect(perSecond(again.assigned.at(-1))).toBeCloseTo(250, 0);
      expect(again.assigned).toHaveLength(1);
    }
  });

  it('counts two live streams of one name as two, so that they do not get the same share twice', () => {
    const { time, ledger } = ledgerAt(0);
    time.nowMs = 5_000;
    const [a, twin] = [holder('a'), holder('a')];
    for (let round = 0; round < 20; round++) {
      for (const each of [a, twin]) ledger.report(each, ID, 100, 200);
      ledger.settle();
      time.nowMs += 200;
    }
    expect([a, twin].map(({ assigned }) => perSecond(assigned.at(-1)))).toEqual([250, 250]);
  });

  it('has room for so many values of a proxy and of all, says so, and has always room for rules without values', () => {
    const refused: number[][] = [];
    const { time, ledger } = ledgerAt(0, undefined, {
      maxOfHolder: 100,
      maxOfAll: 150,
      onRefused: (...counts) => refused.push(counts),
    });
    time.nowMs = 5_000;
    const [a, b] = [holder(), holder()];
    for (let value = 0; value < 1_000; value++) {
      for (const each of [a, b]) ledger.report(each, { ...ID, user: `${each === a}${value}` }, 1, 1);
    }
    for (const each of [a, b]) ledger.report(each, ID, 1, 1);
    ledger.report(a, { ...ID, user: 'x'.repeat(10_000) }, 1, 1);
    expect(ledger.bucketCount).toBe(151);
    ledger.settle();
    expect(a.assigned.length + b.assigned.length).toBe(152);
    expect(refused).toEqual([[1_851, 150]]);
    // Again after a minute, and not before.
    time.nowMs += 20_000;
    ledger.report(a, { ...ID, user: 'late' }, 1, 1);
    ledger.settle();
    expect(refused).toHaveLength(1);
  });

  it('forgets values that have not been used for 30 s, so that there is room again; never a rule without values', () => {
    const { time, ledger } = ledgerAt(0, undefined, { maxOfHolder: 100 });
    time.nowMs = 5_000;
    const a = holder();
    const id = (value: number) => ({ ...ID, user: `${value}` });
    for (let value = 0; value < 100; value++) ledger.report(a, id(value), 1, 1);
    ledger.report(a, ID, 1, 1);
    for (let second = 0; second < 35; second++) {
      time.nowMs += 1_000;
      ledger.report(a, id(0), 1, 1_000);
      ledger.report(a, id(1), 0, 1_000);
      ledger.settle();
    }
    expect(ledger.bucketCount).toBe(2);
    // An abandoned bucket would be full when it is made anew.
    expect(a.abandoned).toEqual([]);
    ledger.report(a, id(200), 1, 1);
    expect(ledger.bucketCount).toBe(3);
    const told = a.assigned.length;
    ledger.report(a, id(1), 1, 1_000);
    ledger.settle();
    expect(a.assigned).toHaveLength(told + 2);
  });

  it('divides a part of many values at a time, and rules without values each time', () => {
    const { time, ledger } = ledgerAt(0);
    time.nowMs = 5_000;
    const a = holder();
    for (let value = 0; value < 10_000; value++) ledger.report(a, { ...ID, user: `${value}` }, 1, 1);
    ledger.report(a, ID, 1, 1);
    const counts = [1, 2, 3, 4].map(() => {
      ledger.settle();
      return a.assigned.length;
    });
    expect(counts).toEqual([4_097, 8_193, 10_001, 10_001]);
  });

  it('does not take a bucket that a proxy made anew for a flood', () => {
    const { time, ledger } = ledgerAt(0);
    time.nowMs = 5_000;
    const [a, b] = [holder(), holder()];
    for (let round = 0; round < 20; round++) {
      time.nowMs += 1_000;
      // One request a second, each told as the first of a new bucket: in a millisecond.
      ledger.report(a, ID, 1, 1);
      ledger.report(b, ID, 1_000, 1_000);
      ledger.settle();
    }
    expect(perSecond(b.assigned.at(-1))).toBeGreaterThan(480);
  });
});

describe('a share in whole tokens', () => {
  it('fits what counts it for every limit that may be written, and is the part that it should be', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000_000 }),
        fc.integer({ min: 1, max: 1_000_000_000 }),
        fc.integer({ min: 100, max: 86_400_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (requests, burst, periodMs, part, equalPart) => {
          // What meaning/lateen/rate-limit.ts refuses.
          fc.pre(Math.max(requests, burst) * periodMs * 1_000 * 10 <= 2 ** 62);
          const share = quotaShare({ requests, burst, periodMs }, part, equalPart);
          expect(share.requests).toBeGreaterThanOrEqual(1);
          expect(share.requests).toBeLessThanOrEqual(2 ** 32 - 1);
          expect(BigInt(share.burst) * BigInt(share.periodMs) * 1_000n).toBeLessThanOrEqual(2n ** 62n);
          const wanted = (requests * part * share.periodMs) / periodMs;
          expect(Math.abs(share.requests - wanted)).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
