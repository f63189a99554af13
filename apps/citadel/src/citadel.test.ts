// Citadel as its clients meet it: real gRPC over TLS, real tokens, real files.
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CertificateClient,
  createKeyAndCsr,
  formatSpiffeId,
  parsePeerSpiffeId,
  readCertificates,
} from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { createTokenSigner, signServiceAccountToken } from '@lateen/identity/tokens';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Citadel, CitadelOptions } from './pipeline.js';
import { CitadelTest, reviews } from './testing/running-citadel.js';

let test: CitadelTest;
beforeEach(async () => {
  test = await CitadelTest.create();
});
afterEach(() => test.end());

const start = (changes: Partial<CitadelOptions> = {}) => test.start(changes);
const ask: CitadelTest['ask'] = (citadel, call) => test.ask(citadel, call);
const lives = (defaultSeconds: number, minSeconds = 1, maxSeconds = defaultSeconds) => ({
  workloadTtl: { defaultSeconds, minSeconds, maxSeconds },
});

describe('CreateCertificate', () => {
  it('certifies the identity of the token', async () => {
    const citadel = await start();
    const own = formatSpiffeId({ trustDomain: 'cluster.local', ...reviews });
    const chain = await ask(citadel, { csrPem: (await createKeyAndCsr({ spiffeId: own })).csrPem });
    expect(chain).toHaveLength(2);
    const leaf = new X509Certificate(chain[0]!);
    expect(parsePeerSpiffeId(leaf.raw)).toBe('spiffe://cluster.local/ns/a/sa/reviews');
    expect(chain[1]).toBe(citadel.bundlePem());
    expect(leaf.verify(new X509Certificate(citadel.bundlePem()).publicKey)).toBe(true);
    expect(await test.auditLines()).toMatchObject([
      {
        event: 'issued',
        identity: 'spiffe://cluster.local/ns/a/sa/reviews',
        serial: leaf.serialNumber,
        pod: 'reviews-0',
        notAfter: new Date(leaf.validTo).toISOString(),
        peer: expect.stringContaining('127.0.0.1'),
      },
    ]);
    expect(await test.metric(citadel, 'citadel_server_success_cert_issuance_count')).toBe(1);
    expect(await test.metric(citadel, 'citadel_server_csr_count')).toBe(1);
    expect(await test.metric(citadel, 'citadel_server_root_cert_expiry_timestamp')).toBeGreaterThan(Date.now() / 1000);
  });

  it('refuses a request that names somebody else', async () => {
    const citadel = await start();
    const other = formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'b', serviceAccount: 'admin' });
    await expect(ask(citadel, { csrPem: (await createKeyAndCsr({ spiffeId: other })).csrPem })).rejects.toThrow(
      /PERMISSION_DENIED: spiffe:.*reviews may not ask for a certificate of "spiffe:.*admin"/,
    );
    expect(await test.auditLines()).toMatchObject([
      { event: 'refused', identity: 'spiffe://cluster.local/ns/a/sa/reviews', code: 'PERMISSION_DENIED' },
    ]);
  });

  it('keeps lives within its limits', async () => {
    const citadel = await start(lives(60, 30));
    const life = async (validitySeconds: number) =>
      Date.parse(new X509Certificate((await ask(citadel, { validitySeconds }))[0]!).validTo) - Date.now();
    expect(await life(0)).toBeLessThanOrEqual(60_000);
    expect(await life(0)).toBeGreaterThan(55_000);
    expect(await life(86_400)).toBeLessThanOrEqual(60_000);
    expect(await life(40)).toBeLessThanOrEqual(40_000);
    expect(await life(10)).toBeGreaterThan(25_000);
    await expect(ask(citadel, { validitySeconds: -5 })).rejects.toThrow(/INVALID_ARGUMENT/);
  });

  it('refuses bad tokens and says so in the audit', async () => {
    const citadel = await start();
    const hourAgo = new Date(Date.now() - 3_700_000);
    const bad = {
      expired: await signServiceAccountToken(test.signer, { ...reviews, issuedAt: hourAgo }),
      forged: await signServiceAccountToken(await createTokenSigner(), reviews),
      audience: await signServiceAccountToken(test.signer, { ...reviews, audience: 'vault' }),
      nonsense: 'abc',
    };
    for (const token of Object.values(bad)) await expect(ask(citadel, { token })).rejects.toThrow(/UNAUTHENTICATED/);
    const lines = await test.auditLines();
    expect(lines.map(({ event, code }) => [event, code])).toEqual(Array(4).fill(['refused', 'UNAUTHENTICATED']));
    expect(lines.map(({ reason }) => String(reason))).toEqual([
      'token has expired',
      'token is not signed by a known key',
      'token is for another audience',
      expect.stringContaining('token cannot be verified'),
    ]);
    expect(await test.metric(citadel, 'citadel_server_authentication_failure_count')).toBe(4);
    // No token text in the audit.
    expect(JSON.stringify(lines)).not.toContain(bad.expired.split('.')[1]);
  });

  it('refuses bad signing requests', async () => {
    const citadel = await start();
    await expect(ask(citadel, { csrPem: 'nonsense' })).rejects.toThrow(/INVALID_ARGUMENT/);
    expect(await test.auditLines()).toMatchObject([
      { event: 'refused', identity: 'spiffe://cluster.local/ns/a/sa/reviews' },
    ]);
    expect(await test.metric(citadel, 'citadel_server_csr_parsing_err_count')).toBe(1);
  });

  it('limits one identity without touching another', async () => {
    const citadel = await start({
      limits: { identity: { perSecond: 0.001, burst: 2 }, total: { perSecond: 500, burst: 2000 } },
    });
    await ask(citadel);
    await ask(citadel);
    await expect(ask(citadel)).rejects.toThrow(/RESOURCE_EXHAUSTED/);
    const ratings = await signServiceAccountToken(test.signer, { namespace: 'a', serviceAccount: 'ratings' });
    await expect(ask(citadel, { token: ratings })).resolves.toHaveLength(2);
  });

  it('reads the token keys again when they change, and keeps the last good ones', async () => {
    const file = join(test.directory, 'jwks.json');
    await unlink(file);
    const citadel = await start();
    const ready = () => fetch(`http://127.0.0.1:${citadel.ports.monitoring}/ready`).then((answer) => answer.status);
    expect(await ready()).toBe(503);
    await expect(ask(citadel)).rejects.toThrow(/UNAVAILABLE/);
    await writeFile(file, JSON.stringify(test.signer.jwks));
    await expect.poll(ready).toBe(200);
    await ask(citadel);
    const next = await createTokenSigner();
    const token = await signServiceAccountToken(next, reviews);
    await writeFile(file, JSON.stringify({ keys: [...test.signer.jwks.keys, ...next.jwks.keys] }));
    await expect
      .poll(
        () =>
          ask(citadel, { token }).then(
            (chain) => chain.length,
            () => 0,
          ),
        { timeout: 5_000 },
      )
      .toBe(2);
    await writeFile(file, '{');
    await new Promise((resolve) => setTimeout(resolve, 300)); // beyond the time for which a look at the file counts
    await ask(citadel, { token });
  });
});

