// Processes: tells a process from a later one that got the same number.

import { readFileSync } from 'node:fs';

/** Field 22 of /proc/PID/stat: when the process started, in clock ticks since boot. */
const START_TIME_FIELD = 22;

/** The start time of a process, or undefined where it is gone or the system has no /proc. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may hold blanks and parentheses itself.
    const afterCommand = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return afterCommand[START_TIME_FIELD - 3];
  } catch {
    return undefined;
  }
}

/** True while the process exists (a zombie counts). */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
