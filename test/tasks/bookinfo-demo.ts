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

/** What pages change of the demo itself. */
const RESTORED = [
  'examples/handbook/destination-rule-reviews.yaml',
  'examples/handbook/virtual-service-reviews.yaml',
  'examples/handbook/peer-authentication-default.yaml',
];

export class BookinfoDemo {
  readonly stateDir: string;
  readonly #directory: string;
  readonly #process: ChildProcess;
  #printed = '';
  #ports = { http: 0, https: 0 };

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory;
    this.stateDir = join(directory, 'state');
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#printed += text;
      });
    }
  }

  /** What it has written to its terminal so far. */
  get printed(): string {
    return this.#printed;
  }

  /** Of the ingress, on 127.0.0.1. */
  get ports(): { readonly http: number; readonly https: number } {
    return this.#ports;
  }

  /** What `npm run demo` starts, on free ports and in a directory of its own. */
  static async start(): Promise<BookinfoDemo> {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-tasks-'));
    const stateDir = join(directory, 'state');
    const args = [join(REPOSITORY, 'tools/demo.mjs'), '--state-dir', stateDir, '--ingress-port', '0'];
    const child = spawn(process.execPath, args, { cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'pipe'] });
    const demo = new BookinfoDemo(directory, child);
    await readiness(child);
    const { ingress } = JSON.parse(await demo.lateenctl('local', 'status', '-o', 'json')) as {
      ingress: { port: number; httpsPort: number };
    };
    demo.#ports = { http: ingress.port, https: ingress.httpsPort };
    return demo;
  }

  /** Everything that is applied: the content of each document by `KIND NAMESPACE NAME`. */
  applied(): Map<string, string> {
    const galley = join(this.stateDir, 'galley/config/applied');
    const documents = readdirSync(galley, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.yaml'))
      .map((path) => parse(readFileSync(join(galley, path), 'utf8')) as AppliedDocument);
    const objects = JSON.parse(readFileSync(join(this.stateDir, 'supervisor/objects.json'), 'utf8')) as {
      object: AppliedDocument;
    }[];
    const all = [...documents, ...objects.map(({ object }) => object)];
    return new Map(
      all.map(({ kind, metadata, spec }) => [`${kind} ${metadata.namespace} ${metadata.name}`, JSON.stringify(spec)]),
    );
  }

  /** Takes away what is not of the demo, and applies what a page has changed of it again. */
  async restore(wanted: ReadonlyMap<string, string>): Promise<void> {
    for (const place of this.applied().keys()) {
      const [kind = '', namespace = '', name = ''] = place.split(' ');
      if (!wanted.has(place)) await this.lateenctl('delete', kind, name, '-n', namespace);
    }
    await this.lateenctl('apply', ...RESTORED.flatMap((file) => ['-f', join(REPOSITORY, file)]));
  }

  /** Runs lateenctl on the demo, which has to succeed; what it prints. */
  async lateenctl(...args: readonly string[]): Promise<string> {
    const options = { directory: REPOSITORY, env: { LATEEN_STATE_DIR: this.stateDir } };
    const result = await runCommand(process.execPath, [join(REPOSITORY, 'bin/lateenctl'), ...args], options);
    if (result.exitCode !== 0)
      throw new Error(`lateenctl ${args.join(' ')} exits ${result.exitCode}: ${result.stderr}`);
    return result.stdout;
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
