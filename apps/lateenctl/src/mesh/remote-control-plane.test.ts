// Tests of a control plane by address: what is asked of the command line, and what people read when identities are wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMtlsHttpServer, type MtlsHttpServer } from '@lateen/identity';
import { TestAuthority, type TestIdentityOptions } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliError } from '../output/cli-error.js';
import { pilotDebug } from './pilot-debug.js';
import { type RemoteOptions, remoteControlPlane } from './remote-control-plane.js';

const ADMIN = { namespace: 'istio-system', serviceAccount: 'lateen-admin' };
const PILOT = { namespace: 'istio-system', serviceAccount: 'pilot' };

const directory = mkdtempSync(join(tmpdir(), 'lateen-remote-'));
const servers: MtlsHttpServer[] = [];
let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.create();
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  rmSync(directory, { recursive: true });
});

/** A server with an identity, that admits everybody of its mesh. */
async function serve(from: TestAuthority, identity: TestIdentityOptions, admits = () => true): Promise<string> {
  const server = await createMtlsHttpServer({
    source: await from.source(identity),
    allowedClients: admits,
    handler: (_request, response) => response.end('{"error": "no", "ok": true}'),
    address: '127.0.0.1',
    port: 0,
  });
  servers.push(server);
  return `127.0.0.1:${server.port}`;
}

/** The files of an identity, as options. */
async function files(from: TestAuthority, identity: TestIdentityOptions): Promise<RemoteOptions> {
  const { keyPem, certChainPem, rootsPem } = await from.issue(identity);
  const write = (name: string, content: string) => {
    const file = join(mkdtempSync(join(directory, 'id-')), name);
    writeFileSync(file, content);
    return file;
  };
  return { ca: write('ca.pem', rootsPem), cert: write('cert.pem', certChainPem), key: write('key.pem', keyPem) };
}

/** What people read, and the exit code. */
async function failureOf(call: () => unknown): Promise<{ readonly text: string; readonly exitCode: number }> {
  try {
    await call();
  } catch (error) {
    if (error instanceof CliError) return { text: error.message, exitCode: error.exitCode };
    throw error;
  }
  throw new Error('it succeeds');
}
const ask = async (pilot: string, options: RemoteOptions) => pilotDebug(remoteControlPlane({ ...options, pilot }), '/');

describe('a control plane by address', () => {
  it('is talked to where both sides are who they should be', async () => {
    const pilot = await serve(authority, PILOT);
    expect(await ask(pilot, await files(authority, ADMIN))).toMatchObject({ ok: true });
  });

  it.each([
    [
      'another service',
      { ...PILOT, serviceAccount: 'galley' },
      'is not pilot: its certificate is of spiffe://cluster.local/ns/istio-system/sa/galley',
    ],
    ['a pilot of another namespace', { ...PILOT, namespace: 'default' }, 'sa/pilot; check the address'],
    [
      'an expired pilot',
      { ...PILOT, now: new Date(Date.now() - 7_200_000) },
      'has a certificate that is not valid now',
    ],
  ])('refuses %s', async (_name, identity, expected) => {
    const failure = await failureOf(async () => ask(await serve(authority, identity), await files(authority, ADMIN)));
    expect(failure).toEqual({ text: expect.stringContaining(expected), exitCode: 3 });
  });

  it('refuses a mesh with the same names and other roots', async () => {
    const stranger = await TestAuthority.create();
    const failure = await failureOf(async () => ask(await serve(stranger, PILOT), await files(authority, ADMIN)));
    expect(failure.text).toContain('has a certificate that our trust roots did not sign');
    expect(failure.exitCode).toBe(3);
  });

  it('says when it is us who are not welcome', async () => {
    const pilot = await serve(authority, PILOT, () => false);
    const failure = await failureOf(async () => ask(pilot, await files(authority, ADMIN)));
    expect(failure.text).toContain('it may not admit spiffe://cluster.local/ns/istio-system/sa/lateen-admin');
    expect(failure.exitCode).toBe(3);
  });

  it('says that our own certificate has expired, before anybody is asked', async () => {
    const expired = { ...ADMIN, now: new Date(Date.now() - 7_200_000) };
    const failure = await failureOf(async () => ask('127.0.0.1:1', await files(authority, expired)));
    expect(failure.text).toMatch(/^the client certificate of spiffe:\S+ expired at /);
  });

  it('tells files of another mesh from a wrong command line', async () => {
    const own = await files(authority, ADMIN);
    const stranger = await files(await TestAuthority.create(), ADMIN);
    const exitCode = async (options: RemoteOptions) =>
      (await failureOf(() => remoteControlPlane({ ...options, pilot: 'a' }))).exitCode;
    expect(await exitCode({ ...own, ca: stranger.ca! })).toBe(3);
    expect(await exitCode({ ...stranger, ca: own.ca! })).toBe(3);
    expect(await exitCode({ ...own, ca: join(directory, 'none') })).toBe(2);
    expect(await exitCode({ ...own, ca: own.key! })).toBe(2);
    expect(await exitCode({ ...own, key: stranger.key! })).toBe(2);
  });

  it('asks for what is missing, and names what cannot be used', async () => {
    const own = await files(authority, ADMIN);
    const text = async (options: RemoteOptions) => (await failureOf(() => remoteControlPlane(options))).text;
    expect(await text({ pilot: 'a', ca: 'x' })).toContain(
      '--cert FILE (client certificate, or LATEEN_CERT), --key FILE',
    );
    expect(await text({ ...own, pilot: '::1' })).toContain('IPv6 addresses in brackets');
    expect(await text({ ...own, pilot: 'a:70000' })).toContain('--pilot a:70000: expected HOST or HOST:PORT');
    expect(await text({ ...own, pilot: 'a', key: join(directory, 'none') })).toContain('cannot read the key');
    const other = await files(authority, ADMIN);
    expect(await text({ ...own, pilot: 'a', key: other.key! })).toContain("the key is not the certificate's");
    const { text: galley, exitCode } = await failureOf(() =>
      remoteControlPlane({ ...own, pilot: 'a' }).endpoint('galley'),
    );
    expect([galley, exitCode]).toEqual([expect.stringContaining('--galley HOST[:PORT] (or LATEEN_GALLEY)'), 2]);
    expect(remoteControlPlane({ ...own, pilot: '[::1]' }).endpoint('pilot')).toEqual({ address: '::1', port: 15016 });
  });
});