describe('CertificateClient with Citadel', () => {
  async function client(citadel: Citadel, name = 'pod', rootFile?: string) {
    await mkdir(join(test.directory, name), { recursive: true });
    await writeFile(join(test.directory, name, 'token'), await signServiceAccountToken(test.signer, reviews), {
      mode: 0o600,
    });
    const rootCertFile = rootFile ?? join(test.directory, 'state', 'root-cert.pem');
    const created = new CertificateClient({
      citadelAddress: `127.0.0.1:${citadel.ports.grpc}`,
      tokenFile: join(test.directory, name, 'token'),
      rootCertFile,
      directory: join(test.directory, name, 'identity'),
      trustDomain: 'cluster.local',
    });
    test.closers.push(() => created.stop());
    return created;
  }

  it('gets a certificate, keeps it, and serves it again with Citadel away', async () => {
    const citadel = await start();
    const first = await client(citadel);
    const identity = await first.ready();
    expect(identity.spiffeId).toBe('spiffe://cluster.local/ns/a/sa/reviews');
    expect(readCertificates(identity.rootsPem)).toHaveLength(1);
    expect((await stat(join(test.directory, 'pod', 'identity', 'key.pem'))).mode & 0o777).toBe(0o600);
    expect(first.status.renewsAt!.getTime() - Date.now()).toBeGreaterThan(3600_000 * 0.48);
    expect(first.status.renewsAt!.getTime() - Date.now()).toBeLessThan(3600_000 * 0.52);
    await first.stop();
    await citadel.stop();
    const second = await client(citadel);
    expect((await second.ready()).serial).toBe(identity.serial);
  });

  it('renews short certificates with fresh keys, and so does Citadel itself', async () => {
    const citadel = await start(lives(2));
    const running = await client(citadel);
    const seen = [await running.ready()];
    running.subscribe((identity) => seen.push(identity));
    await expect.poll(() => seen.length, { timeout: 15_000 }).toBeGreaterThanOrEqual(4);
    expect(new Set(seen.map(({ serial }) => serial)).size).toBe(seen.length);
    expect(new Set(seen.map(({ keyPem }) => keyPem)).size).toBe(seen.length);
    expect(running.current!.notAfter.getTime()).toBeGreaterThan(Date.now());
  });

  it('waits for Citadel and for its files', async () => {
    const citadel = await start();
    const late = await client(citadel, 'late', join(test.directory, 'late-root.pem'));
    await late.start();
    await expect.poll(() => late.status.lastError).toContain('late-root.pem');
    await writeFile(join(test.directory, 'late-root.pem'), citadel.bundlePem());
    expect((await late.ready()).spiffeId).toContain('reviews');
    expect(late.status.lastError).toBeUndefined();
  });

  it('refuses an authority of another root', async () => {
    const citadel = await start();
    await writeFile(join(test.directory, 'else.pem'), (await TestAuthority.create()).rootsPem);
    const misled = await client(citadel, 'misled', join(test.directory, 'else.pem'));
    await misled.start();
    await expect.poll(() => misled.status.lastError).toMatch(/certificate request to .* failed/);
    expect(misled.current).toBeUndefined();
    await expect(readFile(join(test.directory, 'state', 'audit.log'), 'utf8')).resolves.toBe('');
  });

  it('asks anew where the stored identity is damaged or readable by others', async () => {
    const citadel = await start();
    const first = await client(citadel);
    const { serial } = await first.ready();
    await first.stop();
    const keyFile = join(test.directory, 'pod', 'identity', 'key.pem');
    await chmod(keyFile, 0o644);
    const second = await client(citadel);
    const renewed = await second.ready();
    expect(renewed.serial).not.toBe(serial);
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    await second.stop();
    await writeFile(join(test.directory, 'pod', 'identity', 'cert-chain.pem'), 'nonsense');
    expect((await (await client(citadel)).ready()).serial).not.toBe(renewed.serial);
  });

  it('follows its roots: more are taken at once, and where its own is gone it asks for another certificate', async () => {
    const citadel = await start(lives(20));
    const rootFile = join(test.directory, 'roots.pem');
    await writeFile(rootFile, citadel.bundlePem());
    const running = await client(citadel, 'pod', rootFile);
    const first = await running.ready();
    const other = await (await TestAuthority.create()).rootsPem;
    await writeFile(rootFile, citadel.bundlePem() + other);
    await expect.poll(() => readCertificates(running.current!.rootsPem).length, { timeout: 5_000 }).toBe(2);
    // Citadel hears of it, by a renewal.
    await expect.poll(() => running.current!.serial, { timeout: 15_000 }).not.toBe(first.serial);
    await running.stop();

    // Citadel starts over with another root; the stored certificate is of no use any more.
    await citadel.stop();
    await rm(join(test.directory, 'state'), { recursive: true });
    const fresh = await start();
    await writeFile(rootFile, fresh.bundlePem());
    const second = await client(fresh, 'pod', rootFile);
    const identity = await second.ready();
    expect(identity.serial).not.toBe(first.serial);
    expect(identity.rootsPem).toBe(fresh.bundlePem());
  });

  it('survives a crash between the two renames of a renewal', async () => {
    const citadel = await start();
    const first = await client(citadel);
    const before = await first.ready();
    await first.renewNow();
    const after = first.current!;
    await first.stop();
    await citadel.stop();
    const folder = join(test.directory, 'pod', 'identity');
    await writeFile(join(folder, 'cert-chain.pem.next'), after.certChainPem);
    await writeFile(join(folder, 'cert-chain.pem'), before.certChainPem);
    expect((await (await client(citadel)).ready()).serial).toBe(after.serial);
  });
});

