// Decide: configuration that the proxy would not take.

import { type CompileProblem, formatProblem } from '@lateen/filters-wasm';

const MAX_PROBLEMS = 20;

/** The proxy would not take the configuration; each line says why. */
export class RefusedConfigurationError extends Error {
  constructor(problems: readonly CompileProblem[]) {
    const lines = problems.slice(0, MAX_PROBLEMS).map((problem) => `  ${formatProblem(problem)}`);
    if (problems.length > MAX_PROBLEMS) lines.push(`  and ${problems.length - MAX_PROBLEMS} more`);
    super(`the proxy would refuse this configuration:\n${lines.join('\n')}`);
  }
}
