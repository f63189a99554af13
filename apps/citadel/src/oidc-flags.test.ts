// Several issuers on the command line: each with its own audience and keys, or an error that says what does not fit.
import { expect, it } from 'vitest';
import { oidcOptions } from './oidc-flags.js';

it('gives each issuer what belongs to it', () => {
  expect(oidcOptions([], [], [])).toEqual([]);
  expect(oidcOptions(['https://a', 'https://b'], [], [])).toEqual([
    { issuer: 'https://a', audience: 'istio-ca', jwksUri: undefined },
    { issuer: 'https://b', audience: 'istio-ca', jwksUri: undefined },
  ]);
  expect(oidcOptions(['https://a', 'https://b'], ['x'], ['', 'https://b/keys'])).toEqual([
    { issuer: 'https://a', audience: 'x', jwksUri: undefined },
    { issuer: 'https://b', audience: 'x', jwksUri: 'https://b/keys' },
  ]);
  expect(oidcOptions(['https://a', 'https://b'], ['x', 'y'], []).map(({ audience }) => audience)).toEqual(['x', 'y']);
});

it('refuses numbers that do not fit', () => {
  expect(() => oidcOptions(['https://a', 'https://a'], [], [])).toThrow('https://a is given twice');
  expect(() => oidcOptions(['https://a'], ['x', 'y'], [])).toThrow('2 times for 1 issuers');
  expect(() => oidcOptions(['https://a', 'https://b'], [], ['https://a/keys'])).toThrow(
    '--oidc-jwks-uri is given 1 times',
  );
});
