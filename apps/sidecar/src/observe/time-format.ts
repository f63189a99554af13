// Access log: `%START_TIME(FORMAT)%` in strftime's language with Envoy's additions for fractions of a second. Always UTC.

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;

type Part = (time: Date, ms: number) => string;

const PARTS: Readonly<Record<string, Part>> = {
  Y: (time) => String(time.getUTCFullYear()),
  y: (time) => two(time.getUTCFullYear() % 100),
  m: (time) => two(time.getUTCMonth() + 1),
  d: (time) => two(time.getUTCDate()),
  e: (time) => String(time.getUTCDate()).padStart(2, ' '),
  H: (time) => two(time.getUTCHours()),
  I: (time) => two(time.getUTCHours() % 12 || 12),
  p: (time) => (time.getUTCHours() < 12 ? 'AM' : 'PM'),
  M: (time) => two(time.getUTCMinutes()),
  S: (time) => two(time.getUTCSeconds()),
  s: (_, ms) => String(Math.floor(ms / 1000)),
  a: (time) => (DAYS[time.getUTCDay()] as string).slice(0, 3),
  A: (time) => DAYS[time.getUTCDay()] as string,
  b: (time) => (MONTHS[time.getUTCMonth()] as string).slice(0, 3),
  B: (time) => MONTHS[time.getUTCMonth()] as string,
  F: (time) => time.toISOString().slice(0, 10),
  T: (time) => time.toISOString().slice(11, 19),
  Z: () => 'UTC',
  z: () => '+0000',
  f: (_, ms) => fraction(ms, 9),
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
};
// %3f: a fraction of that many digits; %E3S: seconds with such a fraction; %E*S: with as many as are needed.
const COMMAND = /%(?:([1-9])f|E([0-9*])S|([a-zA-Z%]))/g;

/** @param format empty for `2026-11-23T01:02:03.456Z`. @throws Error naming what is not supported */
export function createTimeFormatter(format: string): (ms: number) => string {
  if (format === '') return createIsoFormatter();
  const parts: (string | Part)[] = [];
  let end = 0;
  for (const match of format.matchAll(COMMAND)) {
    const literal = format.slice(end, match.index);
    if (literal.includes('%'))
      throw new Error(`time format ${JSON.stringify(format)} is not supported at ${JSON.stringify(literal)}`);
    parts.push(literal, partOf(match, format));
    end = match.index + match[0].length;
  }
  const rest = format.slice(end);
  if (rest.includes('%'))
    throw new Error(`time format ${JSON.stringify(format)} is not supported at ${JSON.stringify(rest)}`);
  parts.push(rest);
  return (ms) => {
    const time = new Date(ms);
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : part(time, ms);
    return text;
  };
}

function partOf(match: RegExpMatchArray, format: string): Part {
  const [, digits, secondDigits, letter] = match;
  if (digits !== undefined) return (_, ms) => fraction(ms, Number(digits));
  if (secondDigits !== undefined) {
    const count = secondDigits === '*' ? 3 : Number(secondDigits);
    return (time, ms) =>
      count === 0 ? two(time.getUTCSeconds()) : `${two(time.getUTCSeconds())}.${fraction(ms, count)}`;
  }
  const part = PARTS[letter as string];
  if (part === undefined) throw new Error(`time format ${JSON.stringify(format)}: %${letter} is not supported`);
  return part;
}

/** Fraction of the second with that many digits. */
function fraction(ms: number, digits: number): string {
  const nanos = Math.floor((ms % 1000) * 1e6);
  return String(nanos).padStart(9, '0').slice(0, digits);
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** As toISOString; all but the milliseconds is the same for a second. */
function createIsoFormatter(): (ms: number) => string {
  let knownSecond = Number.NaN;
  let upToSeconds = '';
  return (ms) => {
    const second = Math.floor(ms / 1000);
    if (second !== knownSecond) {
      upToSeconds = new Date(second * 1000).toISOString().slice(0, -4);
      knownSecond = second;
    }
    return `${upToSeconds}${String(1000 + Math.floor(ms) - second * 1000).slice(1)}Z`;
  };
}
