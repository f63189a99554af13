// Protobuf durations as whole milliseconds.
import type { Duration } from '@bufbuild/protobuf/wkt';
import type { ProblemList } from './problems.js';
import { join } from './supported-fields.js';

/**
 * Milliseconds rounded up, so that no limit set becomes none; `absent` where it is not set. Problems where out of range.
 * @param path of the field, or of its message where `field` names it
 */
export function durationMs(
  problems: ProblemList,
  path: string,
  duration: Duration | undefined,
  absent: number,
  field?: string,
): number {
  if (duration === undefined) return absent;
  const ms = Number(duration.seconds) * 1000 + Math.ceil(duration.nanos / 1e6);
  if (ms < 0 || ms > 0x7fffffff) {
    problems.add(
      field === undefined ? path : join(path, field),
      `is ${ms} ms; it must be between 0 and ${0x7fffffff} ms`,
    );
    return absent;
  }
  return ms;
}
