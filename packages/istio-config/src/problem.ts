// Problems: what is wrong with a document, where, and what to do.

/** `error`: the document is refused. `warning`: it is accepted, but something should be known. */
export type Severity = 'error' | 'warning';

/** One thing wrong with one document. */
export interface Problem {
  readonly file: string;
  /** 1-based; 0 where there is no position. */
  readonly line: number;
  /** 1-based, in UTF-16 units; 0 where there is no position. */
  readonly column: number;
  /** '' where the document is too broken to know. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** For example `spec.http[0].route[1].weight`; '' for the document as a whole. */
  readonly path: string;
  readonly severity: Severity;
  /** Stable and machine-readable, for example `unknown-field`. */
  readonly code: string;
  /** What is wrong and what to do: `unknown field …; did you mean …?`. */
  readonly message: string;
}

/** A path inside a document: field names, map keys and list indexes. */
export type FieldPath = readonly (string | number)[];

const PLAIN_KEY = /^[A-Za-z_][\w-]*$/;

/** Writes a path as users read it: `spec.http[0].headers["x.y"]`. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (PLAIN_KEY.test(part)) text += text === '' ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/**
 * One line for people: `file:line:col kind/namespace/name path: what; what to do`. Parts that are not known are left
 * out; a warning says that it is one.
 */
export function formatProblem(problem: Problem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  const object = [problem.kind, problem.namespace, problem.name].filter((part) => part !== '').join('/');
  const where = [place, object, problem.path].filter((part) => part !== '').join(' ');
  return `${where}: ${problem.severity === 'warning' ? 'warning: ' : ''}${problem.message}`;
}

/** Sorts by file, line, column, then code, so that a list reads in the order of the text. */
export function compareProblems(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column || (a.code < b.code ? -1 : a.code > b.code ? 1 : 0);
}
