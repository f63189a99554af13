// Authority: the one writer of a state directory. Each owner has a number (epoch) of its own, given once and in order; who
// finds a higher one than its own writes no more.

import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { syncDirectory, writeFileDurable } from '@lateen/identity';

/** Thrown where another process has the state directory, or has taken it over. */
export class StateLeaseError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StateLeaseError';
  }
}

interface Owner {
  readonly pid: number;
  /** When the process started, as its kernel counts, so that another of the same number is not taken for it. */
  readonly started: string;
  /** Where its number means something: host and PID namespace. */
  readonly place: string;
  readonly token: string;
}

export interface StateLease {
  readonly epoch: number;
  /** @throws StateLeaseError where another process has taken the directory over; call it before each write */
  check(): Promise<void>;
  release(): Promise<void>;
}

const DIRECTORY = 'owner';
const HEARTBEAT_MS = 2_000;
/** An owner elsewhere whose heart has not beaten for this long is gone. */
const SILENCE_MS = 10_000;

/** Takes the directory. @throws StateLeaseError naming the process that has it */
export async function takeStateLease(stateDir: string): Promise<StateLease> {
  const directory = join(stateDir, DIRECTORY);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const self: Owner = {
    pid: process.pid,
    started: (await startOf(process.pid)) ?? '',
    place: await placeOfProcesses(),
    token: randomUUID(),
  };
  for (;;) {
    const last = await lastEpoch(directory);
    if (last > 0) await refuseLiving(directory, last, self, stateDir);
    const epoch = last + 1;
    try {
      await writeFileDurable(join(directory, String(epoch)), JSON.stringify(self));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue; // somebody was faster; look who
      throw error;
    }
    await syncDirectory(directory);
    // An epoch that was given and cleared away in between is below the last one, and worth nothing.
    if ((await lastEpoch(directory)) !== epoch) {
      await rm(join(directory, String(epoch)), { force: true });
      continue;
    }
    for (const name of await readdir(directory)) {
      if (Number(name) < epoch) await rm(join(directory, name), { force: true });
    }
    return hold(directory, epoch, stateDir);
  }
}

function hold(directory: string, epoch: number, stateDir: string): StateLease {
  const file = join(directory, String(epoch));
  const heart = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined); // the next check says what became of it
  }, HEARTBEAT_MS);
  heart.unref();
  return {
    epoch,
    check: async () => {
      const last = await lastEpoch(directory);
      if (last === epoch) return;
      throw new StateLeaseError(
        `another process has taken ${stateDir} over (owner ${last}, we are ${epoch}); this one writes nothing more`,
      );
    },
    release: async () => {
      clearInterval(heart);
      // The number stays given: an owner that ended leaves an empty file.
      if ((await lastEpoch(directory)) === epoch) await utimes(file, 0, 0).catch(() => undefined);
    },
  };
}

async function lastEpoch(directory: string): Promise<number> {
  const numbers = (await readdir(directory)).map(Number).filter(Number.isSafeInteger);
  return Math.max(0, ...numbers);
}

async function refuseLiving(directory: string, epoch: number, self: Owner, stateDir: string): Promise<void> {
  const file = join(directory, String(epoch));
  const beatAt = async () => (await stat(file)).mtimeMs;
  const before = await beatAt();
  if (before === 0) return; // released
  const owner = await readOwner(file);
  if (owner !== undefined && owner.place === self.place) {
    if ((await startOf(owner.pid)) !== owner.started) return;
    throw new StateLeaseError(
      `${stateDir} is in use by the process ${owner.pid}; end it first, or give this one a --state-dir of its own`,
    );
  }
  // Of another machine or container, or cut off while it was written: whoever lives has a heartbeat.
  for (let waitedMs = 0; waitedMs < SILENCE_MS; waitedMs += HEARTBEAT_MS) {
    await sleep(HEARTBEAT_MS);
    if ((await lastEpoch(directory)) !== epoch) return; // look again who has it
    if ((await beatAt()) === before) continue;
    throw new StateLeaseError(
      `${stateDir} is in use by a process elsewhere (${owner?.place ?? 'unknown'}); end it first`,
    );
  }
}

async function readOwner(file: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Owner;
  } catch {
    return undefined; // cut off while it was written
  }
}

/** When a process started, in ticks since the boot; '' where the system does not tell, undefined where there is none. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name may have spaces and brackets; the fields behind it do not. The 22nd is the start (proc(5)).
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    if (process.platform === 'linux') return undefined;
  }
  try {
    process.kill(pid, 0);
    return '';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '' : undefined;
  }
}

async function placeOfProcesses(): Promise<string> {
  const [namespace, boot] = await Promise.all([
    readlink('/proc/self/ns/pid').catch(() => ''),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
  ]);
  return [hostname(), boot.trim(), namespace].join(' ');
}
