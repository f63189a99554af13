// Parse: the text of a regular expression in RE2's syntax to a tree (https://github.com/google/re2/wiki/Syntax).
import { foldRanges } from './case-fold.js';
import { negateRanges, type Ranges } from './char-ranges.js';
import { ClassReader } from './parse-class.js';
import { RegexError } from './regex-error.js';
import type { Assertion, SyntaxNode } from './syntax-tree.js';

/** RE2's own limit of a repetition, and of the product of nested ones. */
export const MAX_REPEAT = 1000;
/** RE2's limit of parentheses in parentheses. */
const MAX_DEPTH = 1000;
const NEWLINE: Ranges = [[0x0a, 0x0a]];

export interface ParsedRegex {
  readonly source: string;
  readonly tree: SyntaxNode;
  /** How many groups capture. */
  readonly groups: number;
}

interface Flags {
  readonly ignoreCase: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
  readonly ungreedy: boolean;
}

/**
 * Headers are bytes in no encoding, so as in Envoy each byte is a character, also of the expression: read as UTF-8, `.` would
 * not match a byte that is none, and a rule against `.*admin.*` would let `\xffadmin` pass (CVE-2026-73552).
 *
 * @throws RegexError where RE2 would refuse it, with the reason and the place
 */
export function parseRegex(source: string): ParsedRegex {
  const parser = new Parser(Buffer.from(source).toString('latin1'));
  const tree = parser.parse();
  checkRepeats(tree, 1);
  return { source, tree, groups: parser.groups };
}

class Parser {
  groups = 0;
  private at = 0;
  private depth = 0;
  private flags: Flags = { ignoreCase: false, multiLine: false, dotAll: false, ungreedy: false };
  private readonly names = new Set<string>();

  constructor(private readonly source: string) {}

  parse(): SyntaxNode {
    const tree = this.choice();
    if (this.at < this.source.length) this.fail('has an unexpected ")"', this.at);
    return tree;
  }

  private fail(what: string, position: number): never {
    throw new RegexError(`${what} at character ${position + 1}`, position);
  }

  /** Alternatives up to `)` or the end. */
  private choice(): SyntaxNode {
    const items = [this.sequence()];
    while (this.source[this.at] === '|') {
      this.at++;
      items.push(this.sequence());
    }
    return items.length === 1 ? (items[0] as SyntaxNode) : { kind: 'choice', items };
  }

  private sequence(): SyntaxNode {
    const items: SyntaxNode[] = [];
    while (this.at < this.source.length) {
      const character = this.source[this.at] as string;
      if (character === '|' || character === ')') break;
      if (this.source.startsWith('\\Q', this.at)) items.push(...this.quoted());
      else if (!this.repetition(items)) {
        const node = this.atom(character);
        if (node !== undefined) items.push(node);
      }
    }
    if (items.length === 1) return items[0] as SyntaxNode;
    return items.length === 0 ? { kind: 'empty' } : { kind: 'sequence', items };
  }

  /** `\Q...\E`: characters as they are. */
  private quoted(): SyntaxNode[] {
    const end = this.source.indexOf('\\E', this.at);
    const text = this.source.slice(this.at + 2, end < 0 ? undefined : end);
    this.at = end < 0 ? this.source.length : end + 2;
    return Array.from(text, (character) => this.literal(character.codePointAt(0) as number));
  }

