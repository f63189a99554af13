// Reference: a token bucket with exact fractions, for property tests.

/** Fills steadily with `tokensPerFill` in each interval, up to `maxTokens`; begins full. */
export class ReferenceBucket {
  /** Tokens times the interval's microseconds. */
  #credit: bigint;
  #filledAtUs: bigint | undefined;

  constructor(
    private readonly maxTokens: number,
    private readonly tokensPerFill: number,
    private readonly intervalUs: number,
  ) {
    this.#credit = BigInt(maxTokens) * BigInt(intervalUs);
  }

  take(nowUs: number): boolean {
    const now = BigInt(nowUs);
    const interval = BigInt(this.intervalUs);
    const filled = this.#credit + (now - (this.#filledAtUs ?? now)) * BigInt(this.tokensPerFill);
    const full = BigInt(this.maxTokens) * interval;
    this.#credit = filled > full ? full : filled;
    this.#filledAtUs = now;
    if (this.#credit < interval) return false;
    this.#credit -= interval;
    return true;
  }
}
