// Reaper: a process of its own that outlives a killed supervisor just long enough to end what it had started.
//
// Standard input carries a line for each change: "+PID START" (a process group to watch) and "-PID" (it has ended).
// When the input closes, the supervisor is gone: every group still watched is asked to end, then killed.

import { createInterface } from 'node:readline';
import { processExists, processStartTime } from './process-identity.js';

const GRACE_MS = 3000;
const POLL_MS = 50;

const watched = new Map<number, string>();

// Ctrl-C and a closed terminal are the supervisor's to handle; it closes our input when it ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

/** Sends a signal to the group that this process leads, if it is still the process that we were told of. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  const start = watched.get(pid);
  if (start !== '' && processStartTime(pid) !== start) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const pid = Number.parseInt(line.slice(1), 10);
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  if (line.startsWith('+')) watched.set(pid, line.slice(1).split(' ')[1] ?? '');
  else watched.delete(pid);
});
lines.on('close', async () => {
  const pids = [...watched.keys()];
  for (const pid of pids) signalGroup(pid, 'SIGTERM');
  const deadline = Date.now() + GRACE_MS;
  while (pids.some(processExists) && Date.now() < deadline) await new Promise((wake) => setTimeout(wake, POLL_MS));
  for (const pid of pids) signalGroup(pid, 'SIGKILL');
  process.exit(0);
});
