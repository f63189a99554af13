// What is taken out of a report, and what stays.
import { expect, test } from 'vitest';
import { redactText, redactValue } from './redact.js';

test('fields that hold secrets keep their names only', () => {
  expect(
    redactValue({
      kind: 'Secret',
      data: { 'tls.key': 'a2V5' },
      stringData: { password: 'x' },
      metadata: { name: 'a', managedFields: [{}] },
    }),
  ).toEqual({
    kind: 'Secret',
    data: { 'tls.key': '[redacted]' },
    stringData: { password: '[redacted]' },
    metadata: { name: 'a' },
  });
  const dump = { tls_certificate: { private_key: { inline_bytes: 'a2V5' }, certificate_chain: { filename: 'c.pem' } } };
  expect(redactValue(dump)).toEqual({
    tls_certificate: { private_key: { inline_bytes: '[redacted]' }, certificate_chain: { filename: 'c.pem' } },
  });
  const env = [
    { name: 'API_KEY', value: 'v' },
    { name: 'MONKEY', value: 'v' },
  ];
  expect(redactValue(env)).toEqual(
    [env[0], env[1]].map((each, i) => (i === 0 ? { ...each, value: '[redacted]' } : each)),
  );
  expect(redactValue({ kind: 'ConfigMap', data: { mesh: 'x' } })).toEqual({ kind: 'ConfigMap', data: { mesh: 'x' } });
});

test.each([
  ['-----BEGIN EC PRIVATE KEY-----\nMIIabc\n', '[private key redacted]'],
  ['AAAABBBBCCCC\nDDDDEEEEFFFF\n-----END PRIVATE KEY-----', '[private key redacted]'],
  ['{"client_secret":"abcdefgh"}', '{"client_secret":"[redacted]"}'],
  ['Authorization: Basic dXNlcjpwYXNz', 'Authorization: Basic [redacted]'],
  ['-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----', undefined],
  [Buffer.from('-----BEGIN CERTIFICATE-----\nMIIabc\n').toString('base64'), undefined],
  ['secretName: web-cert, the token file is /var/run/secrets/tokens/istio-token', undefined],
  ['routes took effect at reviews.default:9080 in 12 ms', undefined],
])('%j', (text, expected) => {
  expect(redactText(text)).toBe(expected ?? text);
});
