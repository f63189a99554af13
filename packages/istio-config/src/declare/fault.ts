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
