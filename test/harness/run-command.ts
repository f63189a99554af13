// Test harness: runs a program to its end and returns how it went.

import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Where it runs. */
  readonly directory: string;
  /** Variables to set, or with undefined to take away; the others are this process's. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For its standard input. */
  readonly input?: string | undefined;
}

export function runCommand(
  program: string,
  args: readonly string[],
  { directory, env, input = '' }: CommandOptions,
): Promise<CommandResult> {
  const child = spawn(program, args, { cwd: directory, env: { ...process.env, ...env }, stdio: 'pipe' });
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ exitCode: code ?? -1, stdout, stderr }));
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(input);
  });
}
