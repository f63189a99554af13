// Citadel as a process (the built program): starts, ends when it should, and refuses a damaged root by name.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createTokenSigner } from '@lateen/identity/tokens';
import { afterEach, beforeEach, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../dist/main.js', import.meta.url));

let directory: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-citadel-process-'));
  await writeFile(join(directory, 'jwks.json'), JSON.stringify((await createTokenSigner()).jwks));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  await rm(directory, { recursive: true });
});

async function start(...more: string[]): Promise<ChildProcess> {
  const ports = ['--grpc-port', '0', '--admin-port', '0', '--monitoring-port', '0'];
  const files = ['--state-dir', join(directory, 'state'), '--token-key', join(directory, 'jwks.json')];
  const child = spawn(process.execPath, [PROGRAM, ...ports, ...files, ...more], { stdio: ['pipe', 'ignore', 'pipe'] });
  children.push(child);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr! })) {
    lines.push(line);
    if ((JSON.parse(line) as { message: string }).message === 'citadel is up') {
      child.stderr!.resume();
      return child;
    }
  }
  throw new Error(`citadel did not start:\n${lines.join('\n')}`);
}

it('ends with its signal and with its parent, and keeps its root', async () => {
  const first = await start('--workload-ttl', '4s');
  const root = await readFile(join(directory, 'state', 'root-cert.pem'), 'utf8');
  let exited = once(first, 'exit');
  first.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  const second = await start('--exit-with-parent');
  expect(await readFile(join(directory, 'state', 'root-cert.pem'), 'utf8')).toBe(root);
  exited = once(second, 'exit');
  second.stdin!.end();
  expect(await exited).toEqual([0, null]);
});

it('does not start with a damaged root, names the file and leaves it alone', async () => {
  const child = await start();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  const keyFile = join(directory, 'state', 'ca-key.pem');
  await writeFile(keyFile, 'damaged');
  await expect(start()).rejects.toThrow(/state\/ca-key\.pem is not a private key/);
  expect(await readFile(keyFile, 'utf8')).toBe('damaged');
});
