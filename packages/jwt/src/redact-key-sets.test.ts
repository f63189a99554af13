// What is shown of key sets: nothing that signs.

import { expect, it } from 'vitest';
import { redactKeySet, redactKeySets } from './redact-key-sets.js';

it('shows public parts of keys alone', () => {
  const keys = [
    { kty: 'oct', kid: 'h', k: 'c2VjcmV0' },
    { kty: 'RSA', n: 'n', e: 'AQAB', d: 'x', p: 'x', q: 'x', dp: 'x', dq: 'x', qi: 'x', oth: [{ r: 'x' }] },
    { kty: 'EC', crv: 'P-256', x: '1', y: '2', d: 'x' },
  ];
  const hidden = '[redacted]';
  expect(JSON.parse(redactKeySet(JSON.stringify({ keys })))).toEqual({
    keys: [
      { kty: 'oct', kid: 'h', k: hidden },
      {
        kty: 'RSA',
        n: 'n',
        e: 'AQAB',
        d: hidden,
        p: hidden,
        q: hidden,
        dp: hidden,
        dq: hidden,
        qi: hidden,
        oth: hidden,
      },
      { kty: 'EC', crv: 'P-256', x: '1', y: '2', d: hidden },
    ],
  });
  expect(redactKeySet('{"k":')).toBe(hidden);
});

it('finds key sets in a configuration', () => {
  const inline_string = '{"keys":[{"k":"c2VjcmV0"}]}';
  const inline_bytes = Buffer.from(inline_string).toString('base64');
  const shown = JSON.stringify(
    redactKeySets({
      filters: [{ providers: { a: { local_jwks: { inline_string } }, b: { local_jwks: { inline_bytes } } } }],
    }),
  );
  expect(shown).not.toContain('c2VjcmV0');
  expect(shown).not.toContain(inline_bytes);
  expect(redactKeySets({ local_jwks: { filename: '/keys.json' } })).toEqual({ local_jwks: { filename: '/keys.json' } });
});
