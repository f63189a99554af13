// Takes a policy's condition apart into rows: ways to match it that the index can find, each with what is left to test.
import { type Condition, shapeOf, type TestList } from './condition.js';

/** One way to match: a test of each clause holds, none of `none` does, and all of `rest` does. */
export interface Row {
  /** By subject: at most one clause each, of tests of that subject alone. */
  readonly clauses: ReadonlyMap<number, readonly number[]>;
  readonly none: readonly number[];
  readonly rest: readonly Condition[];
}

/** A policy becomes at most so many rows; what would need more is tested whole. */
const MAX_ROWS = 16;
const ALWAYS: Row = { clauses: new Map(), none: [], rest: [] };

export function rowsOf(condition: Condition, list: TestList): Row[] {
  switch (condition.kind) {
    case 'always':
      return [ALWAYS];
    case 'never':
      return [];
    case 'test': {
      const test = list.tests[condition.test];
      if (test === undefined || shapeOf(test) === undefined) return [{ ...ALWAYS, rest: [condition] }];
      return [{ ...ALWAYS, clauses: new Map([[test.subject, [condition.test]]]) }];
    }
    case 'all':
      return rowsOfAll(condition.of, list);
    case 'any':
      return rowsOfAny(condition, list);
    case 'not':
      return rowsOfNot(condition, list);
  }
}

function rowsOfAll(parts: readonly Condition[], list: TestList): Row[] {
  let rows: Row[] = [ALWAYS];
  for (const part of parts) {
    const more = rowsOf(part, list);
    rows =
      rows.length * more.length > MAX_ROWS
        ? rows.map((row) => ({ ...row, rest: [...row.rest, part] }))
        : rows.flatMap((row) => more.map((other) => both(row, other)));
  }
  return rows;
}

/** A second clause about a subject is tested, since the index can only say that one of them holds. */
function both(a: Row, b: Row): Row {
  const clauses = new Map(a.clauses);
  const rest = [...a.rest, ...b.rest];
  for (const [subject, tests] of b.clauses) {
    const first = clauses.get(subject);
    if (first === undefined) {
      clauses.set(subject, tests);
      continue;
    }
    // The index takes the one that fewer values satisfy.
    const [indexed, tested] = first.length <= tests.length ? [first, tests] : [tests, first];
    clauses.set(subject, indexed);
    rest.push({ kind: 'any', of: tested.map((test) => ({ kind: 'test', test })) });
  }
  return { clauses, none: [...a.none, ...b.none], rest };
}

function rowsOfAny(condition: Extract<Condition, { readonly kind: 'all' | 'any' }>, list: TestList): Row[] {
  const bySubject = new Map<number, number[]>();
  const rows: Row[] = [];
  for (const part of flatten(condition.of)) {
    const test = part.kind === 'test' ? list.tests[part.test] : undefined;
    if (part.kind === 'test' && test !== undefined && shapeOf(test) !== undefined) {
      const clause = bySubject.get(test.subject);
      if (clause === undefined) bySubject.set(test.subject, [part.test]);
      else clause.push(part.test);
    } else rows.push(...rowsOf(part, list));
    if (rows.length + bySubject.size > MAX_ROWS) return [{ ...ALWAYS, rest: [condition] }];
  }
  for (const [subject, tests] of bySubject) rows.push({ ...ALWAYS, clauses: new Map([[subject, tests]]) });
  return rows;
}

function* flatten(parts: readonly Condition[]): Generator<Condition> {
  for (const part of parts) {
    if (part.kind === 'any') yield* flatten(part.of);
    else yield part;
  }
}

function rowsOfNot(condition: Extract<Condition, { readonly kind: 'not' }>, list: TestList): Row[] {
  const inner = condition.of;
  switch (inner.kind) {
    case 'always':
      return [];
    case 'never':
      return [ALWAYS];
    case 'not':
      return rowsOf(inner.of, list);
    case 'any':
      return rowsOfAll(inner.of.map(negated), list);
    case 'all':
      return rowsOfAny({ kind: 'any', of: inner.of.map(negated) }, list);
    case 'test': {
      const test = list.tests[inner.test];
      const found = test !== undefined && shapeOf(test) !== undefined;
      return [found ? { ...ALWAYS, none: [inner.test] } : { ...ALWAYS, rest: [condition] }];
    }
  }
}

function negated(of: Condition): Condition {
  return { kind: 'not', of };
}
