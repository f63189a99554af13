// Host files: every way in which a file comes to have another content.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { FileWatch } from './file-watch.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-watch-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function follow(file: string, directory?: string) {
  const onChange = vi.fn();
  const watch = new FileWatch({ files: [file], directory, onChange });
  cleanups.push(() => watch.close());
  return onChange;
}

const called = (onChange: ReturnType<typeof follow>, times: number) =>
  vi.waitFor(() => expect(onChange.mock.calls.length).toBeGreaterThanOrEqual(times), { timeout: 10_000 });

test('a file that is moved into place, rewritten, removed and written again', async () => {
  const directory = temporary();
  const file = join(directory, 'lds.yaml');
  writeFileSync(file, '1');
  const onChange = follow(file);
  writeFileSync(join(directory, 'new'), '2');
  renameSync(join(directory, 'new'), file);
  await called(onChange, 1);
  writeFileSync(file, '34');
  await called(onChange, 2);
  rmSync(file);
  await called(onChange, 3);
  writeFileSync(file, '5');
  await called(onChange, 4);
});

test('a mounted ConfigMap: the link of the directory is swapped', async () => {
  const mount = temporary();
  const version = (name: string, content: string) => {
    mkdirSync(join(mount, name));
    writeFileSync(join(mount, name, 'lds.yaml'), content);
    symlinkSync(name, join(mount, '..data_tmp'));
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
  };
  version('..2026_1', 'a');
  const file = join(mount, 'lds.yaml');
  symlinkSync(join('..data', 'lds.yaml'), file);
  const onChange = follow(file);
  version('..2026_2', 'b');
  rmSync(join(mount, '..2026_1'), { recursive: true });
  await called(onChange, 1);
  // The new directory is followed as well as the old one was.
  writeFileSync(join(mount, '..2026_2', 'lds.yaml'), 'rewritten');
  await called(onChange, 2);
  version('..2026_3', 'c');
  await called(onChange, 3);
});

test('a watched directory tells of files elsewhere', async () => {
  const [files, watched] = [temporary(), temporary()];
  writeFileSync(join(files, 'a'), '1');
  symlinkSync(join(files, 'a'), join(watched, 'current'));
  const onChange = follow(join(watched, 'current'), watched);
  writeFileSync(join(files, 'b'), '2');
  symlinkSync(join(files, 'b'), join(watched, 'next'));
  renameSync(join(watched, 'next'), join(watched, 'current'));
  await called(onChange, 1);
});

test('what happens to other files of the directory is no change', async () => {
  const directory = temporary();
  const file = join(directory, 'lds.yaml');
  writeFileSync(file, '1');
  const onChange = follow(file);
  writeFileSync(join(directory, 'other'), '2');
  writeFileSync(file, '3');
  await called(onChange, 1);
  expect(onChange).toHaveBeenCalledTimes(1);
});

test('a link that leads to itself is a change as well, and so is its repair', async () => {
  const directory = temporary();
  const file = join(directory, 'lds.yaml');
  writeFileSync(file, '1');
  const onChange = follow(file);
  symlinkSync('lds.yaml', join(directory, 'next'));
  renameSync(join(directory, 'next'), file);
  await called(onChange, 1);
  writeFileSync(join(directory, 'repaired'), '2');
  renameSync(join(directory, 'repaired'), file);
  await called(onChange, 2);
});
