// Writes the rows of access rules: for each subject an index of values, bitmaps and lists of rows, and conditions that are left.
import * as R from '../../rbac/rbac-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import { writeMatchers } from '../match/matchers.js';
import type { ProblemList } from '../problems.js';
import type { Condition, TestList } from './condition.js';
import type { Row } from './rows.js';
import { type Effect, writeValues } from './write-values.js';

/** Hashes as the core computes them. */
export interface RulesHash {
  name(text: string): number;
  bytes(content: Uint8Array): number;
}

/** Headers that the proxy writes by itself. */
const OWN_HEADERS: ReadonlyMap<string, number> = new Map([
  ['x-forwarded-for', R.OWN_FORWARDED_FOR],
  ['x-forwarded-client-cert', R.OWN_CLIENT_CERT],
  ['x-request-id', R.OWN_REQUEST_ID],
  ['x-forwarded-proto', R.OWN_FORWARDED_PROTO],
  ['x-forwarded-port', R.OWN_FORWARDED_PORT],
]);

/** Of a name in a group (a header, a path of claims with the kinds of its values): what its tests do. */
interface NamedTests {
  readonly name: string;
  readonly kinds: number;
  readonly effects: Map<number, Effect>;
}

export class IndexWriter {
  private readonly groups = new Map<number, Map<string, NamedTests>>();
  /** Rows with a clause, by subject. */
  private readonly asked = new Map<number, Set<number>>();
  private readonly writtenTests = new Map<number, number>();
  private excludes = false;
  /** Once it is written. */
  private wholeBytes = 0;

  constructor(
    private readonly problems: ProblemList,
    private readonly blob: BlobWriter,
    private readonly list: TestList,
    private readonly hash: RulesHash,
    private readonly rows: readonly { readonly policy: number; readonly row: Row }[],
  ) {}

  get testCount(): number {
    return this.writtenTests.size;
  }

  /** No memory for rules could hold them; what was written is not whole. */
  get isTooLarge(): boolean {
    return this.wholeBytes > R.RBAC_REGION_BYTES;
  }

  write(): Uint8Array {
    const { blob, rows } = this;
    const header = blob.reserve(R.RULES_BYTES);
    rows.forEach(({ row }, index) => {
      this.gather(row, index);
    });
    blob.int(header + R.RULES_ROW_COUNT, rows.length);
    blob.int(header + R.RULES_BITMAP_BYTES, this.bitmapBytes);
    blob.int(
      header + R.RULES_ALL,
      this.bitmap(() => true),
    );
    blob.int(header + R.RULES_EXCLUDE, this.excludes ? 1 : 0);
    blob.int(header + R.RULES_OWN_HEADERS, this.ownHeaders);
    this.writeGroups(header);
    const list = blob.reserve(rows.length * R.ROW_BYTES);
    blob.int(header + R.RULES_ROWS, list);
    rows.forEach(({ policy, row: { rest } }, index) => {
      const at = list + index * R.ROW_BYTES;
      blob.int(at + R.ROW_POLICY, policy);
      const [only] = rest;
      if (only !== undefined) {
        blob.int(at + R.ROW_CONDITION, this.condition(rest.length === 1 ? only : { kind: 'all', of: rest }));
      }
    });
    this.wholeBytes = blob.length;
    return blob.finish();
  }

  private get bitmapBytes(): number {
    return Math.max(16, ((this.rows.length + 127) >> 7) * 16);
  }

  private get ownHeaders(): number {
    const names = [...(this.groups.get(R.SUBJECT_HEADER)?.values() ?? [])];
    return names.reduce((bits, { name }) => bits | (OWN_HEADERS.get(name) ?? 0), 0);
  }

  private gather({ clauses, none }: Row, row: number): void {
    for (const [subject, tests] of clauses) {
      const rows = this.asked.get(subject) ?? new Set();
      this.asked.set(subject, rows.add(row));
      for (const test of tests) this.effectOf(test).rows.push(row);
    }
    for (const test of none) {
      this.effectOf(test).excluded.push(row);
      this.excludes = true;
    }
  }

  private effectOf(number: number): Effect {
    const { subject, matcher } = this.list.tests[number]!;
    const named = subject === R.SUBJECT_HEADER || subject === R.SUBJECT_CLAIM;
    const name = named ? (matcher?.name ?? '') : '';
    const kinds = subject === R.SUBJECT_CLAIM ? (matcher?.claimKinds ?? 0) : 0;
    const names = this.groups.get(subject) ?? new Map<string, NamedTests>();
    this.groups.set(subject, names);
    const key = `${kinds} ${name}`;
    const tests = names.get(key) ?? { name, kinds, effects: new Map() };
    names.set(key, tests);
    const effect = tests.effects.get(number) ?? { rows: [], excluded: [] };
    tests.effects.set(number, effect);
    return effect;
  }

