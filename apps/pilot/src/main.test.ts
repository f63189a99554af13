// Pilot as a process: starts the built program; `npm test` builds first.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { grpcChannelCredentials, storeIdentity } from '@lateen/identity';
import { TYPE_URL } from '@lateen/xds-proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CONFIG_TYPE_URLS } from './config/config-kinds.js';
import type { Pilot } from './pipeline.js';
import { TestMesh } from './test-mesh.js';
import { TestProxy } from './test-proxy.js';

const PROGRAM = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const REGISTRY = {
  sequence: 1n,
  services: [
    { namespace: 'default', name: 'a', selector: { app: 'a' }, ports: [{ name: 'http', port: 80, targetPort: 80 }] },
  ],
  workloads: [
    { name: 'a-1', namespace: 'default', labels: { app: 'a' }, serviceAccount: 'a', address: '127.9.0.1', ready: true },
  ],
};

let mesh: TestMesh;
beforeEach(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not built; run npm run build`);
  mesh = await TestMesh.create();
  await mesh.startGalley();
  const stateDir = join(mesh.stateDir, 'process');
  await storeIdentity(
    join(stateDir, 'identity'),
    await mesh.authority.issue({ namespace: 'istio-system', serviceAccount: 'pilot' }),
  );
  await writeFile(join(mesh.stateDir, 'token'), 'none');
  await writeFile(join(mesh.stateDir, 'root-cert.pem'), mesh.authority.rootsPem);
});
afterEach(() => mesh.close());

interface Started {
  readonly child: ChildProcess;
  readonly ports: Pilot['ports'];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts the program on free ports, with its stored certificate and no Citadel. */
async function start(...flags: string[]): Promise<Started> {
  const args = [
    ...['--state-dir', join(mesh.stateDir, 'process')],
    ...['--galley-address', `127.0.0.1:${mesh.galleyPort}`],
    ...['--citadel-address', '127.0.0.1:1'],
    ...['--token-file', join(mesh.stateDir, 'token')],
    ...['--root-cert', join(mesh.stateDir, 'root-cert.pem')],
    ...['plaintext', 'xds', 'admin', 'monitoring'].flatMap((name) => [`--${name}-port`, '0']),
    ...flags,
  ];
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['pipe', 'ignore', 'pipe'] });
  mesh.onClose(() => child.kill('SIGKILL'));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr! })) {
    lines.push(line);
    const { message, ports } = JSON.parse(line) as { message: string; ports: Pilot['ports'] };
    if (message !== 'pilot is up') continue;
    child.stderr!.resume();
    return { child, ports, exited };
  }
  throw new Error(`pilot did not start:\n${lines.join('\n')}`);
}

async function proxyOf({ ports }: Started): Promise<TestProxy> {
  const credentials = grpcChannelCredentials(await mesh.source('a', 'default'), {
    expectedSpiffeIds: [mesh.id('pilot')],
  });
  const proxy = new TestProxy({
    target: `127.0.0.1:${ports.xds}`,
    credentials,
    form: 'delta',
    pod: 'a-1',
    namespace: 'default',
    serviceAccount: 'a',
    address: '127.9.0.1',
  });
  mesh.onClose(() => proxy.close());
  return proxy;
}

test('killed at any moment, it serves what it acknowledged; a signal ends it cleanly', async () => {
  const first = await start();
  const asPilot = { ports: first.ports } as Pilot;
  await mesh.report(asPilot, REGISTRY);
  const proxy = await proxyOf(first);
  await expect.poll(() => proxy.names(TYPE_URL.cluster)).toContain('outbound|80||a.default.svc.cluster.local');
  // What came from Galley is served before it is stored, and acknowledged after.
  const stored = async () =>
    (await readdir(join(mesh.stateDir, 'process', 'config'))).filter((name) => name.endsWith('.json'));
  await expect.poll(async () => (await stored()).length).toBe(CONFIG_TYPE_URLS.length);
  first.child.kill('SIGKILL');
  expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });

  const second = await start();
  expect((await fetch(`http://127.0.0.1:${second.ports.monitoring}/ready`)).status).toBe(200);
  const again = await proxyOf(second);
  await expect.poll(() => again.names(TYPE_URL.cluster)).toContain('outbound|80||a.default.svc.cluster.local');
  second.child.kill('SIGTERM');
  expect(await second.exited).toEqual({ code: 0, signal: null });
  expect(await again.ended).toMatchObject({ details: expect.stringMatching(/connect again|stopping/) });
});

test('with --exit-with-parent it ends when its input closes', async () => {
  const started = await start('--exit-with-parent');
  started.child.stdin!.end();
  expect(await started.exited).toEqual({ code: 0, signal: null });
});

test('a damaged state file is reported and does not stop it', async () => {
  const file = join(mesh.stateDir, 'process', 'registry.json');
  await writeFile(file, '{ "sequence": ');
  const started = await start();
  const ready = await (await fetch(`http://127.0.0.1:${started.ports.monitoring}/ready`)).text();
  expect(ready).toMatch(/no workload registry report/);
  await mesh.report({ ports: started.ports } as Pilot, REGISTRY);
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ sequence: '1' });
});
