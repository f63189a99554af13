// Demo check: what a check is, and how it says that something is not so.

import type { MeshUnderTest } from './mesh-under-test.js';

/** One thing that is proved. It throws what it found instead; the returned text is added to its line. */
export interface Check {
  /** Acceptance line of the first slice that it belongs to. */
  readonly line: number;
  readonly name: string;
  readonly run: (mesh: MeshUnderTest) => Promise<string | undefined>;
}

/** What was found to be otherwise than it has to be. */
export class CheckFailure extends Error {}

export function require(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new CheckFailure(otherwise);
}

const POLL_MS = 50;

/**
 * Tries again until `attempt` does not throw. @throws the last failure, after `limitMs`
 * @returns what `attempt` returned, and how long it took
 */
export async function until<T>(limitMs: number, attempt: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startMs = performance.now();
  for (;;) {
    try {
      const value = await attempt();
      return { value, tookMs: performance.now() - startMs };
    } catch (error) {
      if (performance.now() - startMs > limitMs) throw error;
    }
    await sleep(POLL_MS);
  }
}

/** For the pace of polling and for spans that are themselves what is measured. */
export function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
