// The identity of a worker is the one of its proxy, from the secrets that the first process tells; who uses it hears of a new one.

import { TestAuthority } from '@lateen/identity/testing';
import { expect, it } from 'vitest';
import { secretsOf } from '../testing/mesh-identity.js';
import { ToldIdentity } from './told-identity.js';

it('has what it was told last, and says so once for each new one', async () => {
  const authority = await TestAuthority.create();
  const issue = () => authority.issue({ namespace: 'default', serviceAccount: 'a', ttlSeconds: 3600 });
  const [first, second] = [await issue(), await issue()];
  const told = new ToldIdentity();
  const heard: string[] = [];
  const leave = told.subscribe(({ serial }) => heard.push(serial));

  told.take(new Map());
  expect(told.current).toBeUndefined();
  told.take(secretsOf(first));
  told.take(secretsOf(first));
  expect(told.current).toMatchObject({ spiffeId: first.spiffeId, keyPem: first.keyPem, serial: first.serial });
  // A proxy that has a gateway's secrets alone for a moment keeps the identity that it has.
  told.take(new Map());
  told.take(secretsOf(second));
  // Trust roots of a rotation.
  told.take(secretsOf(second, second.rootsPem + first.rootsPem));
  leave();
  told.take(secretsOf(first));
  expect(told.current?.serial).toBe(first.serial);
  expect(heard).toEqual([first.serial, second.serial, second.serial]);
});
