// Formats of strings.
import { expect, test } from 'vitest';
import { dnsNameFault, headerName, isIpOrCidr, labelNameFault, labelValue, wildcardNameFault } from './formats.js';
import { regexFault } from './regex.js';
import { nearestWord } from './suggest.js';

test.each(['a', 'a.b', 'a-b.c', 'A.B', 'a.', 'x'.repeat(63), 'xn--bcher-kva.example'])('%s is a DNS name', (name) => {
  expect(dnsNameFault(name)).toBeUndefined();
});

test.each(['', '.', 'a..b', '-a', 'a-', 'a_b', 'a b', 'x'.repeat(64), `${'a.'.repeat(200)}a`, 'a/b'])(
  '%j is no DNS name',
  (name) => {
    expect(dnsNameFault(name)).toBeDefined();
  },
);

test.each([
  ['*', true],
  ['*.a', true],
  ['*a.b', true],
  ['*-a.b', true],
  ['**', false],
  ['a.*', false],
  ['*.', false],
  ['*..a', false],
])('wildcard %s: %s', (name, good) => {
  expect(wildcardNameFault(name) === undefined).toBe(good);
});

test.each([
  ['10.0.0.1', true],
  ['10.0.0.0/8', true],
  ['2001:db8::/32', true],
  ['::1', true],
  ['10.0.0.0/33', false],
  ['10.0.0.0/', false],
  ['10.0.0/8', false],
  ['10.0.0.0/8/8', false],
])('subnet %s: %s', (text, good) => {
  expect(isIpOrCidr(text)).toBe(good);
});

test.each([
  ['x-user', true],
  ['X_user.1', true],
  [':path', false],
  ['a b', false],
  ['a:b', false],
  ['', false],
  ['ä', false],
])('header name %j: %s', (name, good) => {
  expect(headerName(name) === undefined).toBe(good);
});

test.each([
  ['app', true],
  ['app.kubernetes.io/name', true],
  ['a/b/c', false],
  ['/a', false],
  ['a/', false],
  ['-a', false],
])('label name %j: %s', (name, good) => {
  expect(labelNameFault(name) === undefined).toBe(good);
});

test('label values may be empty', () => {
  expect(labelValue('')).toBeUndefined();
  expect(labelValue('a b')).toBeDefined();
});

test.each([
  '/a.*',
  '(?i)abc',
  '(?P<name>a)',
  '[[:alpha:]]+',
  String.raw`\d{1,3}\.\d`,
  String.raw`\pL`,
  String.raw`\x{41}`,
  String.raw`\Aa\z`,
  String.raw`a\-b\_c\"`,
  '[a-z(?=]',
  'a{1000}',
  '',
])('%j is a regular expression of RE2', (source) => {
  expect(regexFault(source)).toBeUndefined();
});

test.each(['(?=a)', '(?<!a)', '(?>a)', String.raw`(a)\1`, String.raw`\k<a>`, '(', 'a{1001}', '*a', '[a', 'a{2,1}'])(
  '%j is none',
  (source) => {
    expect(regexFault(source)).toBeDefined();
  },
);

test.each([
  ['hots', 'host'],
  ['HOST', 'host'],
  ['max_connections', 'maxConnections'],
  ['subet', 'subset'],
  ['zzz', undefined],
  ['', undefined],
])('%s is probably %s', (written, meant) => {
  expect(nearestWord(written, ['host', 'hosts2', 'subset', 'maxConnections'])).toBe(meant);
});
