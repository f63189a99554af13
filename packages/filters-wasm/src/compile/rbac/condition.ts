// What a policy asks of a request, as tests joined by and, or, not; each different test stands once in a list.
import * as R from '../../rbac/rbac-layout.js';
import * as T from '../../table-layout.js';
import { type Matcher, pseudoHeader } from '../match/matchers.js';

export type Condition =
  | { readonly kind: 'always' | 'never' }
  | { readonly kind: 'test'; readonly test: number }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition };

/** A test of a subject (SUBJECT_*): by a matcher, or whether an address is in a network, a port in a range. */
export interface RuleTest {
  readonly subject: number;
  readonly matcher?: Matcher;
  readonly network?: { readonly family: 4 | 6; readonly bits: number; readonly octets: Uint8Array };
  readonly ports?: { readonly first: number; readonly end: number };
}

/** How the index finds a test; undefined: it cannot, since the test may hold without the value that it names. */
export type TestShape =
  | { readonly kind: 'text'; readonly how: number; readonly text: string; readonly ignoreCase: boolean }
  | { readonly kind: 'network' | 'port' | 'present' | 'other' };

const BY_TEXT: ReadonlyMap<number, number> = new Map([
  [T.MATCHER_EXACT, R.VALUE_EXACT],
  [T.MATCHER_PREFIX, R.VALUE_PREFIX],
  [T.MATCHER_SUFFIX, R.VALUE_SUFFIX],
]);

export function shapeOf({ network, ports, matcher, subject }: RuleTest): TestShape | undefined {
  if (network !== undefined) return { kind: 'network' };
  if (ports !== undefined) return { kind: ports.end === ports.first + 1 ? 'port' : 'other' };
  if (matcher === undefined) return { kind: 'present' };
  const { kind, flags, value } = matcher;
  if ((flags & (T.MATCHER_FLAG_INVERT | T.MATCHER_FLAG_MISSING_AS_EMPTY)) !== 0) return undefined;
  if (kind === T.MATCHER_ABSENT) return undefined;
  // No kind of claim: nothing matches.
  if (subject === R.SUBJECT_CLAIM && matcher.claimKinds === 0) return undefined;
  if (kind === T.MATCHER_PRESENT) return { kind: 'present' };
  const how = BY_TEXT.get(kind);
  if (how === undefined) return { kind: 'other' };
  if (value === '' && how !== R.VALUE_EXACT) return { kind: 'present' };
  return { kind: 'text', how, text: value, ignoreCase: (flags & T.MATCHER_FLAG_IGNORE_CASE) !== 0 };
}

const PSEUDO_SUBJECTS: ReadonlyMap<number, number> = new Map([
  [T.PSEUDO_METHOD, R.SUBJECT_METHOD],
  [T.PSEUDO_AUTHORITY, R.SUBJECT_AUTHORITY],
  [T.PSEUDO_PATH, R.SUBJECT_URL],
  [T.PSEUDO_SCHEME, R.SUBJECT_SCHEME],
]);

export function subjectOfHeader(name: string): number {
  return PSEUDO_SUBJECTS.get(pseudoHeader(name)) ?? R.SUBJECT_HEADER;
}

/** The different tests of some rules, by number. */
export class TestList {
  readonly tests: RuleTest[] = [];
  private readonly numbers = new Map<string, number>();

  condition(test: RuleTest): Condition {
    const { subject, matcher, network, ports } = test;
    const key = JSON.stringify([
      subject,
      matcher && [matcher.name, matcher.kind, matcher.value, matcher.flags, matcher.claimKinds],
      matcher && [matcher.rangeStart, matcher.rangeEnd, matcher.regex?.matcher.regex],
      network && [network.family, network.bits, [...network.octets]],
      ports && [ports.first, ports.end],
    ]);
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.tests.length;
      this.tests.push(test);
      this.numbers.set(key, number);
    }
    return { kind: 'test', test: number };
  }
}
