// Declarations: one fault of a value, before it is known in which document it stands.
import type { FieldPath, Severity } from '../problem.js';

/** Something wrong at a path inside a value. */
export interface Fault {
  readonly path: FieldPath;
  /** Whether the key or the value at the path is at fault. */
  readonly part: 'key' | 'value';
  readonly severity: Severity;
  readonly code: string;
  /** What is wrong; what to do. */
  readonly message: string;
  /** Of an unknown field: the field that is probably meant. */
  readonly instead?: string;
}

/**
 * Leaves out what only follows from an unknown field: what is said of the object that has it (that it is empty), of the
 * list in which that object is an item (that its weights sum to 0), and that the field is missing which is probably meant.
 */
export function withoutConsequences(faults: readonly Fault[]): Fault[] {
  const unknown = faults.filter(({ code, severity }) => code === 'unknown-field' && severity === 'error');
  if (unknown.length === 0) return [...faults];
  const meant = new Set<string>();
  const incomplete = new Set<string>();
  for (const { path, instead } of unknown) {
    const owner = path.slice(0, -1);
    incomplete.add(JSON.stringify(owner));
    if (typeof owner.at(-1) === 'number') incomplete.add(JSON.stringify(owner.slice(0, -1)));
    if (instead !== undefined) meant.add(JSON.stringify([...owner, instead]));
  }
  return faults.filter(({ path, code }) => {
    const place = JSON.stringify(path);
    return !incomplete.has(place) && !(code === 'required' && meant.has(place));
  });
}

/** Collects faults; what the rules of meaning report to. */
export class FaultList {
  readonly faults: Fault[] = [];

  /** Something that has to be changed. */
  error(path: FieldPath, code: string, message: string, part: Fault['part'] = 'value'): void {
    this.faults.push({ path, part, severity: 'error', code, message });
  }

  /** Something that should be known. */
  warning(path: FieldPath, code: string, message: string, part: Fault['part'] = 'value'): void {
    this.faults.push({ path, part, severity: 'warning', code, message });
  }

  /** Whether an error stands at exactly this path. */
  hasErrorAt(path: FieldPath): boolean {
    return this.faults.some(
      (fault) =>
        fault.severity === 'error' &&
        fault.path.length === path.length &&
        fault.path.every((part, index) => part === path[index]),
    );
  }

  add(faults: Iterable<Fault>): void {
    for (const fault of faults) this.faults.push(fault);
  }
}
