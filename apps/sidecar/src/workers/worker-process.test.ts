// A worker takes what it is told in the order in which it is told, also when all of it comes at once.

import { randomBytes } from 'node:crypto';
import { afterEach, expect, it, vi } from 'vitest';
import { TICKET_SECRET_BYTES } from '../downstream/downstream-tls.js';
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
import { Cleanups, fetchText, MAIN, NODE_ID, startUpstream } from '../testing/sidecar-process.js';
import { WorkerProcess } from './worker-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const LIMIT_MS = 30_000;

it('takes a connection to a listener that it is told of in the same breath', async () => {
  const worker = new WorkerProcess({
    program: MAIN,
    output: { out: () => undefined, error: () => undefined },
    ...{ onEjected: () => undefined, onCount: () => undefined, onConnection: () => undefined },
  });
  cleanups.add(async () => {
    worker.kill();
    await worker.ended;
  });
  let given = 0;
  const first = await createDataPlane({
    node: testNode(),
    giveAway: (key, connection) => {
      given++;
      return worker.give(key, connection);
    },
  });
  cleanups.add(() => first.close());
  const text = JSON.stringify({ node: { id: NODE_ID, cluster: 'web.default' }, static_resources: {} });
  const start = {
    ...{ bootstrap: { path: 'bootstrap.json', text }, index: 1, count: 2, logLevel: 'info' as const, version: '' },
    ...{ citadel: undefined, auditDirectory: undefined, ticketSecret: randomBytes(TICKET_SECRET_BYTES) },
  };
  await worker.start(start, LIMIT_MS);
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
    [cluster('c', [endpointOf(await startUpstream(cleanups, 'app'))])],
  );
  const prepared = await first.prepare(config);
  for (const { key, handle } of prepared.sockets) worker.tell({ kind: 'socket', key }, handle);
  expect(await worker.ask({ kind: 'prepare', config: worker.sender.delta(config) }, LIMIT_MS)).toBeUndefined();

  // While it stands still, that the listener is in effect and a connection to it wait for it together.
  process.kill(worker.pid as number, 'SIGSTOP');
  prepared.commit();
  const committed = worker.ask({ kind: 'commit' }, LIMIT_MS);
  const { port } = first.listeners()[0]!.addresses[0]!;
  const answer = fetchText(`http://127.0.0.1:${port}/x`);
  await vi.waitFor(() => expect(given).toBe(1), { timeout: LIMIT_MS });
  process.kill(worker.pid as number, 'SIGCONT');
  await committed;
  expect(await answer).toEqual({ status: 200, body: 'app /x' });
  expect((await worker.ask({ kind: 'observe' }, LIMIT_MS)).stats.downstreamCxTotal).toBe(1);
  expect(first.stats.downstreamCxTotal).toBe(0);
});

it('opens nothing for a configuration that comes into effect when all drain', async () => {
  const plane = await createDataPlane({ node: testNode() });
  cleanups.add(() => plane.close());
  const prepared = await plane.prepare(
    dataPlaneConfig([listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])], [cluster('c', [])]),
  );
  expect(prepared.sockets).toHaveLength(1);
  plane.drainListeners();
  prepared.commit();
  expect(plane.listeners()).toMatchObject([{ state: 'draining', addresses: [] }]);
});
