// Test harness: starts a built app as a real process and stops it by its id.

import { type ChildProcess, spawn } from 'node:child_process';
import { REPOSITORY } from './repository.js';

export interface AppProcess {
  readonly child: ChildProcess;
  /** Everything it wrote so far, both streams. */
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `apps/NAME/dist/main.js`. It ends with the test process, because its standard input does. */
export function startApp(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): AppProcess {
  return startProgram(
    process.execPath,
    [`${REPOSITORY}apps/${name}/dist/main.js`, ...args, '--exit-with-parent'],
    environment,
  );
}

/** Starts any program. */
export function startProgram(
  path: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): AppProcess {
  const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    child,
    output: () => output,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}
