// Waiting between attempts: doubles up to a cap, with jitter, so that many clients do not come back at one moment.
import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  readonly firstMs: number;
  readonly capMs: number;
}

export class Backoff {
  #attempts = 0;

  constructor(private readonly options: BackoffOptions) {}

  /** How long to wait now: between half and all of first × 2^attempts, at most the cap. */
  nextMs(): number {
    const { firstMs, capMs } = this.options;
    const full = Math.min(capMs, firstMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return full * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#attempts = 0;
  }
}

/** Waits; true when the signal ended it early. */
export async function waitOrAborted(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return false;
  } catch {
    return true; // only an abort rejects
  }
}
