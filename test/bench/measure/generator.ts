// Benchmark: runs a load generator on its own CPU and collects what it prints.

import { spawn } from 'node:child_process';

/** Runs `argv` pinned to `cpus`, with as many open files as allowed; resolves with its standard output. */
export function runGenerator(cpus: string, argv: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('taskset', ['-c', cpus, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${argv[0]} ended with ${code}: ${errors}${output}`));
    });
  });
}
