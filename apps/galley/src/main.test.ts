// Galley as a process (the built program): kills under load lose nothing that was acknowledged; it ends when it should.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { formatSpiffeId, MtlsAgent, storeIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { ConfigAdmin } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { afterEach, beforeEach, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../dist/main.js', import.meta.url));

let directory: string;
let authority: TestAuthority;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-galley-process-'));
  authority = await TestAuthority.create();
  // A stored certificate is enough to serve: Citadel is away in this test.
  await storeIdentity(
    join(directory, 'state', 'identity'),
    await authority.issue({ namespace: 'istio-system', serviceAccount: 'galley' }),
  );
  await writeFile(join(directory, 'root-cert.pem'), authority.rootsPem);
});
afterEach(async () => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) await end(child, 'SIGKILL');
  await rm(directory, { recursive: true });
});

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<[number | null, string | null]> {
  const exited = once(child, 'exit');
  child.kill(signal);
  return (await exited) as [number | null, string | null];
}

interface Running {
  readonly child: ChildProcess;
  readonly adminPort: number;
}

async function start(...more: string[]): Promise<Running> {
  const ports = ['--xds-port', '0', '--admin-port', '0', '--monitoring-port', '0'];
  const files = ['--state-dir', join(directory, 'state'), '--root-cert', join(directory, 'root-cert.pem')];
  const citadel = ['--citadel-address', '127.0.0.1:1', '--token-file', join(directory, 'token')];
  const child = spawn(process.execPath, [PROGRAM, ...ports, ...files, ...citadel, ...more], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  children.push(child);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr! })) {
    lines.push(line);
    const { message, ports: bound } = JSON.parse(line) as { message: string; ports?: { admin: number } };
    if (message === 'galley is up') {
      child.stderr!.resume();
      return { child, adminPort: bound!.admin };
    }
  }
  throw new Error(`galley did not start:\n${lines.join('\n')}`);
}

async function connect({ adminPort }: Running) {
  const agent = new MtlsAgent({
    source: await authority.source({ namespace: 'istio-system', serviceAccount: 'lateen-admin' }),
    expectedSpiffeIds: [
      formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'istio-system', serviceAccount: 'galley' }),
    ],
  });
  const transport = createConnectTransport({
    baseUrl: `https://127.0.0.1:${adminPort}`,
    httpVersion: '1.1',
    nodeOptions: { agent },
  });
  return { client: createClient(ConfigAdmin, transport), agent };
}

/** Three documents that belong together. */
const documents = (revision: number) =>
  ['a', 'b', 'c']
    .map(
      (name) =>
        `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: ${name}}\nspec: {host: r${revision}}\n`,
    )
    .join('---\n');

it('keeps what it acknowledged, whole, however often it is killed', { timeout: 120_000 }, async () => {
  let revision = 0;
  let acknowledged = 0;
  for (let round = 0; round < 6; round++) {
    const running = await start();
    const { client, agent } = await connect(running);
    const { resources } = await client.list({ kind: 'DestinationRule' });
    const found = new Set(resources.map(({ specJson }) => Number(/r(\d+)/.exec(specJson)?.[1])));
    if (round > 0) {
      expect(resources).toHaveLength(3);
      expect(found.size).toBe(1);
      expect([...found][0]).toBeGreaterThanOrEqual(acknowledged);
    }
    const until = acknowledged + 3 + round;
    let killed: Promise<unknown> | undefined;
    for (;;) {
      revision++;
      try {
        await client.apply({ files: [{ name: 'a.yaml', content: documents(revision) }] });
        acknowledged = revision;
      } catch {
        break; // killed in the middle of it
      }
      if (acknowledged >= until) killed ??= end(running.child, 'SIGKILL');
    }
    await killed;
    agent.destroy();
  }
  expect(acknowledged).toBeGreaterThan(18);
});

it('ends with its signal and with its parent', async () => {
  expect(await end((await start()).child, 'SIGTERM')).toEqual([0, null]);
  const { child } = await start('--exit-with-parent');
  const exited = once(child, 'exit');
  child.stdin!.end();
  expect(await exited).toEqual([0, null]);
});

it('says which stored file is damaged, and does not start', async () => {
  await writeFile(join(directory, 'state', 'version'), 'x');
  await expect(start()).rejects.toThrow(/state\/version is damaged/);
});
