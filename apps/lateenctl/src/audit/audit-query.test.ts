// Which audit records a question is about, and in which order files are read.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { AuditRecord } from '@lateen/telemetry/audit/chain.js';
import { expect, it } from 'vitest';
import { withOlderFiles } from './audit-files.js';
import { compileQuery, type QueryOptions, rowOf } from './audit-query.js';

const NOW = Date.parse('2026-11-23T18:00:00Z');
const RECORD = {
  type: 'request',
  time: '2026-11-23T17:55:00.000Z',
  principal: 'spiffe://cluster.local/ns/a/sa/b',
  subject: 'ann',
  path: '/new',
  original_path: '/old?x',
  decision: 'denied',
  policy: 'ns[a]-policy[p]-rule[0]',
} as unknown as AuditRecord;

it.each<[QueryOptions, boolean]>([
  [{}, true],
  [{ principal: 'spiffe://cluster.local/ns/a/sa/b' }, true],
  [{ principal: '*/sa/b' }, true],
  [{ principal: '*/sa/' }, false],
  [{ principal: 'spiffe:..cluster.local/ns/a/sa/b' }, false],
  [{ subject: 'a*' }, true],
  [{ subject: 'b*' }, false],
  [{ path: '/new' }, true],
  [{ path: '/old*' }, true],
  [{ path: '/old?x' }, true],
  [{ path: '/o' }, false],
  [{ decision: 'denied' }, true],
  [{ decision: 'allowed' }, false],
  [{ since: '10m' }, true],
  [{ since: '1m' }, false],
  [{ since: '2026-11-23T17:55:00Z' }, true],
])('%j', (options, wanted) => {
  expect(compileQuery(options, NOW)(RECORD)).toBe(wanted);
  expect(compileQuery(options, NOW)({ ...RECORD, type: 'checkpoint' } as AuditRecord)).toBe(false);
});

it.each([
  [{ decision: 'maybe' }, '--decision maybe'],
  [{ since: 'yesterday' }, '--since yesterday'],
])('%j is refused', (options, message) => {
  expect(() => compileQuery(options, NOW)).toThrow(message);
});

it('shows nothing that commands a terminal', () => {
  const row = rowOf({ ...RECORD, path: '/\u001b[2J\u009b\n' } as AuditRecord, undefined);
  expect(row).toContain('/\\u001b[2J\\u009b\\n');
  expect(row.at(-1)).toBe('denied by ns[a]-policy[p]-rule[0]');
});

it('reads files that were put aside first, the oldest first, and those of workers behind them', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-audit-files-'));
  try {
    const worker = ['audit.log.worker-1', 'audit.log.worker-1.20261121T180000000Z'];
    const names = ['audit.log.20261123T180000001Z', 'audit.log.20261122T180000000Z', 'audit.log', 'audit.log.bak'];
    for (const name of [...names, ...worker]) writeFileSync(join(directory, name), '');
    const found = withOlderFiles([join(directory, 'audit.log')]).map((file) => basename(file));
    const own = ['audit.log.20261122T180000000Z', 'audit.log.20261123T180000001Z', 'audit.log'];
    expect(found).toEqual([...own, ...worker.reverse()]);
    expect(() => withOlderFiles([join(directory, 'none')])).toThrow('no such file');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
