// Values: durations as Istio writes them (`5s`, `1h30m`), which are Go's.

const PART = /(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|μs|ns|m|s)/y;

const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ns: 1e-6,
};

/** The longest duration that is accepted anywhere: ten years, in milliseconds. */
export const MAX_DURATION_MS = 87_600 * 3_600_000;

/**
 * Parses a duration to milliseconds; undefined where the text is not a duration. The sign is accepted so that a
 * negative duration can be reported as one. A lone `0` is a duration, as in Go.
 */
export function parseDurationMs(text: string): number | undefined {
  const negative = text.startsWith('-');
  const body = negative || text.startsWith('+') ? text.slice(1) : text;
  if (body === '0') return 0;
  let nanoseconds = 0;
  let end = 0;
  PART.lastIndex = 0;
  for (let part = PART.exec(body); part; part = PART.exec(body)) {
    // Nanoseconds are summed as whole numbers, so that 0.3s is 300 ms and not 299.999….
    nanoseconds += Math.round(Number(part[1]) * UNIT_MS[part[2]!]! * 1e6);
    end = PART.lastIndex;
  }
  if (end === 0 || end !== body.length) return undefined;
  return (negative ? -nanoseconds : nanoseconds) / 1e6;
}
