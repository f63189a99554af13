// Flags: lengths of time as people write them.

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 24 * 3600,
  y: 365 * 24 * 3600,
};

/** Reads "4s", "90m", "24h", "7d", "10y" or a sequence like "1h30m". @throws Error for anything else, and for nothing */
export function parseDurationSeconds(text: string): number {
  if (!/^(\d+[smhdy])+$/.test(text)) {
    throw new Error(`${JSON.stringify(text)} is not a length of time; write for example 4s, 90m, 24h, 7d or 10y.`);
  }
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)([smhdy])/g)) {
    seconds += Number(amount) * (UNIT_SECONDS[unit as string] as number);
  }
  if (seconds === 0 || !Number.isSafeInteger(seconds)) throw new Error('the length of time must be above zero.');
  return seconds;
}
