// Task pages: one running demo (`npm run demo`) for all pages, and what is applied to it.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';
import { runCommand } from '../harness/run-command.js';

interface AppliedDocument {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: unknown;
}

export class BookinfoDemo {
  readonly stateDir: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, child: ChildProcess, ports: { http: number; https: number }) {
    this.#directory = directory;
    this.stateDir = join(directory, 'state');
    this.#process = child;
    this.httpPort = ports.http;
    this.httpsPort = ports.https;
  }

  /** What `npm run demo` starts, on free ports and in a directory of its own. */
  static async start(): Promise<BookinfoDemo> {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-tasks-'));
    const stateDir = join(directory, 'state');
    const args = [join(REPOSITORY, 'tools/demo.mjs'), '--state-dir', stateDir, '--ingress-port', '0'];
    const child = spawn(process.execPath, args, { cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'pipe'] });
    await readiness(child);
    const status = await runCommand(
      process.execPath,
      [join(REPOSITORY, 'bin/lateenctl'), 'local', 'status', '-o', 'json'],
      { directory: REPOSITORY, env: { LATEEN_STATE_DIR: stateDir } },
    );
    const { ingress } = JSON.parse(status.stdout) as { ingress: { port: number; httpsPort: number } };
    return new BookinfoDemo(directory, child, { http: ingress.port, https: ingress.httpsPort });
  }

  /** Everything that is applied, a line for each document: its kind, namespace, name and content. */
  applied(): string[] {
    const galley = join(this.stateDir, 'galley/config/applied');
    const documents = readdirSync(galley, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.yaml'))
      .map((path) => parse(readFileSync(join(galley, path), 'utf8')) as AppliedDocument);
    const objects = JSON.parse(readFileSync(join(this.stateDir, 'supervisor/objects.json'), 'utf8')) as {
      object: AppliedDocument;
    }[];
    return [...documents, ...objects.map(({ object }) => object)]
      .map(({ kind, metadata: { name, namespace }, spec }) => `${kind} ${namespace}/${name} ${JSON.stringify(spec)}`)
      .sort();
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('close', resolve));
    if (this.#process.exitCode === null && this.#process.kill('SIGTERM')) await ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Waits for the line that gives the page's address. */
function readiness(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
        if (/^Bookinfo is at http/m.test(printed)) resolve();
      });
    }
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`the demo ends with ${code}: ${printed}`)));
  });
}
