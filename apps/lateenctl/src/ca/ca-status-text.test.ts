// What `lateenctl ca` shows.

import type { AuthorityStatus } from '@lateen/telemetry';
import { expect, it } from 'vitest';
import { statusText, stepText } from './ca-status-text.js';

const root = (id: string) => ({
  id,
  subject: 'O=cluster.local',
  key: 'ECDSA P-256',
  notBefore: '2026-01-01T00:00:00.000Z',
  notAfter: '2036-01-01T00:00:00.000Z',
});
const quiet: AuthorityStatus = { source: 'own root', encrypted: true, signing: root('aa'), roots: [root('aa')] };
const rotating: AuthorityStatus = {
  ...quiet,
  roots: [root('aa'), root('bb')],
  rotation: {
    step: 'distribute',
    from: 'aa',
    to: 'bb',
    graceSeconds: 3600,
    requestedBy: 'spiffe://cluster.local/ns/istio-system/sa/lateen-admin',
    startedAt: '2026-02-01T00:00:00.000Z',
    stepSince: '2026-02-01T00:00:00.000Z',
  },
  waitingFor: { count: 2, names: ['spiffe://cluster.local/ns/a/sa/b (b-0)', 'spiffe://cluster.local/ns/a/sa/c'] },
};

it('shows what signs, and that no rotation was ever begun', () => {
  expect(statusText(quiet, 0)).toBe(`source:  own root, key encrypted at rest
signing: aa  ECDSA P-256  O=cluster.local  until 2036-01-01T00:00:00.000Z

ROOT   ROLE    KEY           FROM                       UNTIL
aa     signs   ECDSA P-256   2026-01-01T00:00:00.000Z   2036-01-01T00:00:00.000Z

rotation: none`);
});

it('shows each step of a rotation and whom it waits for', () => {
  const text = statusText(rotating, Date.parse('2026-02-01T00:01:00.000Z'));
  expect(text.split('\n').slice(4)).toEqual([
    'aa     signs                ECDSA P-256   2026-01-01T00:00:00.000Z   2036-01-01T00:00:00.000Z',
    'bb     trusted, will sign   ECDSA P-256   2026-01-01T00:00:00.000Z   2036-01-01T00:00:00.000Z',
    '',
    'rotation: aa -> bb, asked for by spiffe://cluster.local/ns/istio-system/sa/lateen-admin, grace 3600s a step',
    '',
    '    STEP         STATE                  MEANING',
    '1   make         done                   a new root is made',
    '2   distribute   for 60s, waits for 2   both roots are trusted, the old one signs',
    '3   issue        to come                both roots are trusted, the new one signs',
    '4   remove       to come                the old root is taken away',
    '',
    'waits for:',
    '  spiffe://cluster.local/ns/a/sa/b (b-0)',
    '  spiffe://cluster.local/ns/a/sa/c',
  ]);
  expect(stepText(rotating)).toBe('step 2 of 4, distribute: both roots are trusted, the old one signs; waits for 2');
});

it('shows how the last rotation ended', () => {
  const times = { startedAt: '2026-02-01T00:00:00.000Z', endedAt: '2026-02-01T00:02:00.000Z' };
  const last = { outcome: 'completed' as const, from: 'aa', to: 'bb', requestedBy: 'admin', ...times };
  expect(
    statusText({ ...quiet, last }, 0)
      .split('\n')
      .at(-1),
  ).toBe('rotation: none; the last one, aa -> bb, was completed at 2026-02-01T00:02:00.000Z');
  expect(stepText({ ...quiet, last })).toBe('rotation of the root completed');
});
