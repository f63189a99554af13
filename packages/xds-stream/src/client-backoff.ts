// ADS client: how long to wait before the next attempt to connect.

export interface BackoffOptions {
  /** Upper bound of the first wait. */
  readonly initialMs: number;
  /** Upper bound that later waits grow to. */
  readonly maxMs: number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** Exponential back-off with jitter: a wait is uniform between a half of the bound and the bound, which doubles. */
export class Backoff {
  #boundMs: number;

  constructor(private readonly options: BackoffOptions) {
    this.#boundMs = options.initialMs;
  }

  /** The next wait in milliseconds. */
  nextMs(): number {
    const boundMs = this.#boundMs;
    this.#boundMs = Math.min(boundMs * 2, this.options.maxMs);
    return boundMs * (0.5 + 0.5 * (this.options.random ?? Math.random)());
  }

  /** To be called when a connection proved to work. */
  reset(): void {
    this.#boundMs = this.options.initialMs;
  }
}
