// Roots on disk: made once, private to their owner, and never replaced because something about them is wrong.
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootId } from '@lateen/identity';
import { createRootCertificate } from '@lateen/identity/authority';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silent } from '../testing/running-citadel.js';
import { DirectoryRootStore, type DirectoryRootStoreOptions } from './directory-root-store.js';
import { OwnRoots, type OwnRootsOptions } from './own-roots.js';
import { RootFiles } from './root-files.js';
import { StateLeaseError, takeStateLease } from './state-lease.js';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'lateen-roots-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

async function open(changes: Partial<OwnRootsOptions & DirectoryRootStoreOptions> = {}): Promise<OwnRoots> {
  const directory = changes.stateDir ?? stateDir;
  const lease = await takeStateLease(directory);
  try {
    return await OwnRoots.open({
      store: new DirectoryRootStore({ stateDir: directory, passphrase: undefined, lease, logger: silent, ...changes }),
      trustDomain: 'cluster.local',
      ttlSeconds: 3600,
      keyType: 'ecdsa-p256',
      logger: silent,
      ...changes,
    });
  } finally {
    await lease.release();
  }
}

const rootFiles = () => new RootFiles(stateDir, undefined, silent);

async function files(): Promise<string[]> {
  const all = await readdir(stateDir, { recursive: true, withFileTypes: true });
  return all
    .filter((each) => each.isFile() && !each.parentPath.endsWith('owner'))
    .map(({ name }) => name)
    .sort();
}

it('are made once, with the key private to its owner', async () => {
  const first = await open();
  const id = first.state.issuing;
  expect((await stat(rootFiles().keyFile(id))).mode & 0o777).toBe(0o600);
  expect((await stat(join(stateDir, 'authority.json'))).mode & 0o777).toBe(0o600);
  expect((await stat(join(stateDir, 'root-cert.pem'))).mode & 0o777).toBe(0o644);
  expect((await open()).current.bundlePem).toBe(first.current.bundlePem);
  expect(await files()).toEqual(['authority.json', 'cert.pem', 'key.pem', 'root-cert.pem']);
});

it('are made again where the first start was cut off, since nothing was signed then', async () => {
  await writeFile(join(stateDir, 'first-start-in-progress'), '');
  await mkdir(join(stateDir, 'roots', '0123456789abcdef'), { recursive: true });
  await writeFile(join(stateDir, 'roots', '0123456789abcdef', 'key.pem'), 'half a k', { mode: 0o600 });
  await open();
  expect(await files()).toEqual(['authority.json', 'cert.pem', 'key.pem', 'root-cert.pem']);
});

it('are taken over from a state directory of before', async () => {
  const root = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600 });
  await writeFile(join(stateDir, 'ca-key.pem'), root.keyPem, { mode: 0o600 });
  await writeFile(join(stateDir, 'root-cert.pem'), root.certPem);
  const roots = await open();
  expect(roots.current.bundlePem).toBe(root.certPem);
  expect(await files()).toEqual(['authority.json', 'cert.pem', 'key.pem', 'root-cert.pem']);
  expect((await open()).current.bundlePem).toBe(root.certPem);
});

it.each([
  ['a damaged key', 'key', 'nonsense', /is not a private key/],
  ['an empty key', 'key', '', /is not a private key/],
  [
    'a damaged certificate',
    'cert',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    /not a certificate/,
  ],
  ['an empty certificate', 'cert', '', /not a certificate/],
  ['a damaged state', 'state', '{"format": 1', /is damaged/],
  ['a state of nothing', 'state', '{}', /is damaged or of another version/],
] as const)('are never replaced because of %s', async (_what, which, content, message) => {
  const roots = await open();
  const id = roots.state.issuing;
  const name = {
    key: rootFiles().keyFile(id),
    cert: rootFiles().certFile(id),
    state: join(stateDir, 'authority.json'),
  }[which];
  const before = await Promise.all(
    [rootFiles().keyFile(id), rootFiles().certFile(id)].map((file) => readFile(file, 'utf8')),
  );
  await writeFile(name, content);
  await expect(open()).rejects.toThrow(name);
  await expect(open()).rejects.toThrow(message);
  expect(await readFile(name, 'utf8')).toBe(content);
  const after = await Promise.all(
    [rootFiles().keyFile(id), rootFiles().certFile(id)].map((file) => readFile(file, 'utf8')),
  );
  expect(after.filter((text, index) => text !== before[index]).length).toBeLessThanOrEqual(1);
});

