// Citadel as its clients meet it: real gRPC over TLS, real tokens, real files.
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CertificateClient,
  createKeyAndCsr,
  formatSpiffeId,
  MtlsAgent,
  mtlsFetch,
  parsePeerSpiffeId,
  readCertificates,
  StaticIdentity,
} from '@lateen/identity';
import { requestCertificate } from '@lateen/identity/certificate-call';
import { TestAuthority } from '@lateen/identity/testing';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import { createLogger } from '@lateen/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Citadel, type CitadelOptions, startCitadel } from './pipeline.js';
import { loadOrCreateRoot } from './root-store.js';

const logger = createLogger('citadel', 'silent');
let directory: string;
let signer: TokenSigner;
const closers: (() => Promise<unknown> | unknown)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-citadel-'));
  signer = await createTokenSigner();
  await writeFile(join(directory, 'jwks.json'), JSON.stringify(signer.jwks));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await rm(directory, { recursive: true });
});

async function start(changes: Partial<CitadelOptions> = {}): Promise<Citadel> {
  const citadel = await startCitadel({
    address: '127.0.0.1',
    stateDir: join(directory, 'state'),
    grpcPort: 0,
    adminPort: 0,
    monitoringPort: 0,
    trustDomain: 'cluster.local',
    tokenKeyFile: join(directory, 'jwks.json'),
    tokenAudience: 'istio-ca',
    tokenIssuer: 'lateen-local',
    workloadTtlSeconds: 3600,
    rootTtlSeconds: 24 * 3600,
    limits: { identity: { perSecond: 20, burst: 200 }, total: { perSecond: 500, burst: 2000 } },
    version: 'test',
    logger,
    ...changes,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= citadel.stop();
    return stopped;
  };
  closers.push(stop);
  return { ...citadel, stop };
}

const reviews = { namespace: 'a', serviceAccount: 'reviews', podName: 'reviews-0' };

async function ask(citadel: Citadel, options: { token?: string; csrPem?: string; validitySeconds?: number } = {}) {
  return requestCertificate({
    address: `127.0.0.1:${citadel.ports.grpc}`,
    token: options.token ?? (await signServiceAccountToken(signer, reviews)),
    rootsPem: citadel.rootCertPem,
    serverSpiffeId: 'spiffe://cluster.local/ns/istio-system/sa/citadel' as never,
    csrPem: options.csrPem ?? (await createKeyAndCsr()).csrPem,
    validitySeconds: options.validitySeconds ?? 0,
  });
}

async function auditLines(): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(directory, 'state', 'audit.log'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

async function metric(citadel: Citadel, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${citadel.ports.monitoring}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

describe('CreateCertificate', () => {
  it('certifies the identity of the token, whatever the request asks for', async () => {
    const citadel = await start();
    const other = formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'b', serviceAccount: 'admin' });
    const chain = await ask(citadel, { csrPem: (await createKeyAndCsr(other)).csrPem });
    expect(chain).toHaveLength(2);
    const leaf = new X509Certificate(chain[0]!);
    expect(parsePeerSpiffeId(leaf.raw)).toBe('spiffe://cluster.local/ns/a/sa/reviews');
    expect(chain[1]).toBe(citadel.rootCertPem);
    expect(leaf.verify(new X509Certificate(citadel.rootCertPem).publicKey)).toBe(true);
    expect(await auditLines()).toMatchObject([
      {
        event: 'issued',
        identity: 'spiffe://cluster.local/ns/a/sa/reviews',
        serial: leaf.serialNumber,
        pod: 'reviews-0',
        notAfter: new Date(leaf.validTo).toISOString(),
        peer: expect.stringContaining('127.0.0.1'),
      },
    ]);
    expect(await metric(citadel, 'citadel_server_success_cert_issuance_count')).toBe(1);
    expect(await metric(citadel, 'citadel_server_csr_count')).toBe(1);
    expect(await metric(citadel, 'citadel_server_root_cert_expiry_timestamp')).toBeGreaterThan(Date.now() / 1000);
  });

  it('caps the life at its own limit', async () => {
    const citadel = await start({ workloadTtlSeconds: 60 });
    const life = async (validitySeconds: number) =>
      Date.parse(new X509Certificate((await ask(citadel, { validitySeconds }))[0]!).validTo) - Date.now();
    expect(await life(0)).toBeLessThanOrEqual(60_000);
    expect(await life(0)).toBeGreaterThan(55_000);
    expect(await life(86_400)).toBeLessThanOrEqual(60_000);
    expect(await life(10)).toBeLessThanOrEqual(10_000);
    await expect(ask(citadel, { validitySeconds: -5 })).rejects.toThrow(/INVALID_ARGUMENT/);
  });

  it('refuses bad tokens and says so in the audit', async () => {
    const citadel = await start();
    const hourAgo = new Date(Date.now() - 3_700_000);
    const bad = {
      expired: await signServiceAccountToken(signer, { ...reviews, issuedAt: hourAgo }),
      forged: await signServiceAccountToken(await createTokenSigner(), reviews),
      audience: await signServiceAccountToken(signer, { ...reviews, audience: 'vault' }),
      nonsense: 'abc',
    };
    for (const token of Object.values(bad)) await expect(ask(citadel, { token })).rejects.toThrow(/UNAUTHENTICATED/);
    const lines = await auditLines();
    expect(lines.map(({ event, code }) => [event, code])).toEqual(Array(4).fill(['refused', 'UNAUTHENTICATED']));
    expect(lines.map(({ reason }) => String(reason))).toEqual([
      'token has expired',
      'token is not signed by a known key',
      'token is for another audience',
      expect.stringContaining('token cannot be verified'),
    ]);
    expect(await metric(citadel, 'citadel_server_authentication_failure_count')).toBe(4);
    // No token text in the audit.
    expect(JSON.stringify(lines)).not.toContain(bad.expired.split('.')[1]);
  });

  it('refuses bad signing requests', async () => {
    const citadel = await start();
    await expect(ask(citadel, { csrPem: 'nonsense' })).rejects.toThrow(/INVALID_ARGUMENT/);
    expect(await auditLines()).toMatchObject([
      { event: 'refused', identity: 'spiffe://cluster.local/ns/a/sa/reviews' },
    ]);
    expect(await metric(citadel, 'citadel_server_csr_parsing_err_count')).toBe(1);
  });

  it('limits one identity without touching another', async () => {
    const citadel = await start({
      limits: { identity: { perSecond: 0.001, burst: 2 }, total: { perSecond: 500, burst: 2000 } },
    });
    await ask(citadel);
    await ask(citadel);
    await expect(ask(citadel)).rejects.toThrow(/RESOURCE_EXHAUSTED/);
    const ratings = await signServiceAccountToken(signer, { namespace: 'a', serviceAccount: 'ratings' });
    await expect(ask(citadel, { token: ratings })).resolves.toHaveLength(2);
  });

  it('reads the token keys again when they change, and keeps the last good ones', async () => {
    const file = join(directory, 'jwks.json');
    await unlink(file);
    const citadel = await start();
    const ready = () => fetch(`http://127.0.0.1:${citadel.ports.monitoring}/ready`).then((answer) => answer.status);
    expect(await ready()).toBe(503);
    await expect(ask(citadel)).rejects.toThrow(/UNAVAILABLE/);
    await writeFile(file, JSON.stringify(signer.jwks));
    await expect.poll(ready).toBe(200);
    await ask(citadel);
    const next = await createTokenSigner();
    const token = await signServiceAccountToken(next, reviews);
    await writeFile(file, JSON.stringify({ keys: [...signer.jwks.keys, ...next.jwks.keys] }));
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

describe('the root', () => {
  const rootOptions = () => ({
    stateDir: join(directory, 'root'),
    trustDomain: 'cluster.local',
    ttlSeconds: 3600,
    logger,
  });
  beforeEach(() => mkdir(join(directory, 'root')));

  it('is made once, with the key private to its owner', async () => {
    const first = await loadOrCreateRoot(rootOptions());
    expect((await stat(join(directory, 'root', 'ca-key.pem'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, 'root', 'root-cert.pem'))).mode & 0o777).toBe(0o644);
    const second = await loadOrCreateRoot(rootOptions());
    expect(second.certPem).toBe(first.certPem);
    expect((await readdir(join(directory, 'root'))).sort()).toEqual(['ca-key.pem', 'root-cert.pem']);
  });

  it('is made again where the first start was cut off, since nothing was signed then', async () => {
    await writeFile(join(directory, 'root', 'first-start-in-progress'), '');
    await writeFile(join(directory, 'root', 'ca-key.pem'), 'half a k', { mode: 0o600 });
    await loadOrCreateRoot(rootOptions());
    expect((await readdir(join(directory, 'root'))).sort()).toEqual(['ca-key.pem', 'root-cert.pem']);
  });

  it.each([
    ['a damaged key', 'ca-key.pem', 'nonsense'],
    ['an empty key', 'ca-key.pem', ''],
    ['a damaged certificate', 'root-cert.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
    ['an empty certificate', 'root-cert.pem', ''],
  ])('is never replaced because of %s', async (_what, name, content) => {
    await loadOrCreateRoot(rootOptions());
    const file = join(directory, 'root', name);
    const others = await readFile(
      join(directory, 'root', name === 'ca-key.pem' ? 'root-cert.pem' : 'ca-key.pem'),
      'utf8',
    );
    await writeFile(file, content);
    await expect(loadOrCreateRoot(rootOptions())).rejects.toThrow(file);
    expect(await readFile(file, 'utf8')).toBe(content);
    expect(
      await readFile(join(directory, 'root', name === 'ca-key.pem' ? 'root-cert.pem' : 'ca-key.pem'), 'utf8'),
    ).toBe(others);
  });

  it('is refused where key and certificate are of different roots, one is missing, or others may read the key', async () => {
    const root = await loadOrCreateRoot(rootOptions());
    const keyFile = join(directory, 'root', 'ca-key.pem');
    await mkdir(join(directory, 'second'));
    const second = await loadOrCreateRoot({ ...rootOptions(), stateDir: join(directory, 'second') });
    await writeFile(keyFile, second.keyPem);
    await expect(loadOrCreateRoot(rootOptions())).rejects.toThrow(/do not belong together/);
    await writeFile(keyFile, root.keyPem);
    await chmod(keyFile, 0o640);
    await expect(loadOrCreateRoot(rootOptions())).rejects.toThrow(/ca-key\.pem may be read by others \(mode 640\)/);
    await unlink(keyFile);
    await expect(loadOrCreateRoot(rootOptions())).rejects.toThrow(/ca-key\.pem is missing/);
  });
});

describe('CertificateClient with Citadel', () => {
  async function client(citadel: Citadel, name = 'pod', rootFile?: string) {
    await mkdir(join(directory, name), { recursive: true });
    await writeFile(join(directory, name, 'token'), await signServiceAccountToken(signer, reviews), { mode: 0o600 });
    const rootCertFile = rootFile ?? join(directory, 'state', 'root-cert.pem');
    const created = new CertificateClient({
      citadelAddress: `127.0.0.1:${citadel.ports.grpc}`,
      tokenFile: join(directory, name, 'token'),
      rootCertFile,
      directory: join(directory, name, 'identity'),
      trustDomain: 'cluster.local',
    });
    closers.push(() => created.stop());
    return created;
  }

  it('gets a certificate, keeps it, and serves it again with Citadel away', async () => {
    const citadel = await start();
    const first = await client(citadel);
    const identity = await first.ready();
    expect(identity.spiffeId).toBe('spiffe://cluster.local/ns/a/sa/reviews');
    expect(readCertificates(identity.rootsPem)).toHaveLength(1);
    expect((await stat(join(directory, 'pod', 'identity', 'key.pem'))).mode & 0o777).toBe(0o600);
    expect(first.status.renewsAt!.getTime() - Date.now()).toBeGreaterThan(3600_000 * 0.48);
    expect(first.status.renewsAt!.getTime() - Date.now()).toBeLessThan(3600_000 * 0.52);
    await first.stop();
    await citadel.stop();
    const second = await client(citadel);
    expect((await second.ready()).serial).toBe(identity.serial);
  });

  it('renews short certificates with fresh keys, and so does Citadel itself', async () => {
    const citadel = await start({ workloadTtlSeconds: 2 });
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
    const late = await client(citadel, 'late', join(directory, 'late-root.pem'));
    await late.start();
    await expect.poll(() => late.status.lastError).toContain('late-root.pem');
    await writeFile(join(directory, 'late-root.pem'), citadel.rootCertPem);
    expect((await late.ready()).spiffeId).toContain('reviews');
    expect(late.status.lastError).toBeUndefined();
  });

  it('refuses an authority of another root', async () => {
    const citadel = await start();
    await mkdir(join(directory, 'else'));
    await loadOrCreateRoot({ stateDir: join(directory, 'else'), trustDomain: 'cluster.local', ttlSeconds: 60, logger });
    const misled = await client(citadel, 'misled', join(directory, 'else', 'root-cert.pem'));
    await misled.start();
    await expect.poll(() => misled.status.lastError).toMatch(/certificate request to .* failed/);
    expect(misled.current).toBeUndefined();
    await expect(readFile(join(directory, 'state', 'audit.log'), 'utf8')).resolves.toBe('');
  });

  it('asks anew where the stored identity is damaged or readable by others', async () => {
    const citadel = await start();
    const first = await client(citadel);
    const { serial } = await first.ready();
    await first.stop();
    const keyFile = join(directory, 'pod', 'identity', 'key.pem');
    await chmod(keyFile, 0o644);
    const second = await client(citadel);
    const renewed = await second.ready();
    expect(renewed.serial).not.toBe(serial);
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    await second.stop();
    await writeFile(join(directory, 'pod', 'identity', 'cert-chain.pem'), 'nonsense');
    expect((await (await client(citadel)).ready()).serial).not.toBe(renewed.serial);
  });

  it('follows its roots: more are taken at once, and where its own is gone it asks for another certificate', async () => {
    const citadel = await start();
    const rootFile = join(directory, 'roots.pem');
    await writeFile(rootFile, citadel.rootCertPem);
    const running = await client(citadel, 'pod', rootFile);
    const first = await running.ready();
    const other = await (await TestAuthority.create()).rootsPem;
    await writeFile(rootFile, citadel.rootCertPem + other);
    await expect.poll(() => readCertificates(running.current!.rootsPem).length, { timeout: 5_000 }).toBe(2);
    expect(running.current!.serial).toBe(first.serial);
    await running.stop();

    // Citadel starts over with another root; the stored certificate is of no use any more.
    await citadel.stop();
    await rm(join(directory, 'state'), { recursive: true });
    const fresh = await start();
    await writeFile(rootFile, fresh.rootCertPem);
    const second = await client(fresh, 'pod', rootFile);
    const identity = await second.ready();
    expect(identity.serial).not.toBe(first.serial);
    expect(identity.rootsPem).toBe(fresh.rootCertPem);
  });

  it('survives a crash between the two renames of a renewal', async () => {
    const citadel = await start();
    const first = await client(citadel);
    const before = await first.ready();
    await first.renewNow();
    const after = first.current!;
    await first.stop();
    await citadel.stop();
    const folder = join(directory, 'pod', 'identity');
    await writeFile(join(folder, 'cert-chain.pem.next'), after.certChainPem);
    await writeFile(join(folder, 'cert-chain.pem'), before.certChainPem);
    expect((await (await client(citadel)).ready()).serial).toBe(after.serial);
  });
});

describe('the admin API', () => {
  it('shows the bundle and the last certificates to the admin only', async () => {
    const citadel = await start();
    const identityOf = async (serviceAccount: string) => {
      const { keyPem, csrPem } = await createKeyAndCsr();
      const token = await signServiceAccountToken(signer, { namespace: 'istio-system', serviceAccount });
      const certChainPem = (await ask(citadel, { token, csrPem })).join('');
      const { identityFromPem } = await import('@lateen/identity');
      return new StaticIdentity(identityFromPem({ keyPem, certChainPem, rootsPem: citadel.rootCertPem }));
    };
    const get = async (serviceAccount: string, path: string) => {
      const agent = new MtlsAgent({
        source: await identityOf(serviceAccount),
        expectedSpiffeIds: ['spiffe://cluster.local/ns/istio-system/sa/citadel' as never],
      });
      closers.push(() => agent.destroy());
      return mtlsFetch(agent)(`https://127.0.0.1:${citadel.ports.admin}${path}`);
    };
    expect(await (await get('lateen-admin', '/bundle')).text()).toBe(citadel.rootCertPem);
    const lines = (await (await get('lateen-supervisor', '/certificates')).json()) as { identity: string }[];
    expect(lines.map(({ identity }) => identity.split('/').at(-1))).toEqual(['lateen-admin', 'lateen-supervisor']);
    await expect(get('pilot', '/bundle')).rejects.toThrow();
  });
});
