// Task pages: what a command prints, as a page shows it, and whether a command printed that.

/** A line; undefined stands for any number of lines (`...`). */
type LinePattern = { readonly pattern: RegExp; readonly number: number | undefined } | undefined;

export interface OutputPattern {
  readonly lines: readonly LinePattern[];
  readonly numbersVaryBy: number;
}

const GAP = '...';
/** A share and its word: `  20 v3`, as `uniq -c` prints them. */
const LEADING_NUMBER = /^(\d+) /;

/**
 * Blanks count as one, and empty lines do not count. A line `...` stands for any lines, `...` in a line for any text.
 * @param numbersVaryBy how far a number that begins a line may be from the one shown
 */
export function parseOutputPattern(shown: readonly string[], numbersVaryBy: number): OutputPattern {
  return { lines: significant(shown).map((line) => parseLine(line, numbersVaryBy)), numbersVaryBy };
}

function parseLine(line: string, numbersVaryBy: number): LinePattern {
  if (line === GAP) return undefined;
  const number = numbersVaryBy > 0 ? LEADING_NUMBER.exec(line)?.[1] : undefined;
  const rest = number === undefined ? line : line.slice(number.length);
  const text = rest.split(GAP).map(escapeText).join('.*');
  return {
    pattern: new RegExp(`^${number === undefined ? '' : '(\\d+)'}${text}$`),
    number: number === undefined ? undefined : Number(number),
  };
}

/** Whether a line of the pattern has a number that may vary. */
export function hasVaryingNumber({ lines }: OutputPattern): boolean {
  return lines.some((line) => line?.number !== undefined);
}

export function matchesOutput({ lines, numbersVaryBy }: OutputPattern, printed: string): boolean {
  return matchesFrom(lines, significant(printed.split('\n')), numbersVaryBy);
}

function matchesFrom(patterns: readonly LinePattern[], lines: readonly string[], tolerance: number): boolean {
  if (patterns.length === 0) return lines.length === 0;
  const [first, ...others] = patterns;
  if (first !== undefined) {
    return (
      lines.length > 0 &&
      matchesLine(first, lines[0] ?? '', tolerance) &&
      matchesFrom(others, lines.slice(1), tolerance)
    );
  }
  for (let skipped = 0; skipped <= lines.length; skipped++) {
    if (matchesFrom(others, lines.slice(skipped), tolerance)) return true;
  }
  return false;
}

function matchesLine({ pattern, number }: NonNullable<LinePattern>, line: string, tolerance: number): boolean {
  const match = pattern.exec(line);
  if (match === null) return false;
  return number === undefined || Math.abs(Number(match[1]) - number) <= tolerance;
}

function significant(lines: readonly string[]): string[] {
  return lines.map((line) => line.trim().replaceAll(/\s+/g, ' ')).filter((line) => line !== '');
}

function escapeText(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