it('are refused where parts are of different roots or missing, or others may read the key', async () => {
  const roots = await open();
  const [key, cert] = [rootFiles().keyFile(roots.state.issuing), rootFiles().certFile(roots.state.issuing)];
  const keyPem = await readFile(key, 'utf8');
  const other = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600 });
  await writeFile(key, other.keyPem);
  await expect(open()).rejects.toThrow(/do not belong together/);
  await writeFile(key, keyPem);
  await chmod(key, 0o640);
  await expect(open()).rejects.toThrow(/may be read by others \(mode 640\)/);
  await chmod(key, 0o600);
  await unlink(cert);
  await expect(open()).rejects.toThrow(/cert\.pem is missing/);
  await writeFile(cert, other.certPem);
  await writeFile(key, other.keyPem);
  await expect(open()).rejects.toThrow(/is the certificate of another root/);
  await unlink(join(stateDir, 'authority.json'));
  await expect(open()).rejects.toThrow(/authority\.json is missing while there are roots/);
});

describe('that have expired', () => {
  const store = async (ttlSeconds: number) => {
    const { keyPem, certPem } = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds });
    const certificate = new X509Certificate(certPem);
    const root = { id: rootId(certificate), certificate, certPem: certificate.toString(), keyPem };
    await rootFiles().store(root);
    return root.id;
  };
  const write = (state: object) =>
    writeFile(join(stateDir, 'authority.json'), JSON.stringify({ format: 1, ...state }), { mode: 0o600 });
  const rotation = (step: string, from: string, to: string) => {
    const startedAt = '2026-01-01T00:00:00.000Z';
    return { step, from, to, graceSeconds: 1, requestedBy: 'somebody', startedAt, stepSince: startedAt };
  };

  it('are succeeded by the root that a rotation distributes', async () => {
    const [old, next] = [await store(-60), await store(3600)];
    await write({ issuing: old, trusted: [old, next], rotation: rotation('distribute', old, next) });
    const roots = await open();
    expect(roots.state).toMatchObject({ issuing: next, trusted: [next, old], rotation: { step: 'issue' } });
    expect(roots.current.rootIds[0]).toBe(next);
    expect(Date.parse(roots.state.rotation!.stepSince)).toBeGreaterThan(Date.now() - 60_000);
    expect((await open()).state).toEqual(roots.state);
  });

  it('keep nothing from going on where another root signs', async () => {
    const [old, next] = [await store(-60), await store(3600)];
    const state = { issuing: next, trusted: [next, old], rotation: rotation('issue', old, next) };
    await write(state);
    expect((await open()).state).toMatchObject(state);
  });

  it('sign nothing', async () => {
    const [old, next] = [await store(-60), await store(-30)];
    await write({ issuing: old, trusted: [old] });
    await expect(open()).rejects.toThrow(`${old}/cert.pem has expired`);
    await write({ issuing: old, trusted: [old, next], rotation: rotation('distribute', old, next) });
    await expect(open()).rejects.toThrow(`${old}/cert.pem has expired`);
  });
});

it('are encrypted under a passphrase, and stay what they are where it is wrong', async () => {
  const plain = await open();
  const file = rootFiles().keyFile(plain.state.issuing);
  // From the first start with a passphrase on.
  await open({ passphrase: 'secret' });
  expect(await readFile(file, 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await expect(open({ passphrase: 'wrong' })).rejects.toThrow(/key\.pem cannot be decrypted with the passphrase/);
  await expect(open()).rejects.toThrow(/key\.pem is encrypted, and no passphrase was given; give it with/);
  expect((await open({ passphrase: 'secret' })).current.bundlePem).toBe(plain.current.bundlePem);
});

it.each(['ecdsa-p384', 'rsa-2048'] as const)('may have a key of type %s', async (keyType) => {
  const roots = await open({ keyType });
  expect((await open()).current.bundlePem).toBe(roots.current.bundlePem);
});

it('have one writer: a second process is refused, and one that was overtaken writes no more', async () => {
  const first = await takeStateLease(stateDir);
  await expect(takeStateLease(stateDir)).rejects.toThrow(/is in use by the process \d+/);
  await first.check();
  // As if this process had been taken for dead: somebody has the next number.
  await writeFile(join(stateDir, 'owner', String(first.epoch + 1)), '{}');
  await expect(first.check()).rejects.toBeInstanceOf(StateLeaseError);
  await rm(join(stateDir, 'owner', String(first.epoch + 1)));
  await first.release();
  const second = await takeStateLease(stateDir);
  expect(second.epoch).toBeGreaterThan(first.epoch);
  await expect(first.check()).rejects.toBeInstanceOf(StateLeaseError);
  await second.release();
});