  /** Applies `*`, `+`, `?` or `{n,m}` to the last item, if one stands here. */
  private repetition(items: SyntaxNode[]): boolean {
    const found = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})/.exec(this.source.slice(this.at, this.at + 32));
    if (found === null) return false;
    const start = this.at;
    const [operator, low, comma, high] = found;
    const item = items.pop();
    if (item === undefined) this.fail(`has "${operator}" with nothing before it to repeat`, start);
    let min = operator === '+' ? 1 : Number(low ?? 0);
    let max = operator === '?' ? 1 : Number.POSITIVE_INFINITY;
    if (low !== undefined) {
      min = Number(low);
      if (comma === '') max = min;
      else if (high !== '') max = Number(high);
      const largest = Number.isFinite(max) ? max : min;
      if (min > MAX_REPEAT || largest > MAX_REPEAT) {
        this.fail(`repeats more than ${MAX_REPEAT} times, which RE2 refuses,`, start);
      }
      if (max < min) this.fail(`has "${operator}", whose end is below its start,`, start);
    }
    this.at += operator.length;
    let greedy = !this.flags.ungreedy;
    if (this.source[this.at] === '?') {
      greedy = !greedy;
      this.at++;
    }
    if (/^(?:[*+?]|\{\d+(?:,\d*)?\})/.test(this.source.slice(this.at, this.at + 32))) {
      this.fail('has one repetition right after another, which RE2 refuses,', this.at);
    }
    items.push({ kind: 'repeat', item, min, max, greedy });
    return true;
  }

  /** One item; nothing for `(?i)`, which only sets flags. */
  private atom(character: string): SyntaxNode | undefined {
    const start = this.at;
    switch (character) {
      case '(':
        return this.group(start);
      case '[': {
        const reader = new ClassReader(this.source, start, this.flags.ignoreCase);
        const ranges = reader.readClass();
        this.at = reader.at;
        return { kind: 'class', ranges };
      }
      case '.':
        this.at++;
        return { kind: 'class', ranges: this.flags.dotAll ? negateRanges([]) : negateRanges(NEWLINE) };
      case '^':
        this.at++;
        return assertion(this.flags.multiLine ? 'line-begin' : 'text-begin');
      case '$':
        this.at++;
        return assertion(this.flags.multiLine ? 'line-end' : 'text-end');
      case '\\':
        return this.escape(start);
      default: {
        const point = this.source.codePointAt(start) as number;
        this.at += point > 0xffff ? 2 : 1;
        return this.literal(point);
      }
    }
  }

  private literal(point: number): SyntaxNode {
    const ranges: Ranges = [[point, point]];
    return { kind: 'class', ranges: this.flags.ignoreCase ? foldRanges(ranges) : ranges };
  }

  private escape(start: number): SyntaxNode {
    const letter = this.source[start + 1];
    const simple = { A: 'text-begin', z: 'text-end', b: 'word-boundary', B: 'no-word-boundary' } as const;
    if (letter !== undefined && Object.hasOwn(simple, letter)) {
      this.at += 2;
      return assertion(simple[letter as keyof typeof simple]);
    }
    if (letter === 'C') {
      this.at += 2;
      return { kind: 'any-byte' };
    }
    const reader = new ClassReader(this.source, start, this.flags.ignoreCase);
    const ranges = reader.readEscapedClass();
    if (ranges !== undefined) {
      this.at = reader.at;
      return { kind: 'class', ranges };
    }
    const point = reader.readEscapedPoint();
    this.at = reader.at;
    return this.literal(point);
  }

  private group(start: number): SyntaxNode | undefined {
    if (++this.depth > MAX_DEPTH) this.fail(`nests more than ${MAX_DEPTH} groups`, start);
    const before = this.flags;
    let index = 0;
    if (this.source[start + 1] !== '?') {
      index = ++this.groups;
      this.at = start + 1;
    } else {
      const rest = this.source.slice(start, start + 256);
      const refused = /^\(\?(?:<?([=!])|(>)|(P=))/.exec(rest);
      if (refused !== null) this.fail(`${refusedGroup(refused)}, which RE2 does not do,`, start);
      const named = /^\(\?P?<([^>]*)>/.exec(rest);
      if (named !== null) index = this.name(named[1] as string, start);
      const flags = /^\(\?([imsU]*(?:-[imsU]+)?)([:)])/.exec(rest);
      if (named === null && flags === null) this.fail(`has the unknown group "${rest.slice(0, 3)}"`, start);
      this.at = start + ((named ?? flags) as RegExpExecArray)[0].length;
      if (flags !== null) {
        this.flags = withFlags(before, flags[1] as string);
        // Until the end of the group around it.
        if (flags[2] === ')') {
          this.depth--;
          return undefined;
        }
      }
    }
    const item = this.choice();
    if (this.source[this.at] !== ')') this.fail('lacks the ")" of the group', start);
    this.at++;
    this.depth--;
    this.flags = before;
    return index === 0 ? item : { kind: 'group', index, item };
  }

  private name(name: string, start: number): number {
    if (!/^[A-Za-z0-9_]+$/.test(name)) this.fail(`has "${name}" as the name of a group`, start);
    if (this.names.has(name)) this.fail(`names two groups "${name}"`, start);
    this.names.add(name);
    return ++this.groups;
  }
}

function assertion(what: Assertion): SyntaxNode {
  return { kind: 'assertion', assertion: what };
}

function refusedGroup([, look, atomic]: RegExpExecArray): string {
  if (look !== undefined) return 'looks ahead or behind';
  return atomic !== undefined ? 'has an atomic group' : 'refers back to a group';
}

function withFlags(before: Flags, text: string): Flags {
  const [on = '', off = ''] = text.split('-');
  const flag = (letter: string, was: boolean) => !off.includes(letter) && (was || on.includes(letter));
  return {
    ignoreCase: flag('i', before.ignoreCase),
    multiLine: flag('m', before.multiLine),
    dotAll: flag('s', before.dotAll),
    ungreedy: flag('U', before.ungreedy),
  };
}

/** Counted repetitions are unrolled, so RE2 limits their product along each path as well. */
function checkRepeats(node: SyntaxNode, product: number): void {
  if (node.kind === 'group') checkRepeats(node.item, product);
  else if (node.kind === 'sequence' || node.kind === 'choice')
    for (const item of node.items) checkRepeats(item, product);
  else if (node.kind === 'repeat') {
    const counted = node.max === Number.POSITIVE_INFINITY ? node.min : node.max;
    const inside = product * Math.max(counted, 1);
    if (inside > MAX_REPEAT) {
      throw new RegexError(
        `repeats more than ${MAX_REPEAT} times with one repetition in another, which RE2 refuses`,
        0,
      );
    }
    checkRepeats(node.item, inside);
  }
}
