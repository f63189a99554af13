// Workers that do not what they should: a configuration that one of them refuses is put in effect in none; who ends is replaced.
// And what processes tell each other of endpoints.

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { BootstrapSchema } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { afterEach, expect, it, vi } from 'vitest';
import type { DataPlane, DataPlaneOptions } from '../data-plane.js';
import { AccessLogs } from '../observe/access-logs.js';
import { createDataPlane } from '../pipeline.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  testNode,
  toCluster,
} from '../testing/envoy-config.js';
import { Cleanups, fetchText, temporaryDirectory } from '../testing/sidecar-process.js';
import { createProxy, type ProxyOptions } from './create-proxy.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 20_000, interval: 20 };

type Logged = { readonly message: string; readonly fields: Record<string, unknown> }[];

function optionsOf(program: string, concurrency: number, logged: Logged): ProxyOptions {
  return {
    concurrency,
    program,
    bootstrap: {
      node: testNode(),
      admin: undefined,
      ...{ listeners: [], clusters: [], secrets: [], ads: undefined, dynamic: undefined, warnings: [] },
      connectionLimits: { total: Number.POSITIVE_INFINITY, ofListener: new Map() },
      message: create(BootstrapSchema),
      rejected: () => {
        throw new Error('nothing is static');
      },
    },
    bootstrapFile: { path: '', text: '' },
    auditDirectory: undefined,
    citadel: undefined,
    version: '',
    logLevel: () => 'info',
    accessLogs: new AccessLogs({ node: testNode(), log: () => undefined }),
    createDataPlane,
    log: (_level, message, fields) => logged.push({ message, fields }),
  };
}

/** A proxy whose worker answers everything with nothing, and `prepare` with what is given; `body` is run at its start. */
async function start(prepared: unknown, body = '') {
  const program = join(temporaryDirectory(cleanups), 'worker.cjs');
  writeFileSync(
    program,
    `process.on('message', ({ id, kind }) => {
      if (id !== undefined) process.send({ kind: 'answer', id, answer: kind === 'prepare' ? ${JSON.stringify(prepared)} : undefined });
    });
    process.on('disconnect', () => process.exit(0));
    ${body}`,
  );
  const logged: Logged = [];
  const proxy = await createProxy(optionsOf(program, 2, logged));
  cleanups.add(() => proxy.dataPlane.close());
  return { proxy, logged };
}

const CONFIG = dataPlaneConfig(
  [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
  [cluster('c', [])],
);

it('is the very data path of this process where one is asked for, told of no others', async () => {
  const given: DataPlaneOptions[] = [];
  const made: DataPlane[] = [];
  const proxy = await createProxy({
    ...optionsOf(join(temporaryDirectory(cleanups), 'none.cjs'), 1, []),
    createDataPlane: async (options) => {
      given.push(options);
      made.push(await createDataPlane(options));
      return made[0] as DataPlane;
    },
  });
  cleanups.add(() => proxy.dataPlane.close());
  expect(made).toHaveLength(1);
  expect(proxy.dataPlane).toBe(made[0]);
  const told = Object.keys(given[0] as DataPlaneOptions);
  for (const name of ['share', 'ticketSecret', 'openSocket', 'giveAway', 'onEjected']) expect(told).not.toContain(name);
  const seen = await proxy.see();
  expect(seen.dataPlane).toBe(made[0]);
  expect(seen.workers).toBeUndefined();
});

it('refuses a configuration with the words of the worker that refuses it, and serves what was before', async () => {
  const problem = { resourceType: 'a', resourceName: 'l', path: 'filter_chains[0]', message: 'is too much for me' };
  const { proxy } = await start([problem]);
  await expect(proxy.dataPlane.apply(CONFIG)).rejects.toMatchObject({ problems: [problem] });
  const { dataPlane } = await proxy.see();
  expect(dataPlane.listeners()).toEqual([]);
  expect(dataPlane.stats).toMatchObject({ configApplied: 0, configRejected: 1 });
});

it('puts a configuration in effect that no worker refuses', async () => {
  const { proxy } = await start(undefined);
  await proxy.dataPlane.apply(CONFIG);
  expect(proxy.dataPlane.listeners()).toMatchObject([{ name: 'l', state: 'active' }]);
});

it('replaces a worker that ends, and goes on without it meanwhile', async () => {
  const { proxy, logged } = await start(undefined, 'setImmediate(() => process.exit(7));');
  await proxy.dataPlane.apply(CONFIG);
  expect(proxy.dataPlane.listeners()).toHaveLength(1);
  await vi.waitFor(async () => expect((await proxy.see()).workers?.restarts).toBeGreaterThan(1), patience);
  expect(logged).toContainEqual({
    message: 'a worker has ended, and is replaced; the others serve',
    fields: expect.objectContaining({ worker: 1, code: 7 }),
  });
});

/** The port of a server that answers with a status. */
async function startServer(status: number): Promise<number> {
  const server = createServer((_request, response) => response.writeHead(status).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.add(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

it('tells the other processes of endpoints that it has ejected, and ejects those of which they tell', async () => {
  const [bad, good] = [await startServer(503), await startServer(200)];
  const answer = { cluster: 'c', endpoint: `127.0.0.1:${good}`, forMs: 60_000 };
  // A worker that answers the one with the other.
  const { proxy } = await start(
    undefined,
    `process.on('message', ({ kind, ejection }) => {
      if (kind === 'ejected' && ejection.cluster === 'c' && ejection.endpoint === '127.0.0.1:${bad}' && ejection.forMs >= 30000)
        process.send({ kind: 'ejected', ejection: ${JSON.stringify(answer)} });
    });`,
  );
  const endpoints = [endpointOf(bad), endpointOf(good)];
  const outliers = { consecutive_5xx: 1, max_ejection_percent: 100 };
  const { listeners } = CONFIG;
  await proxy.dataPlane.apply({
    ...dataPlaneConfig([], [cluster('c', endpoints, { outlier_detection: outliers })]),
    listeners,
  });
  const { port } = proxy.dataPlane.listeners()[0]!.addresses[0]!;
  await vi.waitFor(async () => {
    await fetchText(`http://127.0.0.1:${port}/`);
    const [seen] = (await proxy.see()).dataPlane.clusters();
    expect(seen!.endpoints.map(({ ejected }) => ejected)).toEqual([true, true]);
    expect(seen!.outliers).toMatchObject({ ejectionsActive: 2, ejectionsEnforcedTotal: 1 });
  }, patience);
});
