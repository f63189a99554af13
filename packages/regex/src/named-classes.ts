// Named classes: Perl's (\d), POSIX's ([:alpha:]) and Unicode's (\p{Greek}).
import { MAX_CODE_POINT, normalizeRanges, type Ranges } from './char-ranges.js';

const DIGIT: Ranges = [[0x30, 0x39]];
const UPPER: Ranges = [[0x41, 0x5a]];
const LOWER: Ranges = [[0x61, 0x7a]];
const ALPHA = normalizeRanges([...UPPER, ...LOWER]);
export const WORD = normalizeRanges([...ALPHA, ...DIGIT, [0x5f, 0x5f]]);

const PERL: Readonly<Record<string, Ranges>> = {
  d: DIGIT,
  s: normalizeRanges([
    [9, 10],
    [12, 13],
    [0x20, 0x20],
  ]),
  w: WORD,
};

/** A named class, and whether everything else is meant. */
export interface NamedClass {
  readonly ranges: Ranges;
  readonly negated: boolean;
}

/** The class of `\d`, `\S` and so on; undefined where the letter names none. */
export function perlClass(letter: string): NamedClass | undefined {
  const ranges = PERL[letter.toLowerCase()];
  return ranges === undefined ? undefined : { ranges, negated: letter !== letter.toLowerCase() };
}

const POSIX: Readonly<Record<string, Ranges>> = {
  alnum: normalizeRanges([...ALPHA, ...DIGIT]),
  alpha: ALPHA,
  ascii: [[0, 0x7f]],
  blank: [
    [9, 9],
    [0x20, 0x20],
  ],
  cntrl: [
    [0, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: DIGIT,
  graph: [[0x21, 0x7e]],
  lower: LOWER,
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [9, 13],
    [0x20, 0x20],
  ],
  upper: UPPER,
  word: WORD,
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
};

/** The class of `[:alpha:]` or `[:^alpha:]`, given the words between the colons. */
export function posixClass(name: string): NamedClass | undefined {
  const negated = name.startsWith('^');
  const bare = negated ? name.slice(1) : name;
  const ranges = Object.hasOwn(POSIX, bare) ? POSIX[bare] : undefined;
  return ranges === undefined ? undefined : { ranges, negated };
}

const unicode = new Map<string, Ranges | undefined>();

/** General categories and scripts of Unicode by name (`L`, `Lu`, `Greek`, `Any`); undefined where there is none. */
export function unicodeClass(name: string): Ranges | undefined {
  if (name === 'Any') return [[0, MAX_CODE_POINT]];
  if (!unicode.has(name)) unicode.set(name, readUnicodeClass(name));
  return unicode.get(name);
}

/** Asks the JavaScript engine's own tables, one code point at a time; only names that RE2 has too. */
function readUnicodeClass(name: string): Ranges | undefined {
  if (!/^[A-Z][A-Za-z_]*$/.test(name)) return undefined;
  let member: RegExp;
  try {
    member = new RegExp(`^\\p{${name.length <= 2 ? 'General_Category' : 'Script'}=${name}}$`, 'u');
  } catch {
    return undefined; // not a category or script
  }
  const ranges: [number, number][] = [];
  let open: [number, number] | undefined;
  for (let point = 0; point <= MAX_CODE_POINT; point++) {
    if (!member.test(String.fromCodePoint(point))) open = undefined;
    else if (open !== undefined) open[1] = point;
    else {
      open = [point, point];
      ranges.push(open);
    }
  }
  return ranges;
}
