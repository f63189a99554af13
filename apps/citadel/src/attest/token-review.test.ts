// Tokens of a cluster: whose they are is the API server's word, remembered shortly, and nobody else's.
import { createKeyAndCsr, StaticIdentity } from '@lateen/identity';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Citadel } from '../pipeline.js';
import { ClusterTest } from '../testing/running-cluster.js';
import { TokenReviewer } from './token-review.js';

let test: ClusterTest;
let citadel: Citadel;
beforeEach(async () => {
  test = await ClusterTest.create();
  citadel = await test.start('citadel-0');
});
afterEach(() => test.end());

const ask = (token: string, more: object = {}) => test.citadel.ask(citadel, { token, ...more });
const metric = (result: string) => test.citadel.metric(citadel, `citadel_token_reviews_total\\{result="${result}"\\}`);

it('takes a token of a pod, and records which pod that is', async () => {
  const token = test.token('shop', 'cart', { pod: { name: 'cart-7', uid: 'uid-7' } });
  await ask(token);
  await ask(token);
  expect(test.reviews).toBe(1);
  expect(await metric('authenticated')).toBe(1);
  const admin = test.token('istio-system', 'lateen-admin');
  const { keyPem, csrPem } = await createKeyAndCsr();
  const chain = await ask(admin, { csrPem });
  const lines = await (
    await test.citadel.adminAs(citadel, { keyPem, certChainPem: chain.join('') }, '/certificates')
  ).json();
  expect(lines).toContainEqual(
    expect.objectContaining({
      event: 'issued',
      identity: 'spiffe://cluster.local/ns/shop/sa/cart',
      attestor: 'token-review',
      pod: 'cart-7',
      podUid: 'uid-7',
    }),
  );
});

it.each([
  ['a forged token', { username: undefined }, /does not take the token: invalid bearer token/],
  ['an expired token', { exp: 1_000 }, /token has expired/],
  ['a token for another audience', { aud: 'vault' }, /for the audience "vault", not istio-ca/],
  ['a token that claims the audience, and has not got it', { audiences: ['vault'] }, /does not take the token/],
  ['a user', { username: 'jane' }, /"jane", which is no service account/],
])('refuses %s', async (_what, changes, message) => {
  const token = test.token('shop', 'cart', changes as never);
  if ('username' in changes && changes.username === undefined) test.tokens.delete(token);
  await expect(ask(token)).rejects.toThrow(message);
  await expect(ask(token)).rejects.toThrow('UNAUTHENTICATED');
  expect(await test.citadel.metric(citadel, 'citadel_server_success_cert_issuance_count')).toBe(0);
});

it('does not ask the API server about what cannot be a token for it', async () => {
  await expect(ask('nonsense')).rejects.toThrow(/UNAUTHENTICATED/);
  await expect(ask(test.token('shop', 'cart', { exp: 1 }))).rejects.toThrow(/UNAUTHENTICATED/);
  expect(test.reviews).toBe(0);
});

it('does not certify a pod as another service account', async () => {
  const { csrPem } = await createKeyAndCsr({ spiffeId: 'spiffe://cluster.local/ns/shop/sa/till' as never });
  await expect(ask(test.token('shop', 'cart'), { csrPem })).rejects.toThrow(
    /sa\/cart may not ask for a certificate of .*sa\/till/,
  );
});

it('says that the API server is away, and renews by certificate meanwhile', async () => {
  const identity = await test.citadel.identityBy(citadel, test.token('shop', 'cart'));
  await test.api.stop();
  const token = test.token('shop', 'cart');
  await expect(ask(token)).rejects.toThrow(/UNAVAILABLE.*attestor token-review.*renewed by showing it/s);
  const chain = await test.citadel.ask(citadel, { client: new StaticIdentity(identity).current });
  expect(chain[0]).toContain('BEGIN CERTIFICATE');
});

it('remembers an answer for seconds, and never beyond the end of the token', async () => {
  let nowMs = Date.now();
  const reviewer = new TokenReviewer({ client: test.api.client(), audience: 'istio-ca', nowMs: () => nowMs });
  const token = test.token('shop', 'cart', { exp: Math.floor(nowMs / 1000) + 14 });
  await reviewer.attest(token);
  nowMs += 9_000;
  await reviewer.attest(token);
  expect(test.reviews).toBe(1);
  nowMs += 2_000;
  test.tokens.delete(token); // the pod is gone
  await expect(reviewer.attest(token)).rejects.toThrow(/invalid bearer token/);
  expect(test.reviews).toBe(2);
  const other = test.token('shop', 'cart', { exp: Math.floor(nowMs / 1000) + 4 });
  await reviewer.attest(other);
  nowMs += 5_000;
  await expect(reviewer.attest(other)).rejects.toThrow(/has expired/);
});
