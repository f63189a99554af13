// Issuance, client side: who waits for the first identity is told, also when it comes from the files.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { TestAuthority } from '../test-authority.js';
import { CertificateClient } from './certificate-client.js';
import { storeIdentity } from './identity-directory.js';

const directory = mkdtempSync(join(tmpdir(), 'lateen-certificate-client-'));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a stored certificate is told to those who subscribed before it was read', async () => {
  const authority = await TestAuthority.create();
  const stored = await authority.issue({ namespace: 'default', serviceAccount: 'reviews' });
  const rootCertFile = join(directory, 'trust', 'root-cert.pem');
  await storeIdentity(directory, stored);
  await storeIdentity(join(directory, 'trust'), stored);
  writeFileSync(join(directory, 'token'), 'not needed: Citadel is away');
  const client = new CertificateClient({
    citadelAddress: '127.0.0.1:1',
    tokenFile: join(directory, 'token'),
    rootCertFile,
    directory,
    trustDomain: 'cluster.local',
  });
  const told: string[] = [];
  client.subscribe((identity) => told.push(identity.serial));
  try {
    await client.start();
    expect(told).toEqual([stored.serial]);
  } finally {
    await client.stop();
  }
});
