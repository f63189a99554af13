// Benchmark: CPU time and memory of processes and their children, read from /proc.

import { readdirSync, readFileSync } from 'node:fs';

/** Microseconds in one clock tick of /proc/PID/stat (USER_HZ is 100 on every supported Linux). */
const TICK_US = 10_000;

function statOf(pid: number): { parent: number; cpuUs: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), cpuUs: (Number(fields[11]) + Number(fields[12])) * TICK_US };
  } catch {
    return undefined; // the process ended between listing and reading
  }
}

function withChildren(pid: number): number[] {
  const found = [pid];
  for (const entry of readdirSync('/proc')) {
    const candidate = Number(entry);
    if (Number.isInteger(candidate) && statOf(candidate)?.parent === pid) found.push(candidate);
  }
  return found;
}

/** Time on a CPU of all threads, to the nanosecond where the kernel tells it, else in ticks of 10 ms. */
function processCpuUs(pid: number): number {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
    if (nanoseconds > 0) return nanoseconds / 1000;
  } catch {
    // a thread ended while it was read, or the kernel keeps no schedstat: the ticks will do
  }
  return statOf(pid)?.cpuUs ?? 0;
}

/** User plus system time of the processes and their direct children, in microseconds. */
export function cpuUs(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids.flatMap(withChildren)) total += processCpuUs(pid);
  return total;
}

function sumOfField(pids: readonly number[], file: string, field: string): number {
  let kib = 0;
  for (const pid of pids.flatMap(withChildren)) {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'));
    if (match === null) throw new Error(`/proc/${pid}/${file} has no ${field}`);
    kib += Number(match[1]);
  }
  return kib;
}

/** Resident memory of the processes and their direct children, in MiB. */
export function rssMiB(pids: readonly number[]): number {
  return sumOfField(pids, 'status', 'VmRSS') / 1024;
}

/** Proportional set size in KiB: pages shared with other processes (such as Node's own code) count by their share. */
export function pssKiB(pids: readonly number[]): number {
  return sumOfField(pids, 'smaps_rollup', 'Pss');
}
