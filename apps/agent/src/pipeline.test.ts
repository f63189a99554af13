// The agent in this process, asked over its socket as a proxy asks: the own certificate, its renewal, roots, and a Citadel that is away.

import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { TestAuthority } from '@lateen/identity/testing';
import { startTestCitadel, type TestCitadel } from '@lateen/identity/testing/citadel';
import { createLogger } from '@lateen/telemetry';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Agent, type AgentOptions, startAgent } from './pipeline.js';
import { connectSds, DeltaStream, fetchSecrets, SotwStream } from './testing/sds-client.js';

const WEB = { namespace: 'default', serviceAccount: 'web' };
const patience = { timeout: 20_000, interval: 20 };

let directory: string;
let authority: TestAuthority;
const cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-agent-'));
  authority = await TestAuthority.create();
  writeFileSync(join(directory, 'token'), 'token');
  writeFileSync(join(directory, 'roots.pem'), authority.rootsPem);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(directory, { recursive: true, force: true });
});

async function citadel(ttlSeconds = 3600): Promise<TestCitadel> {
  const started = await startTestCitadel(authority, { ...WEB, ttlSeconds });
  cleanups.push(() => started.stop());
  return started;
}

async function agent(citadelPort: number, changes: Partial<AgentOptions> = {}): Promise<Agent> {
  const started = await startAgent({
    address: '127.0.0.1',
    monitoringPort: 0,
    stateDir: join(directory, 'state'),
    citadelAddress: `127.0.0.1:${citadelPort}`,
    tokenFile: join(directory, 'token'),
    rootCertFile: join(directory, 'roots.pem'),
    trustDomain: 'cluster.local',
    gracePeriodRatio: 0.5,
    version: 'test',
    logger: createLogger('agent', 'silent'),
    ...changes,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= started.stop();
    return stopped;
  };
  cleanups.push(stop);
  return { ...started, stop };
}

function client({ socketPath }: Agent) {
  const connected = connectSds(socketPath);
  cleanups.push(() => connected.close());
  return connected;
}

const monitoring = async ({ monitoringPort }: Agent, path: string) => {
  const answer = await fetch(`http://127.0.0.1:${monitoringPort}${path}`);
  return { status: answer.status, text: await answer.text() };
};

const serialOf = (pem: string | undefined) => new X509Certificate(pem ?? '').serialNumber;

test('key and certificate as `default`, roots as `ROOTCA`, to nobody but this user', async () => {
  const running = await agent((await citadel()).port);
  const proxy = client(running);
  const [certificate] = await new SotwStream(proxy, ['default']).next();
  const leaf = new X509Certificate(certificate?.certificateChain ?? '');
  expect(leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/default/sa/web');
  expect(certificate?.privateKey).toContain('BEGIN PRIVATE KEY');
  expect(await new SotwStream(proxy, ['ROOTCA']).next()).toEqual([{ name: 'ROOTCA', trustedCa: authority.rootsPem }]);

  const modeOf = (path: string) => statSync(join(directory, 'state', path)).mode & 0o777;
  expect([modeOf('sds.sock'), modeOf('.'), modeOf('identity/key.pem')]).toEqual([0o600, 0o700, 0o600]);
  expect(await monitoring(running, '/ready')).toEqual({ status: 200, text: 'ready\n' });
  const { text } = await monitoring(running, '/metrics');
  expect(text).toMatch(/^istio_agent_cert_expiry_seconds\{resource_name="default"\} 3[0-9]{3}$/m);
  expect(text).toMatch(/^lateen_agent_sds_streams 2$/m);
});

test('a name that there is nothing for is answered, and FetchSecrets is refused by name', async () => {
  const proxy = client(await agent((await citadel()).port));
  expect(await new SotwStream(proxy, ['kubernetes://shop']).next('Missing SDS resources')).toEqual([]);
  const stream = new DeltaStream(proxy);
  stream.subscribe('ROOTCA', 'kubernetes://shop');
  expect(await stream.next()).toMatchObject({ secrets: [{ name: 'ROOTCA' }], removed: ['kubernetes://shop'] });
  expect(await fetchSecrets(proxy)).toMatchObject({
    code: status.UNIMPLEMENTED,
    details: expect.stringContaining('StreamSecrets'),
  });
});

test('a renewed certificate is pushed in both forms, also to a proxy that refused the one before', async () => {
  // Renewed a second after it was received, with nineteen left.
  const running = await agent((await citadel(20)).port, { gracePeriodRatio: 0.95 });
  const proxy = client(running);
  const stream = new SotwStream(proxy, ['default']);
  const incremental = new DeltaStream(proxy);
  incremental.subscribe('default');
  const [first] = await stream.next('no room');
  const [second] = await stream.next();
  expect(serialOf(second?.certificateChain)).not.toBe(serialOf(first?.certificateChain));
  expect(second?.privateKey).not.toBe(first?.privateKey);
  const serials = new Set<string>();
  while (serials.size < 2) serials.add(serialOf((await incremental.next()).secrets[0]?.certificateChain));
  expect((await monitoring(running, '/metrics')).text).toMatch(/^lateen_agent_sds_rejections_total 1$/m);
});

test('while two roots are trusted `ROOTCA` has both, and the same certificate is not sent again', async () => {
  const proxy = client(await agent((await citadel()).port));
  const roots = new SotwStream(proxy, ['ROOTCA']);
  const certificate = new SotwStream(proxy, ['default']);
  const [own] = await certificate.next();
  await roots.next();
  const { rootsPem: nextRoot } = await TestAuthority.create();
  writeFileSync(join(directory, 'roots.pem'), authority.rootsPem + nextRoot);
  const [both] = await roots.next();
  expect(both?.trustedCa).toContain(authority.rootsPem.trim());
  expect(both?.trustedCa).toContain(nextRoot.trim());
  // Another one follows within ten seconds, so it may be there already.
  if (certificate.waiting > 0) expect(await certificate.next()).not.toEqual([own]);
});

test('without Citadel: a first certificate is waited for, a stored one serves', async () => {
  const { port, stop } = await citadel();
  stop();
  const waiting = await agent(port);
  expect(await monitoring(waiting, '/ready')).toMatchObject({ status: 503, text: /there is no certificate yet/ });
  const stream = new SotwStream(client(waiting), ['default']);
  const again = await startTestCitadel(authority, { ...WEB, ttlSeconds: 3600, port });
  cleanups.push(() => again.stop());
  const [certificate] = await stream.next();
  await vi.waitFor(
    async () => expect((await monitoring(waiting, '/metrics')).text).toMatch(/_certificates_total 1$/m),
    patience,
  );
  again.stop();
  await waiting.stop();

  const restarted = await agent(port);
  expect(await new SotwStream(client(restarted), ['default']).next()).toEqual([certificate]);
  expect(await monitoring(restarted, '/ready')).toMatchObject({ status: 200 });
});
