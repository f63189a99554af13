// A new root for a running mesh: who holds certificates follows, nobody is cut off, and who does not follow is waited for.
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { CertificateClient, readCertificates, rootIdsOf, verifiedPeer, type WorkloadIdentity } from '@lateen/identity';
import { createRootCertificate } from '@lateen/identity/authority';
import type { AuthorityStatus } from '@lateen/telemetry';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Citadel } from '../pipeline.js';
import { CitadelTest } from '../testing/running-citadel.js';

let test: CitadelTest;
beforeEach(async () => {
  test = await CitadelTest.create();
});
afterEach(() => test.end());

const life = (seconds: number) => ({
  workloadTtl: { defaultSeconds: seconds, minSeconds: 1, maxSeconds: seconds },
  rotationSettleMs: 300,
});

async function client(citadel: Citadel, serviceAccount: string): Promise<CertificateClient> {
  const directory = join(test.directory, serviceAccount);
  await mkdir(directory);
  await writeFile(join(directory, 'token'), await test.token({ namespace: 'a', serviceAccount }));
  const created = new CertificateClient({
    citadelAddress: `127.0.0.1:${citadel.ports.grpc}`,
    tokenFile: join(directory, 'token'),
    rootCertFile: join(test.stateDir, 'root-cert.pem'),
    directory,
    trustDomain: 'cluster.local',
  });
  test.closers.push(() => created.stop());
  await created.ready();
  return created;
}

async function status(citadel: Citadel): Promise<AuthorityStatus> {
  return (await (await test.admin(citadel, '/ca/status')).json()) as AuthorityStatus;
}

