// The built program where the address of a listener is busy: refused, not ready, and served once the address is free.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { TYPE_URL } from '@lateen/xds-proto';
import type { ServedSnapshot } from '@lateen/xds-stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LastKnownGood } from './config/last-known-good.js';
import {
  Cleanups,
  fetchText,
  meshSnapshot,
  NODE_ID,
  type RunningSidecar,
  startControlPlane,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
  writeAdsBootstrap,
} from './testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 15_000, interval: 50 };

/** Holds a port until it is told to let go. */
async function squat(at = 0): Promise<{ port: number; leave: () => Promise<void> }> {
  const server = createServer((_, response) => response.end('squatter'));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, '127.0.0.1', resolve);
  });
  const leave = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  cleanups.add(leave);
  return { port: (server.address() as AddressInfo).port, leave };
}

function busy(port: number): string {
  return `cannot bind 127.0.0.1:${port}: listen EADDRINUSE`;
}

async function expectNotReady(sidecar: RunningSidecar, port: number): Promise<void> {
  const ready = await fetchText(`http://${sidecar.admin}/ready`);
  expect(ready).toEqual({ status: 503, body: expect.stringContaining(busy(port)) });
  expect((await fetchText(`http://${sidecar.admin}/listeners`)).body).toContain(`web::${busy(port)}`);
  expect(JSON.stringify(await sidecar.adminJson('/listeners?format=json'))).toContain(`"details":"${busy(port)}`);
  expect(await dumpedListeners(sidecar)).toMatchObject([
    { name: 'web', error_state: { details: expect.stringContaining(busy(port)) } },
  ]);
}

async function expectServes(sidecar: RunningSidecar, port: number, text: string): Promise<void> {
  await vi.waitFor(async () => expect((await fetchText(`http://127.0.0.1:${port}/`)).body).toBe(text), patience);
  await vi.waitFor(async () => expect((await fetchText(`http://${sidecar.admin}/ready`)).status).toBe(200), patience);
  expect(await dumpedListeners(sidecar)).toMatchObject([{ name: 'web', active_state: {} }]);
  expect(JSON.stringify(await dumpedListeners(sidecar))).not.toContain('error_state');
}

async function dumpedListeners(sidecar: RunningSidecar): Promise<unknown> {
  const { configs } = (await sidecar.adminJson('/config_dump')) as {
    configs: { '@type': string; dynamic_listeners?: unknown }[];
  };
  return configs.find((config) => config['@type'].endsWith('.ListenersConfigDump'))?.dynamic_listeners;
}

function withoutListener(snapshot: ServedSnapshot): ServedSnapshot {
  return {
    version: `${snapshot.version}-none`,
    resources: new Map([...snapshot.resources, [TYPE_URL.listener, new Map()]]),
  };
}

describe.each(['sotw', 'delta'] as const)('a listener whose address is busy (%s)', (form) => {
  it('is refused and not ready, and serves soon after the address is free, without a push', async () => {
    const directory = temporaryDirectory(cleanups);
    const upstreamPort = await startUpstream(cleanups, 'app');
    const squatter = await squat();
    const { port } = squatter;
    const control = await startControlPlane(cleanups);
    control.publish(meshSnapshot({ version: '1', upstreamPort, listenerPort: port }));
    const file = writeAdsBootstrap(directory, control.port, form);
    const args = ['--config-path', file, '--state-dir', join(directory, 'state')];
    const sidecar = await startSidecarProcess(cleanups, args);
    await vi.waitFor(() => expectNotReady(sidecar, port), patience);
    // Though its routes had not come yet when it was answered.
    expect(control.nacks.map(({ typeUrl }) => typeUrl)).toEqual([TYPE_URL.listener]);
    expect(control.nacks[0]?.error).toContain(`LDS "web" address: ${busy(port)}`);
    expect(control.ackedTypes).not.toContain(TYPE_URL.listener);
    await squatter.leave();
    await expectServes(sidecar, port, 'app /');
    // The control plane learns of it, so that its status does not show a refusal that is over.
    await vi.waitFor(() => expect(control.ackedTypes).toContain(TYPE_URL.listener), patience);
    // What comes later finds nothing left to complain about.
    const other = await startUpstream(cleanups, 'other');
    control.publish(meshSnapshot({ version: '2', upstreamPort: other, listenerPort: port }));
    await expectServes(sidecar, port, 'other /');
    expect(control.nacks).toHaveLength(1);
  });

  it('is told to the control plane after a restart, and serves where that is away', async () => {
    const directory = temporaryDirectory(cleanups);
    const stateDir = join(directory, 'state');
    const upstreamPort = await startUpstream(cleanups, 'app');
    const free = await squat();
    const { port } = free;
    await free.leave();
    const control = await startControlPlane(cleanups);
    control.publish(meshSnapshot({ version: '1', upstreamPort, listenerPort: port }));
    const file = writeAdsBootstrap(directory, control.port, form);
    const args = ['--config-path', file, '--state-dir', stateDir];
    const first = await startSidecarProcess(cleanups, args);
    await expectServes(first, port, 'app /');
    const kept = new LastKnownGood({ stateDir, nodeId: NODE_ID, log: () => undefined });
    const keptListeners = async () => [...((await kept.load())?.[TYPE_URL.listener].keys() ?? [])];
    await vi.waitFor(async () => expect(await keptListeners()).toEqual(['web']), patience);
    first.child.kill('SIGKILL');
    await first.exit();

    const squatter = await squat(port);
    const second = await startSidecarProcess(cleanups, args);
    await expectNotReady(second, port);
    await vi.waitFor(() => expect(control.nacks).toHaveLength(1), patience);
    expect(control.nacks[0]).toEqual({
      typeUrl: TYPE_URL.listener,
      error: expect.stringContaining(`LDS "web" address: ${busy(port)}`),
    });
    control.stop();
    expect(await keptListeners()).toEqual(['web']);
    await squatter.leave();
    await expectServes(second, port, 'app /');

    // It returns without the listener, of which the protocol's bookkeeping knows nothing.
    const again = await startControlPlane(cleanups, control.port);
    again.publish(withoutListener(meshSnapshot({ version: '2', upstreamPort })));
    await vi.waitFor(async () => expect(await dumpedListeners(second)).toEqual([]), patience);
  });

  it('is not tried any more once it is removed', async () => {
    const directory = temporaryDirectory(cleanups);
    const upstreamPort = await startUpstream(cleanups, 'app');
    const { port } = await squat();
    const control = await startControlPlane(cleanups);
    const snapshot = meshSnapshot({ version: '1', upstreamPort, listenerPort: port });
    control.publish(snapshot);
    const file = writeAdsBootstrap(directory, control.port, form);
    const args = ['--config-path', file, '--state-dir', join(directory, 'state')];
    const sidecar = await startSidecarProcess(cleanups, args);
    await vi.waitFor(() => expectNotReady(sidecar, port), patience);
    control.publish(withoutListener(snapshot));
    await vi.waitFor(async () => expect((await fetchText(`http://${sidecar.admin}/ready`)).status).toBe(200), patience);
    expect(await dumpedListeners(sidecar)).toEqual([]);
    expect((await fetchText(`http://${sidecar.admin}/listeners`)).body).toBe('');
  });
});
