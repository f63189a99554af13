// Task pages: takes the steps of a page on a running demo, as a reader with a shell would.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { freePort } from '../harness/free-port.js';
import { REPOSITORY } from '../harness/repository.js';
import type { BookinfoDemo } from './bookinfo-demo.js';
import { matchesOutput, parseOutputPattern } from './output-pattern.js';
import type { CommandStep, TaskPage } from './task-page.js';

/** How long a command may take: what a page waits for comes about by then, or never. */
const COMMAND_LIMIT_MS = 30_000;

/** Where the demo of a reader keeps its state. */
const DEFAULT_STATE_DIR = '.lateen/';

interface Ran {
  readonly exitCode: number | null;
  /** Standard output and errors, as they come in a terminal. */
  readonly printed: string;
}

/** @throws Error naming the line of the page whose command did something else than the page shows */
export async function runPage(page: TaskPage, demo: BookinfoDemo): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-task-'));
  symlinkSync(join(REPOSITORY, 'examples'), join(directory, 'examples'));
  const reader = new Reader(directory, demo, await portsOf(page));
  try {
    for (const step of page.steps) {
      if (step.kind === 'file') writeFileSync(join(directory, step.name), reader.withPorts(step.content));
      else await reader.take(step);
    }
  } finally {
    reader.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Ports that the page chose -> those that they have here. */
async function portsOf(page: TaskPage): Promise<Map<string, string>> {
  const ports = new Map<string, string>();
  for (const port of page.ownPorts) ports.set(port, String(await freePort()));
  return ports;
}

class Reader {
  readonly #directory: string;
  readonly #demo: BookinfoDemo;
  readonly #env: NodeJS.ProcessEnv;
  readonly #ports: ReadonlyMap<string, string>;
  readonly #background: ChildProcess[] = [];

  constructor(directory: string, demo: BookinfoDemo, ports: ReadonlyMap<string, string>) {
    this.#directory = directory;
    this.#demo = demo;
    this.#ports = ports;
    const path = [join(REPOSITORY, 'bin'), dirname(process.execPath), process.env.PATH].join(':');
    this.#env = { ...process.env, PATH: path, LATEEN_STATE_DIR: demo.stateDir, NO_COLOR: '1', LC_ALL: 'C' };
  }

  /** A text of the page with the ports that its own programs have here. */
  withPorts(text: string): string {
    return text.replaceAll(/\b\d{4,5}\b/g, (port) => this.#ports.get(port) ?? port);
  }

  /** What a reader types or sees, where the ingress has other ports than the page says. */
  #asHere(text: string): string {
    const { http, https } = this.#demo.ports;
    const withState = text.replaceAll(DEFAULT_STATE_DIR, `${this.#demo.stateDir}/`);
    return this.withPorts(withState).replaceAll(':8080', `:${http}`).replaceAll(':8443', `:${https}`);
  }

  async take(step: CommandStep): Promise<void> {
    const command = this.#asHere(step.command);
    if (step.background) {
      this.#background.push(this.#spawn(command.slice(0, -' &'.length)));
      return;
    }
    const ran = await this.#run(command);
    if (!this.#shows(step, ran)) throw new Error(complaint(step, command, ran));
  }

  #shows({ output, exitCode: expected }: CommandStep, { exitCode, printed }: Ran): boolean {
    if (exitCode !== expected) return false;
    // A page need not show what a command prints.
    if (output === undefined) return true;
    return matchesOutput(
      parseOutputPattern(
        output.lines.map((line) => this.#asHere(line)),
        output.numbersVaryBy,
      ),
      printed,
    );
  }

  close(): void {
    for (const child of this.#background) end(child);
  }

  #spawn(command: string): ChildProcess {
    const options = { cwd: this.#directory, env: this.#env, detached: true } as const;
    return spawn('bash', ['-c', command], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  #run(command: string): Promise<Ran> {
    const child = this.#spawn(command);
    return new Promise((resolve, reject) => {
      let printed = '';
      const timer = setTimeout(() => {
        printed += `(ended after ${COMMAND_LIMIT_MS / 1000} s)\n`;
        end(child);
      }, COMMAND_LIMIT_MS);
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (text: string) => {
          printed += text;
        });
      }
      child.once('error', reject);
      child.once('close', (exitCode) => {
        clearTimeout(timer);
        resolve({ exitCode, printed });
      });
    });
  }
}

/** Ends a command with everything that it started. */
function end(child: ChildProcess): void {
  if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
}

function complaint(step: CommandStep, command: string, { exitCode, printed }: Ran): string {
  const { line, output } = step;
  const wanted = `exit code ${step.exitCode}${output === undefined ? '' : ` and\n${output.lines.join('\n')}`}`;
  return `line ${line}: ${command}\nexits ${exitCode} and prints\n${printed.trimEnd()}\nwhere the page says ${wanted}`;
}
