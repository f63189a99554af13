// Conformance, mutation, step 2: what came of each field beside what not-acted-on.yaml says of it; each contradiction is a line.

import { type Listed, takesIn } from '../field-coverage/not-acted-on.js';
import type { CoveredKind } from '../field-coverage/schema-fields.js';

/** What became of a field that cases set. */
export interface Standing {
  readonly kind: CoveredKind;
  readonly field: string;
  /** A case failed without it, or with another value. */
  noticed: boolean;
  /** What was tried, in words. */
  readonly tried: string[];
}

export interface Comparison {
  readonly lines: readonly string[];
  readonly counts: {
    readonly noticed: number;
    readonly excused: number;
    readonly unexplained: number;
    readonly outdated: number;
  };
}

/** The most exact path that takes in the field. */
function pathFor(field: string, paths: readonly string[]): string | undefined {
  return paths.filter((path) => takesIn(path, field)).sort((a, b) => b.length - a.length)[0];
}

/**
 * A field that nobody misses must stand in the list, as `unseen`, `elsewhere` or `warned`; one that a case misses must not
 * stand there as `unseen`.
 */
export function compareWithList(
  standings: readonly Standing[],
  notActedOn: Readonly<Partial<Record<CoveredKind, Listed>>>,
): Comparison {
  const counts = { noticed: 0, excused: 0, unexplained: 0, outdated: 0 };
  const lines: string[] = [];
  for (const { kind, field, noticed, tried } of standings) {
    const { warned = [], elsewhere = {}, unseen = {} } = notActedOn[kind] ?? {};
    if (noticed) {
      counts.noticed += 1;
      const path = pathFor(field, Object.keys(unseen));
      if (path === undefined) continue;
      counts.outdated += 1;
      lines.push(`${kind}.${field} stands under \`unseen\` (${path}), and is missed:\n  ${tried.at(-1)}`);
    } else if (pathFor(field, [...warned, ...Object.keys(elsewhere), ...Object.keys(unseen)]) !== undefined) {
      counts.excused += 1;
    } else {
      counts.unexplained += 1;
      lines.push(`${kind}.${field} is set by cases, and none misses it:\n  ${tried.join('\n  ')}`);
    }
  }
  return { lines, counts };
}
