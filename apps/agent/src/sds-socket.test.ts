// The socket: what is in its way is removed where it is stale, and named where it is not.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSdsService } from '@lateen/xds-stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSdsSocket } from './sds-socket.js';

const service = () =>
  createSdsService({
    authorize: () => undefined,
    source: { open: () => ({ current: () => undefined, close: () => undefined }) },
  });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-socket-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('the directory is made, a second process is refused, and nothing is left behind', async () => {
  const path = join(directory, 'made', 'sds.sock');
  const socket = await openSdsSocket(path, service());
  expect(statSync(join(directory, 'made')).mode & 0o777).toBe(0o700);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await expect(openSdsSocket(path, service())).rejects.toThrow('another process serves at');
  await socket.close();
  expect(existsSync(path)).toBe(false);
});

test('what a killed process left behind is removed', async () => {
  const path = join(directory, 'sds.sock');
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', program], { stdio: 'ignore' }), 'exit');
  expect(statSync(path).isSocket()).toBe(true);
  await (await openSdsSocket(path, service())).close();
});

test('a file, a directory that is open to others and a path that is too long are named', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, 'something');
  await expect(openSdsSocket(file, service())).rejects.toThrow(`${file} is there already and no socket`);
  const open = join(directory, 'open');
  mkdirSync(open);
  chmodSync(open, 0o755);
  await expect(openSdsSocket(join(open, 's'), service())).rejects.toThrow(`${open} is open to others (mode 755)`);
  await expect(openSdsSocket(join(directory, 'x'.repeat(100)), service())).rejects.toThrow('choose a shorter one');
});
