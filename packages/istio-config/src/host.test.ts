// Hosts: short names, wildcards, Sidecar egress.
import { expect, test } from 'vitest';
import { compareHostSpecificity, hostMatches, hostsOverlap, resolveShortHost } from './host.js';

test.each([
  ['reviews', 'reviews.prod.svc.cluster.local'],
  ['Reviews', 'reviews.prod.svc.cluster.local'],
  ['reviews.test', 'reviews.test'],
  ['api.example.com', 'api.example.com'],
  ['*', '*'],
  ['*.example.com', '*.example.com'],
])('%s in prod is %s', (host, full) => {
  expect(resolveShortHost(host, 'prod')).toBe(full);
});

test('the domain suffix is the mesh’s', () => {
  expect(resolveShortHost('a', 'b', 'example.org')).toBe('a.b.svc.example.org');
});

test.each([
  ['*', 'a.com', true],
  ['*', '*', true],
  ['*.com', 'a.com', true],
  ['*.com', 'a.b.com', true],
  ['*.com', '*.com', true],
  ['*.com', '*.b.com', true],
  ['*.b.com', '*.com', false],
  ['*.com', 'com', false],
  ['*.com', '.com', false],
  ['A.com', 'a.COM', true],
  ['a.com', '*.com', false],
  ['a.com', 'b.com', false],
  ['*foo.com', 'barfoo.com', true],
])('pattern %s and host %s: %s', (pattern, host, expected) => {
  expect(hostMatches(pattern, host)).toBe(expected);
});

test('overlap works both ways', () => {
  expect(hostsOverlap('a.com', '*.com')).toBe(true);
  expect(hostsOverlap('*.com', 'a.com')).toBe(true);
  expect(hostsOverlap('*.com', '*.org')).toBe(false);
});

test('the more specific host sorts first', () => {
  const hosts = ['*', '*.com', 'a.b.com', '*.b.com', 'b.com'];
  expect(hosts.sort(compareHostSpecificity)).toEqual(['a.b.com', 'b.com', '*.b.com', '*.com', '*']);
});
