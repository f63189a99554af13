// Metrics: evaluates the CEL expressions of tag overrides. The metric's own labels are identifiers; others give `unknown`.

import type { CelResult } from '@bufbuild/cel';

export const UNKNOWN = 'unknown';

/** A compiled expression over label values. */
export type TagExpression = (labels: Readonly<Record<string, string>>) => string;

type Cel = typeof import('@bufbuild/cel');

/** Loaded when the first expression is met: most sidecars have none, and start-up time and memory matter. */
let cel: Promise<Cel> | undefined;
const compiled = new Map<string, TagExpression>();
/** Expressions come from configuration and live as long as it; a control plane that invents new ones for ever is bounded. */
const MAX_COMPILED = 1_000;

/** Compiles what is not compiled yet; to be awaited before `evaluateTag`. */
export async function prepareTagExpressions(expressions: Iterable<string>): Promise<void> {
  if (compiled.size >= MAX_COMPILED) compiled.clear();
  for (const expression of expressions) {
    if (compiled.has(expression)) continue;
    cel ??= import('@bufbuild/cel');
    compiled.set(expression, compileExpression(await cel, expression));
  }
}

/** The value of an expression; `unknown` where it refers to something that is not known. */
export function evaluateTag(expression: string, labels: Readonly<Record<string, string>>): string {
  return compiled.get(expression)?.(labels) ?? UNKNOWN;
}

function compileExpression({ celEnv, parse, plan, isCelError }: Cel, expression: string): TagExpression {
  let evaluate: (labels: Record<string, string>) => CelResult;
  try {
    evaluate = plan(celEnv(), parse(expression)) as typeof evaluate;
  } catch {
    // As Istio: what does not parse never has a value.
    return () => UNKNOWN;
  }
  return (labels) => {
    const result = evaluate(labels);
    if (isCelError(result) || result === null || typeof result === 'object') return UNKNOWN;
    return String(result);
  };
}
