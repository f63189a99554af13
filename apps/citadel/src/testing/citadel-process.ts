// Tests: the built program as a process, whose ports are read from its log.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface CitadelProcess {
  readonly child: ChildProcess;
  readonly ports: { readonly grpc: number; readonly admin: number; readonly monitoring: number };
}

export class CitadelProcesses {
  readonly #children: ChildProcess[] = [];

  constructor(private readonly flags: readonly string[]) {}

  /** Resolves when it is up. @throws Error with what it wrote where it ends before */
  async start(
    flags: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<CitadelProcess> {
    return this.up(this.spawn(flags, environment));
  }

  /** Resolves when a process is up. */
  async up(child: ChildProcess): Promise<CitadelProcess> {
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr! })) {
      lines.push(line);
      const entry = JSON.parse(line) as { message: string; ports: CitadelProcess['ports'] };
      if (entry.message !== 'citadel is up') continue;
      child.stderr!.resume();
      return { child, ports: entry.ports };
    }
    throw new Error(`citadel did not start:\n${lines.join('\n')}`);
  }

  spawn(flags: readonly string[] = [], environment: Readonly<Record<string, string>> = {}): ChildProcess {
    const ports = ['--grpc-port', '0', '--admin-port', '0', '--monitoring-port', '0'];
    const child = spawn(process.execPath, [PROGRAM, ...ports, ...this.flags, ...flags], {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.#children.push(child);
    return child;
  }

  async end(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
  }
}
