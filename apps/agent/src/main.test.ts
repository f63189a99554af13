// The agent as a process (the built program): ends when it should, and writes no key anywhere but where keys are kept.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestAuthority } from '@lateen/identity/testing';
import { startTestCitadel } from '@lateen/identity/testing/citadel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectSds, SotwStream } from './testing/sds-client.js';

const PROGRAM = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const patience = { timeout: 20_000, interval: 20 };

let directory: string;
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-agent-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(directory, { recursive: true, force: true });
});

function run(...flags: string[]): { readonly child: ChildProcess; readonly output: () => string } {
  const files = ['--token-file', join(directory, 'token'), '--root-cert', join(directory, 'roots.pem')];
  const state = ['--state-dir', join(directory, 'state'), '--monitoring-port', '0', '--log-level', 'trace'];
  const child = spawn(process.execPath, [PROGRAM, ...files, ...state, ...flags], { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  cleanups.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  return { child, output: () => output };
}

test('serves, keeps the key to itself, and ends with its signal and with its parent', async () => {
  const authority = await TestAuthority.create();
  const citadel = await startTestCitadel(authority, { namespace: 'default', serviceAccount: 'web', ttlSeconds: 3600 });
  cleanups.push(() => citadel.stop());
  writeFileSync(join(directory, 'token'), 'a.secret.token');
  writeFileSync(join(directory, 'roots.pem'), authority.rootsPem);
  const address = ['--citadel-address', `127.0.0.1:${citadel.port}`];
  const socketPath = join(directory, 'state', 'sds.sock');

  const first = run(...address);
  await vi.waitFor(() => expect(first.output()).toContain('agent is up'), patience);
  expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  const proxy = connectSds(socketPath);
  cleanups.push(() => proxy.close());
  const [certificate] = await new SotwStream(proxy, ['default']).next();
  await vi.waitFor(() => expect(first.output()).toContain('secrets accepted'), patience);
  let ended = once(first.child, 'exit');
  first.child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  const keyLine = certificate?.privateKey?.split('\n')[1] ?? '';
  expect(keyLine.length).toBeGreaterThan(40);
  for (const secret of [keyLine, 'PRIVATE KEY', 'a.secret.token']) expect(first.output()).not.toContain(secret);

  const second = run(...address, '--exit-with-parent');
  await vi.waitFor(() => expect(second.output()).toContain('agent is up'), patience);
  ended = once(second.child, 'exit');
  second.child.stdin!.end();
  expect(await ended).toEqual([0, null]);
});

test('a socket that cannot be had is the end, with the reason', async () => {
  const { child, output } = run('--citadel-address', '127.0.0.1:1', '--sds-socket', join(directory, 'x'.repeat(100)));
  expect(await once(child, 'exit')).toEqual([1, null]);
  expect(output()).toContain('choose a shorter one');
});
