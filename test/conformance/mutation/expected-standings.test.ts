// Conformance, mutation: what came of fields beside what the list says of them.

import { expect, test } from 'vitest';
import { compareWithList, type Standing } from './expected-standings.js';

const tried = (field: string, noticed: boolean): Standing => ({
  kind: 'Sidecar',
  field,
  noticed,
  tried: ['group/name: left out: whatever came of it'],
});

const LIST = {
  Sidecar: {
    unseen: { 'ingress[].tls.mode=PASSTHROUGH': 'what no mode means', inboundConnectionPool: 'no matter' },
    elsewhere: { 'egress[].port.name': 'a/file' },
    warned: ['egress[].port.targetPort'],
  },
};

test.each([
  ['a field that is missed', 'egress[].hosts', true, { noticed: 1 }, undefined],
  [
    'one that nobody misses',
    'egress[].hosts',
    false,
    { unexplained: 1 },
    /^Sidecar\.egress\[\]\.hosts is set by cases/,
  ],
  ['one that cannot be', 'ingress[].tls.mode=PASSTHROUGH', false, { excused: 1 }, undefined],
  ['one below a path that cannot be', 'inboundConnectionPool.tcp.maxConnections', false, { excused: 1 }, undefined],
  ['one that is tested elsewhere', 'egress[].port.name', false, { excused: 1 }, undefined],
  ['one that is warned of', 'egress[].port.targetPort', false, { excused: 1 }, undefined],
  ['another word than the listed one', 'ingress[].tls.mode=SIMPLE', false, { unexplained: 1 }, /mode=SIMPLE/],
  [
    'one of which it is no longer true that it cannot be',
    'inboundConnectionPool.tcp.maxConnections',
    true,
    { noticed: 1, outdated: 1 },
    /stands under `unseen` \(inboundConnectionPool\), and is missed/,
  ],
])('%s', (_what, field, noticed, counts, line) => {
  const comparison = compareWithList([tried(field, noticed)], LIST);
  expect(comparison.counts).toEqual({ noticed: 0, excused: 0, unexplained: 0, outdated: 0, ...counts });
  expect(comparison.lines).toHaveLength(line === undefined ? 0 : 1);
  if (line !== undefined) expect(comparison.lines[0]).toMatch(line);
});