  private writeGroups(header: number): void {
    const { blob } = this;
    const groups = [...this.groups];
    const list = blob.reserve(groups.length * R.GROUP_BYTES);
    blob.int(header + R.RULES_GROUPS, list);
    blob.int(header + R.RULES_GROUP_COUNT, groups.length);
    // First those that leave the fewest rows on average: there may be nothing left to ask about.
    groups.sort(([a], [b]) => (this.asked.get(b)?.size ?? 0) - (this.asked.get(a)?.size ?? 0));
    groups.forEach(([subject, names], index) => {
      const at = list + index * R.GROUP_BYTES;
      const asked = this.asked.get(subject);
      blob.int(at + R.GROUP_SUBJECT, subject);
      if (asked !== undefined)
        blob.int(
          at + R.GROUP_UNASKED,
          this.bitmap((row) => !asked.has(row)),
        );
      this.writeNames(at, [...names.values()]);
    });
  }

  private writeNames(group: number, names: readonly NamedTests[]): void {
    const { blob } = this;
    let capacity = 1;
    while (names.length > 1 ? capacity < names.length * 2 : names[0]?.name !== '' && capacity < 2) capacity *= 2;
    const slots = blob.reserve(capacity * R.NAME_BYTES);
    blob.int(group + R.GROUP_NAME_MASK, capacity - 1);
    blob.int(group + R.GROUP_NAMES, slots);
    const taken = new Uint8Array(capacity);
    for (const { name, kinds, effects } of names) {
      const hash = this.hash.name(name);
      let place = hash & (capacity - 1);
      while (taken[place] === 1) place = (place + 1) & (capacity - 1);
      taken[place] = 1;
      const at = slots + place * R.NAME_BYTES;
      blob.int(at + R.NAME_HASH, hash);
      blob.text(at + R.NAME_TEXT, name);
      blob.int(at + R.NAME_KINDS, kinds);
      blob.int(at + R.NAME_INDEX, writeValues(this, effects));
    }
  }

  // ---- For write-values ------------------------------------------------------------------------------------------------

  get parts() {
    return { blob: this.blob, list: this.list, hash: this.hash };
  }

  bitmap(has: (row: number) => boolean): number {
    const bits = new Uint8Array(this.bitmapBytes);
    for (let row = 0; row < this.rows.length; row++) if (has(row)) bits[row >> 3]! |= 1 << (row & 7);
    return this.blob.content(bits);
  }

  /** Count and place of rows, to two neighbouring fields; a bitmap where that is looked through faster. */
  writeRows(field: number, rows: readonly number[]): void {
    const { blob } = this;
    if (rows.length * 8 > this.bitmapBytes) {
      const set = new Set(rows);
      const at = blob.shared(`rows ${rows.join()}`, () => {
        const bits = new Uint8Array(this.bitmapBytes);
        for (const row of set) bits[row >> 3]! |= 1 << (row & 7);
        return bits;
      });
      blob.int(field, -1);
      blob.int(field + 4, at);
      return;
    }
    blob.int(field, rows.length);
    if (rows.length === 0) return;
    const at = blob.reserve(rows.length * 4);
    rows.forEach((row, index) => {
      blob.int(at + index * 4, row);
    });
    blob.int(field + 4, at);
  }

  /** Place of a test's record, written once. */
  test(number: number): number {
    const known = this.writtenTests.get(number);
    if (known !== undefined) return known;
    const { blob } = this;
    const { subject, matcher, network, ports } = this.list.tests[number]!;
    const at = blob.reserve(R.TEST_BYTES);
    blob.int(at + R.TEST_SUBJECT, subject);
    blob.int(at + R.TEST_NUMBER, this.writtenTests.size);
    this.writtenTests.set(number, at);
    if (network !== undefined) {
      blob.int(at + R.TEST_FAMILY, network.family);
      blob.int(at + R.TEST_BITS, network.bits);
      blob.place(at + R.TEST_OCTETS, network.octets);
    }
    if (ports !== undefined) {
      blob.int(at + R.TEST_FIRST_PORT, ports.first);
      blob.int(at + R.TEST_END_PORT, ports.end);
    }
    // What cannot fit is refused; expressions that nobody will run are not compiled until the process has no memory left.
    if (matcher !== undefined && blob.length <= R.RBAC_REGION_BYTES) {
      const place = writeMatchers(this.problems, blob, [matcher], (name) => this.hash.name(name), true);
      blob.int(at + R.TEST_MATCHER, place);
    }
    return at;
  }

  private condition(condition: Condition): number {
    switch (condition.kind) {
      case 'test':
        return this.conditionOf(R.CONDITION_TEST, this.test(condition.test), []);
      case 'not':
        return this.conditionOf(R.CONDITION_NOT, 1, [this.condition(condition.of)]);
      case 'always':
      case 'never':
        return this.conditionOf(condition.kind === 'always' ? R.CONDITION_ALL : R.CONDITION_ANY, 0, []);
      default: {
        const parts = condition.of.map((part) => this.condition(part));
        const kind = condition.kind === 'all' ? R.CONDITION_ALL : R.CONDITION_ANY;
        return this.conditionOf(kind, parts.length, parts);
      }
    }
  }

  private conditionOf(kind: number, count: number, parts: readonly number[]): number {
    const { blob } = this;
    const at = blob.reserve(R.CONDITION_PARTS + parts.length * 4);
    blob.int(at + R.CONDITION_KIND, kind);
    blob.int(at + R.CONDITION_COUNT, count);
    parts.forEach((part, index) => {
      blob.int(at + R.CONDITION_PARTS + index * 4, part);
    });
    return at;
  }
}
