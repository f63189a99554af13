// Parse: bracket classes, and the escapes that stand for characters or classes inside and outside of brackets.
import { foldRanges } from './case-fold.js';
import { MAX_BYTE, negateRanges, normalizeRanges, type Ranges } from './char-ranges.js';
import { type NamedClass, perlClass, posixClass, unicodeClass } from './named-classes.js';
import { RegexError } from './regex-error.js';

const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

/** Reads from `at`; afterwards `at` is behind what was read. */
export class ClassReader {
  constructor(
    private readonly source: string,
    public at: number,
    private readonly ignoreCase: boolean,
  ) {}

  private fail(what: string, position: number): never {
    throw new RegexError(`${what} at character ${position + 1}`, position);
  }

  /** `[...]`. */
  readClass(): Ranges {
    const { source } = this;
    const start = this.at;
    this.at++;
    const negated = source[this.at] === '^';
    if (negated) this.at++;
    const plain: (readonly [number, number])[] = [];
    const named: (readonly [number, number])[] = [];
    for (let first = true; first || source[this.at] !== ']'; first = false) {
      if (this.at >= source.length) this.fail('lacks the "]" of the class', start);
      const found = this.readPosixClass() ?? (source[this.at] === '\\' ? this.readEscapedClass() : undefined);
      if (found !== undefined) {
        named.push(...found);
        continue;
      }
      const from = this.at;
      const low = this.readPoint(start);
      let high = low;
      if (source[this.at] === '-' && this.at + 1 < source.length && source[this.at + 1] !== ']') {
        this.at++;
        high = this.readPoint(start);
        if (high < low)
          this.fail(`has the range "${source.slice(from, this.at)}", whose end is below its start,`, from);
      }
      plain.push([low, high]);
    }
    this.at++;
    const all = normalizeRanges([...this.fold(normalizeRanges(plain)), ...named]);
    return negated ? negateRanges(all) : all;
  }

  private fold(ranges: Ranges): Ranges {
    return this.ignoreCase ? foldRanges(ranges) : ranges;
  }

  /** Case is ignored before everything else is taken. */
  private resolve({ ranges, negated }: NamedClass): Ranges {
    const folded = this.fold(ranges);
    return negated ? negateRanges(folded) : folded;
  }

  private readPosixClass(): Ranges | undefined {
    if (!this.source.startsWith('[:', this.at)) return undefined;
    const end = this.source.indexOf(':]', this.at + 2);
    if (end < 0) return undefined;
    const name = this.source.slice(this.at + 2, end);
    const found = posixClass(name);
    if (found === undefined) this.fail(`has the unknown class "[:${name}:]"`, this.at);
    this.at = end + 2;
    return this.resolve(found);
  }

  /** One character of a class. */
  private readPoint(classStart: number): number {
    if (this.at >= this.source.length) this.fail('lacks the "]" of the class', classStart);
    if (this.source[this.at] === '\\') return this.readEscapedPoint();
    const point = this.source.codePointAt(this.at) as number;
    this.at += point > 0xffff ? 2 : 1;
    return point;
  }

  /** `\d`, `\pN`, `\p{Greek}`; undefined, with nothing read, where the escape is not a class. */
  readEscapedClass(): Ranges | undefined {
    const letter = this.source[this.at + 1];
    if (letter === undefined) return undefined;
    const perl = perlClass(letter);
    if (perl !== undefined) {
      this.at += 2;
      return this.resolve(perl);
    }
    if (letter !== 'p' && letter !== 'P') return undefined;
    const found = /^\\[pP](?:\{([^}]*)\}|([^{]))/u.exec(this.source.slice(this.at, this.at + 64));
    if (found === null) this.fail('has a class of Unicode without a name', this.at);
    const text = found[1] ?? found[2] ?? '';
    const caret = text.startsWith('^');
    const ranges = unicodeClass(caret ? text.slice(1) : text);
    if (ranges === undefined) this.fail(`has the unknown class "${found[0]}"`, this.at);
    this.at += found[0].length;
    return this.resolve({ ranges, negated: caret !== (letter === 'P') });
  }

  /** The character that an escape stands for. */
  readEscapedPoint(): number {
    const start = this.at;
    const rest = this.source.slice(start + 1, start + 12);
    const letter = rest[0];
    if (letter === undefined) this.fail('ends in a single "\\"', start);
    if (Object.hasOwn(CONTROL, letter)) return this.take(2, CONTROL[letter] as number);
    const octal = /^(?:0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest);
    if (octal !== null) {
      const point = Number.parseInt(octal[0], 8);
      if (point > MAX_BYTE) this.fail(`has "\\${octal[0]}", which is more than a byte,`, start);
      return this.take(1 + octal[0].length, point);
    }
    if (letter >= '1' && letter <= '9') this.fail('refers back to a group, which RE2 does not do,', start);
    if (letter === 'x') {
      const hex = /^x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2}))/.exec(rest);
      const point = hex === null ? MAX_BYTE + 1 : Number.parseInt(hex[1] ?? hex[2] ?? '', 16);
      if (point > MAX_BYTE) this.fail('has a "\\x" that is no byte as "\\xFF" or "\\x{FF}",', start);
      return this.take(1 + (hex as RegExpExecArray)[0].length, point);
    }
    // Whatever is no letter or digit of ASCII stands for itself.
    if (letter < '\x80' && !/[A-Za-z0-9]/.test(letter)) return this.take(2, letter.charCodeAt(0));
    return this.fail(`has the unknown escape "\\${letter}"`, start);
  }

  private take(length: number, point: number): number {
    this.at += length;
    return point;
  }
}
