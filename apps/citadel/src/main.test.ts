// Citadel as a process (the built program): starts, ends when it should, and refuses a damaged root by name.
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CitadelProcesses } from './testing/citadel-process.js';
import { CitadelTest } from './testing/running-citadel.js';

let test: CitadelTest;
let processes: CitadelProcesses;
beforeEach(async () => {
  test = await CitadelTest.create();
  processes = new CitadelProcesses(['--state-dir', test.stateDir, '--token-key', join(test.directory, 'jwks.json')]);
});
afterEach(async () => {
  await processes.end();
  await test.end();
});

it('ends with its signal and with its parent, keeps its root, and has its state directory alone', async () => {
  const first = await processes.start(['--workload-ttl', '4s']);
  const root = await readFile(join(test.stateDir, 'root-cert.pem'), 'utf8');
  await expect(processes.start()).rejects.toThrow(`is in use by the process ${first.child.pid}`);
  let exited = once(first.child, 'exit');
  first.child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  const second = await processes.start(['--exit-with-parent']);
  expect(await readFile(join(test.stateDir, 'root-cert.pem'), 'utf8')).toBe(root);
  exited = once(second.child, 'exit');
  second.child.stdin!.end();
  expect(await exited).toEqual([0, null]);
});

it('does not start with a damaged root, names the file and leaves it alone', async () => {
  const { child } = await processes.start();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  const [id] = await readdir(join(test.stateDir, 'roots'));
  const keyFile = join(test.stateDir, 'roots', id!, 'key.pem');
  await writeFile(keyFile, 'damaged');
  await expect(processes.start()).rejects.toThrow(/key\.pem is not a private key/);
  expect(await readFile(keyFile, 'utf8')).toBe('damaged');
});
