// Connection records: many, long ones too, told apart when they come back, and refused where they do not fit.
import { describe, expect, it } from 'vitest';
import type { ConnectionDescription } from './connection-records.js';
import * as L from './layout.js';
import { createTestCore } from './reference/test-core.js';

const { core, int } = createTestCore();
const describeConnection = (xfcc = ''): ConnectionDescription => ({
  remoteAddress: '127.0.0.1',
  tls: true,
  mutualTls: xfcc !== '',
  xfcc,
});
const xfccOf = (record: number) =>
  core.text(int(record + L.CONNECTION_XFCC_OFFSET), int(record + L.CONNECTION_XFCC_LENGTH));

describe('connection records', () => {
  it('take the longest names of Kubernetes', () => {
    const id = `spiffe://${'t'.repeat(253)}/ns/${'n'.repeat(63)}/sa/${'s'.repeat(253)}`;
    const xfcc = `By=${id};Hash=${'0'.repeat(64)};Subject="";URI=${id}`;
    const record = core.connections.create(describeConnection(xfcc));
    expect(xfccOf(record)).toBe(xfcc);
    core.connections.release(record);
    expect(() => core.connections.release(record)).toThrow('not a slot in use');
  });

  it('take a certificate, and a chain of them', () => {
    for (const length of [2_000, 12_000]) {
      const xfcc = `By=a;Chain="${'x'.repeat(length)}"`;
      const record = core.connections.create(describeConnection(xfcc));
      expect(xfccOf(record)).toBe(xfcc);
      core.connections.release(record);
      expect(() => core.connections.release(record)).toThrow('not a slot in use');
    }
  });

  it('are refused where they do not fit', () => {
    expect(core.connections.create(describeConnection('x'.repeat(L.LONGEST_CONNECTION_RECORD_BYTES)))).toBe(0);
  });

  it('are there for as many connections as a proxy has, and not for more', () => {
    const records = Array.from({ length: L.CONNECTION_RECORD_COUNT }, () =>
      core.connections.create(describeConnection('By=a')),
    );
    expect(new Set(records).size).toBe(L.CONNECTION_RECORD_COUNT);
    expect(records).not.toContain(0);
    expect(core.connections.create(describeConnection())).toBe(0);
    core.connections.release(records[5]!);
    expect(core.connections.create(describeConnection())).toBe(records[5]);
  });
});
