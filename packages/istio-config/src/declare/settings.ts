// Declarations: reads one YAML document that is no resource (settings of a program, values of an installation) against a declared message.
import { z } from 'zod';
import { compareProblems, type FieldPath, formatPath, type Problem } from '../problem.js';
import { readYaml } from '../yaml/read.js';
import { checkStructure } from './check.js';
import { schemaAt } from './issue-text.js';
import { unwrapSchema } from './message.js';

export interface ReadSettings<T> {
  /** Undefined where there is an error. */
  readonly value: T | undefined;
  readonly problems: readonly Problem[];
  /** Where a field was written. */
  locate(path: FieldPath): { readonly line: number; readonly column: number };
}

/**
 * Reads a text of one YAML document; an empty text is `{}`.
 * @param schema a message, as `message()` declares it
 * @param kind what the problems call it, such as `InstallationValues`
 */
export function readSettings<M extends z.ZodObject>(
  schema: M,
  kind: string,
  { name: file, content }: { readonly name: string; readonly content: string },
): ReadSettings<z.infer<M>> {
  const { documents, faults } = readYaml(content);
  const identity = { kind, namespace: '', name: '' };
  const problems: Problem[] = faults.map(({ line, column, code, message }) => {
    return { file, line, column, ...identity, path: '', severity: 'error', code, message };
  });
  const [document, second] = documents;
  const problemAt = (
    from: typeof document,
    path: FieldPath,
    part: 'key' | 'value',
    rest: Pick<Problem, 'severity' | 'code' | 'message'>,
  ) => {
    const { line, column } = from?.locate(path, part) ?? { line: 1, column: 1 };
    problems.push({ file, line, column, ...identity, path: formatPath(path), ...rest });
  };
  if (second) {
    problemAt(second, [], 'value', {
      severity: 'error',
      code: 'duplicate',
      message: 'a file of settings holds one document; join them',
    });
  }
  const value = document?.value ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    problemAt(document, [], 'value', {
      severity: 'error',
      code: 'type',
      message: `expected a mapping of ${kind}; write its fields`,
    });
  } else {
    const { faults: found } = checkStructure(schema, value);
    for (const { path, part, severity, code, message } of found)
      problemAt(document, path, part, { severity, code, message });
  }
  const failed = problems.some(({ severity }) => severity === 'error');
  return {
    // Without an error the value is what the schema says.
    value: failed ? undefined : (value as z.infer<M>),
    problems: problems.sort(compareProblems),
    locate: (path) => document?.locate(path, 'key') ?? { line: 1, column: 1 },
  };
}

/** Whether a message says that a field is a string, so that `1` is meant as `"1"` there. */
export function isTextField(schema: z.ZodObject, path: FieldPath): boolean {
  const field = schemaAt(schema, path);
  return field !== undefined && unwrapSchema(field) instanceof z.ZodString;
}
