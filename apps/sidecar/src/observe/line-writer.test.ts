// Access log: order, bound and failures of the writer.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LineWriter } from './line-writer.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-log-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('writes lines in order and what waits when it is closed', async () => {
  const path = join(directory, 'access.log');
  const writer = new LineWriter(path, () => undefined);
  writer.write('a\n');
  await vi.waitFor(() => expect(readFileSync(path, 'utf8')).toBe('a\n'));
  writer.write('b\n');
  await writer.close();
  expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
});

it('drops and counts what does not fit', async () => {
  const path = join(directory, 'access.log');
  const writer = new LineWriter(path, () => undefined);
  const line = `${'x'.repeat(999)}\n`;
  // All in one turn of the event loop, so nothing can be written between.
  for (let count = 0; count < 3_000; count++) writer.write(line);
  expect(writer.dropped).toBeGreaterThan(0);
  await writer.close();
  expect(readFileSync(path, 'utf8').length / line.length + writer.dropped).toBe(3_000);
});

it('counts what cannot be written and says so once', async () => {
  const onError = vi.fn();
  const writer = new LineWriter(join(directory, 'none', 'access.log'), onError);
  writer.write('a\n');
  await vi.waitFor(() => expect(writer.dropped).toBe(1));
  writer.write('b\n');
  await vi.waitFor(() => expect(writer.dropped).toBe(2));
  expect(onError).toHaveBeenCalledTimes(1);
  await writer.close();
});