/** One mutual handshake; what either side has against the other. */
async function handshake(server: WorkloadIdentity, from: WorkloadIdentity): Promise<string | undefined> {
  const tls = createTlsServer({
    key: server.keyPem,
    cert: server.certChainPem,
    ca: server.rootsPem,
    requestCert: true,
    rejectUnauthorized: true,
  });
  tls.listen(0, '127.0.0.1');
  await once(tls, 'listening');
  const socket = connect({
    host: '127.0.0.1',
    port: (tls.address() as AddressInfo).port,
    key: from.keyPem,
    cert: from.certChainPem,
    ca: from.rootsPem,
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => undefined);
  try {
    return await new Promise<string | undefined>((resolve) => {
      socket.once('error', (error) => resolve(`client: ${error.message}`));
      tls.once('tlsClientError', (error) => resolve(`server: ${error.message}`));
      tls.once('secureConnection', (accepted: TLSSocket) => {
        accepted.on('error', () => undefined);
        verifiedPeer(accepted);
        resolve(undefined);
      });
    });
  } finally {
    socket.destroy();
    tls.close();
  }
}

it('replaces the root while holders of certificates follow, and refuses who stayed with the old one', async () => {
  const citadel = await test.start(life(6));
  const [one, two] = [await client(citadel, 'one'), await client(citadel, 'two')];
  const before = one.current!;
  const oldRoot = rootIdsOf(citadel.bundlePem())[0]!;
  const failures: string[] = [];
  const begun = await test.admin(citadel, '/ca/rotate-root?graceSeconds=60', { method: 'POST' });
  expect(begun.status).toBe(200);
  const { rotation } = (await begun.json()) as AuthorityStatus;
  expect(rotation).toMatchObject({ step: 'distribute', from: oldRoot, graceSeconds: 60 });
  expect(rotation!.requestedBy).toContain('lateen-admin');
  const again = await test.admin(citadel, '/ca/rotate-root?graceSeconds=60', { method: 'POST' });
  expect(again.status).toBe(409);
  await expect
    .poll(
      async () => {
        failures.push(...[await handshake(one.current!, two.current!)].filter((each) => each !== undefined));
        return rootIdsOf(citadel.bundlePem()).join();
      },
      { timeout: 30_000, interval: 50 },
    )
    .toBe(rotation!.to);
  expect(failures).toEqual([]);
  await expect.poll(() => rootIdsOf(one.current!.rootsPem).join(), { timeout: 10_000 }).toBe(rotation!.to);
  expect(readCertificates(one.current!.certChainPem).length).toBe(2);
  expect(rootIdsOf(one.current!.certChainPem).at(-1)).toBe(rotation!.to);
  const stranger = { ...before, rootsPem: citadel.bundlePem() };
  expect(await handshake(one.current!, stranger)).toMatch(/^server: /);
  const steps = async () =>
    (await test.auditLines()).filter(({ event }) => event === 'rotation').map(({ step }) => step);
  await expect.poll(steps).toEqual(['make', 'distribute', 'issue', 'remove', 'completed']);
  expect((await status(citadel)).last).toMatchObject({ outcome: 'completed', from: oldRoot, to: rotation!.to });
}, 60_000);

it('waits for who does not follow until the grace time is over, and names them', async () => {
  const citadel = await test.start(life(3600));
  await test.ask(citadel); // says nothing about the roots it knows
  await test.admin(citadel, '/ca/rotate-root?graceSeconds=4', { method: 'POST' });
  const seen = async () => {
    const { waitingFor, roots } = await status(citadel);
    return { roots: roots.length, names: waitingFor?.names };
  };
  const holder = 'spiffe://cluster.local/ns/a/sa/reviews (reviews-0)';
  await expect.poll(seen, { timeout: 4_000 }).toEqual({ roots: 2, names: expect.arrayContaining([holder]) });
  await expect.poll(() => rootIdsOf(citadel.bundlePem()).length, { timeout: 20_000 }).toBe(1);
}, 30_000);

it('is not for the root of somebody else, which is replaced by its files', async () => {
  const caDir = join(test.directory, 'ca');
  await mkdir(caDir);
  const write = async (root: { keyPem: string; certPem: string }, more = '') => {
    await writeFile(join(caDir, 'root-cert.pem'), root.certPem + more);
    await writeFile(join(caDir, 'ca-cert.pem'), root.certPem);
    await writeFile(join(caDir, 'ca-key.pem'), root.keyPem, { mode: 0o600 });
  };
  const old = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600 });
  await write(old);
  const citadel = await test.start({ ...life(3600), caDir });
  const refused = await test.admin(citadel, '/ca/rotate-root?graceSeconds=1', { method: 'POST' });
  expect(refused.status).toBe(409);
  expect(await status(citadel)).toMatchObject({ source: 'plugged-in CA' });
  // A second Citadel on the same files: either one's certificates are good for the other's peers.
  const second = await test.start({ ...life(3600), caDir, stateDir: join(test.directory, 'second') });
  const [one, two] = [await test.identity(citadel), await test.identity(second)];
  expect(await handshake(one, two)).toBeUndefined();
  expect(one.serial).not.toBe(two.serial);
  // Who knows both addresses is served while one of them is away.
  const address = `ipv4:${[second, citadel].map(({ ports }) => `127.0.0.1:${ports.grpc}`).join(',')}`;
  await second.stop();
  expect(await test.ask(citadel, { address })).toHaveLength(one.certChainPem.split('BEGIN CERTIFICATE').length - 1);

  await writeFile(join(caDir, 'ca-key.pem'), 'damaged');
  await expect
    .poll(async () => (await status(citadel)).problem, { timeout: 10_000 })
    .toMatch(/ca-key\.pem cannot be used/);
  await test.ask(citadel); // the last good files serve on
  const next = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600, keyType: 'ecdsa-p384' });
  await write(next, old.certPem);
  await expect.poll(() => citadel.bundlePem(), { timeout: 10_000 }).toBe(next.certPem + old.certPem);
  expect(await handshake(one, { ...(await test.identity(citadel)), rootsPem: citadel.bundlePem() })).toMatch(/^server/);
}, 30_000);
