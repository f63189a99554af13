// Benchmark: CPU time and memory of a process and its children, read from /proc.

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

/** User plus system time of the processes and their direct children, in microseconds. */
export function cpuUs(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids.flatMap(withChildren)) total += statOf(pid)?.cpuUs ?? 0;
  return total;
}

/** Resident memory of the processes and their direct children, in MiB. */
export function rssMiB(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids.flatMap(withChildren)) {
    const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    kib += Number(match?.[1] ?? 0);
  }
  return kib / 1024;
}
