// Audit: order, privacy and size of the log.
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openAuditLog } from './audit-log.js';

it('keeps the order, is private, and starts a new file above its size', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lateen-audit-'));
  const file = join(directory, 'audit.log');
  const log = await openAuditLog(file, 500);
  const entry = { event: 'refused', identity: undefined, code: 'X', peer: 'p', pod: undefined } as const;
  await Promise.all(Array.from({ length: 10 }, (_, index) => log.write({ ...entry, reason: `r${index}` })));
  await log.close();
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const text = (await readFile(`${file}.1`, 'utf8')) + (await readFile(file, 'utf8'));
  expect([...text.matchAll(/"reason":"(r\d)"/g)].map(([, reason]) => reason)).toEqual(
    Array.from({ length: 10 }, (_, index) => `r${index}`),
  );
  await rm(directory, { recursive: true });
});
