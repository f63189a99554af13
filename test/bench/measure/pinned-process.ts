// Benchmark: starts a process pinned to CPUs and waits until its port accepts.

import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';

export interface PinnedProcess {
  readonly pid: number;
  stop(): Promise<void>;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function waitForPort(child: ChildProcess, port: number, name: string, log: () => string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} before it listened:\n${log()}`);
    if (Date.now() > deadline) throw new Error(`${name} does not listen on port ${port}:\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Starts `argv` on the given CPUs; resolves once it accepts connections on `port`. `standardOutput` is a file descriptor
 * that takes its output instead of this process.
 */
export async function startPinned(
  name: string,
  cpus: string,
  argv: readonly string[],
  port: number,
  standardOutput?: number,
): Promise<PinnedProcess> {
  const child = spawn('taskset', ['-c', cpus, ...argv], { stdio: ['ignore', standardOutput ?? 'pipe', 'pipe'] });
  let log = '';
  const keep = (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-8000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  try {
    await waitForPort(child, port, name, () => log);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  // taskset replaces itself with the program, so the child's pid is the program's.
  return {
    pid: child.pid ?? 0,
    async stop() {
      const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
      child.kill('SIGTERM');
      await ended;
      clearTimeout(timer);
    },
  };
}
