// Checks of a cluster: what is made of versions, clocks and roots.

import { createRootCertificate } from '@lateen/identity/authority';
import { describe, expect, test } from 'vitest';
import { bundleFindings } from './installed.js';
import { clockFindings, versionFinding } from './preflight.js';

describe('the version', () => {
  test.each<[string, string, string]>([
    ['28', 'v1.28.0', 'ok'],
    ['31+', 'v1.31.2-provider.1', 'ok'],
    ['27', 'v1.27.9', 'error'],
    ['x', 'v1.x', 'warning'],
  ])('1.%s (%s) is %s', (minor, gitVersion, level) => {
    expect(versionFinding({ major: '1', minor, gitVersion })).toMatchObject({
      level,
      message: expect.stringContaining(gitVersion),
    });
  });
});

describe('clocks', () => {
  const at = Date.parse('2026-01-01T00:00:30Z');
  const header = (ms: number) => new Date(ms).toUTCString();

  test.each<[string, string | undefined, number, number, string | undefined]>([
    ['agree within the second', header(at), at, at + 999, 'ok'],
    ['agree though the answer took long', header(at + 20_000), at, at + 21_000, 'ok'],
    ['differ: the server is ahead', header(at + 10_000), at, at + 100, 'warning'],
    ['differ: the server is behind', header(at - 10_000), at, at + 100, 'warning'],
    ['differ by minutes', header(at - 300_000), at, at + 100, 'error'],
    ['are not told', undefined, at, at + 100, undefined],
  ])('%s', (_what, date, asked, answered, level) => {
    expect(clockFindings(date, asked, answered).map((finding) => finding.level)).toEqual(
      level === undefined ? [] : [level],
    );
  });
});

describe('roots', () => {
  const DAY = 86_400_000;
  const now = Date.parse('2026-01-01T00:00:00Z');
  const root = async (days: number) => {
    const ttlSeconds = days * 86_400;
    return (await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds, now: new Date(now) })).certPem;
  };

  test.each<[string, number[], number, string, RegExp]>([
    ['one that lasts', [3650], 0, 'ok', /^one root, to 2035-12-30/],
    ['one that ends soon', [20], 0, 'warning', /expires in 20 days/],
    ['two in a rotation: the later counts', [1, 400], 0, 'ok', /^2 roots, to 2027/],
    ['one that has ended', [20], 21 * DAY, 'error', /has expired/],
    ['none', [], 0, 'error', /has no certificate/],
  ])('%s', async (_what, lives, laterMs, level, message) => {
    const pem = (await Promise.all(lives.map(root))).join('\n');
    expect(bundleFindings(pem, now + laterMs)).toEqual([
      { level, check: 'root', message: expect.stringMatching(message) },
    ]);
  });
});
