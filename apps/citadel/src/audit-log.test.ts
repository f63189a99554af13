// The journal on disk: order, permissions, rotation, what a crash leaves, and how it is read again.
import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type IssuedEntry, issuedCertificates, openAuditLog, type RefusedEntry } from './audit-log.js';

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-audit-'));
  file = join(directory, 'audit.log');
});
afterEach(() => rm(directory, { recursive: true }));

const refused = (reason: string, identity?: string): RefusedEntry => ({
  event: 'refused',
  requestId: 'r',
  identity,
  code: 'X',
  peer: 'p',
  pod: undefined,
  reason,
});
const issued = (serial: string, notAfterMs: number): IssuedEntry => ({
  event: 'issued',
  requestId: 'r',
  identity: 'spiffe://cluster.local/ns/a/sa/b',
  serial,
  notBefore: new Date(0).toISOString(),
  notAfter: new Date(notAfterMs).toISOString(),
  peer: 'p',
  pod: undefined,
  renews: undefined,
  attestor: 'local-token',
  root: '0123456789abcdef',
  knownRoots: undefined,
});

async function reasons(name: string): Promise<string[]> {
  const lines = (await readFile(name, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => (JSON.parse(line) as RefusedEntry).reason);
}

async function serials(nowMs: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { serial } of issuedCertificates(file, nowMs)) found.push(serial);
  return found;
}

it('keeps the order of the calls and renames the file when it is large', async () => {
  const log = await openAuditLog(file, 500);
  await Promise.all(Array.from({ length: 8 }, (_, index) => log.write(refused(String(index), 'me'))));
  await log.write(refused('8', 'me'));
  await log.close();
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect([...(await reasons(`${file}.1`)), ...(await reasons(file))]).toEqual([...'012345678']);
});

it('is read again after a crash in the middle of a line', async () => {
  const now = Date.now();
  const first = await openAuditLog(file);
  await first.write(issued('A', now + 1000));
  await first.write(issued('B', now - 1000));
  await first.close();
  await appendFile(file, '{"event":"issued","serial":"C');
  const second = await openAuditLog(file);
  await second.write(issued('D', now + 1000));
  await second.close();
  expect(await serials(now)).toEqual(['A', 'D']);
});

it('does not let strangers flood it, and says how many it left out', async () => {
  const log = await openAuditLog(file);
  await Promise.all(Array.from({ length: 1000 }, () => log.write(refused('stranger'))));
  expect((await reasons(file)).length).toBeLessThan(300);
  await log.write(refused('known', 'me'));
  expect((await reasons(file)).at(-1)).toBe('known');
  await log.close();
});

it('has nothing to read where there is no file', async () => {
  expect(await serials(0)).toEqual([]);
});
