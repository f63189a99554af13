// Processes: tells a process from a later one that got the same number.

import { readFileSync } from 'node:fs';

/** Of /proc/PID/stat (see proc(5)), counted from 1: the state, and the start in clock ticks since boot. */
const STATE_FIELD = 3;
const START_TIME_FIELD = 22;

/** A field of /proc/PID/stat from the third on, or undefined where the process is gone or the system has no /proc. */
function statField(pid: number, field: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may hold blanks and parentheses itself.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[field - STATE_FIELD];
  } catch {
    return undefined;
  }
}

/** The start time of a process, or undefined where it is gone or the system has no /proc. */
export function processStartTime(pid: number): string | undefined {
  return statField(pid, START_TIME_FIELD);
}

/** True while the process runs; one that has ended and only waits for its parent to notice does not. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return statField(pid, STATE_FIELD) !== 'Z';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