describe('the admin API', () => {
  it('shows the bundle and the last certificates to the admin only', async () => {
    const citadel = await start();
    const get = (as: string, path: string) => test.admin(citadel, path, { as });
    expect(await (await get('lateen-admin', '/bundle')).text()).toBe(citadel.bundlePem());
    const lines = (await (await get('lateen-supervisor', '/certificates')).json()) as { identity: string }[];
    expect(lines.map(({ identity }) => identity.split('/').at(-1))).toEqual(['lateen-admin', 'lateen-supervisor']);
    await expect(get('pilot', '/bundle')).rejects.toThrow();
    const rotate = (as: string) => test.admin(citadel, '/ca/rotate-root?graceSeconds=1', { as, method: 'POST' });
    for (const as of ['lateen-supervisor', 'lateen-viewer', 'lateen-editor']) {
      const refused = await rotate(as);
      expect(refused.status).toBe(403);
      expect(await refused.text()).toMatch(/and this takes the role admin/);
    }
    expect(citadel.bundlePem().match(/BEGIN/g)).toHaveLength(1);
  });

  it('goes on when it is asked for what is no address', async () => {
    const citadel = await start();
    for (const [path, method, status] of [
      ['//', 'GET', 404],
      ['//:x/?', 'GET', 404],
      ['//[', 'POST', 405],
      ['/ca/status', 'GET', 200],
    ] as const) {
      expect((await test.admin(citadel, path, { as: 'lateen-viewer', method })).status).toBe(status);
    }
  });
});
