// Workload groups: the WorkloadEntries of an API server that replicas keep for the workloads that are connected to them.

import type { KubeObject } from '@lateen/kubernetes';
import { FakeApiServer, refuse } from '@lateen/kubernetes/testing';
import { createLogger } from '@lateen/telemetry';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EntryObjects, WORKLOAD_ENTRIES } from './entry-objects.js';
import { CONTROLLER_ANNOTATION, type WorkloadEntry } from './group-entry.js';

let api: FakeApiServer;
const opened: EntryObjects[] = [];
/** Pods of Pilot that there are. */
let alive: Set<string>;

beforeEach(async () => {
  api = await FakeApiServer.start();
  api.serve(WORKLOAD_ENTRIES);
  alive = new Set(['pilot-a', 'pilot-b']);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
  await api.stop();
});

function entry(name: string, healthy = 'true'): WorkloadEntry {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name, namespace: 'shop', labels: { app: 'vm' }, annotations: { 'lateen.io/healthy': healthy } },
    spec: { address: '10.1.1.1', labels: { app: 'vm' }, serviceAccount: 'vm' },
    source: { file: 'group.yaml', line: 1, column: 1 },
  };
}

/** `vm of pilot-a` of each that the server has. */
function held(): string[] {
  const objects = api.store.list('networking.istio.io/workloadentries', {}) as unknown as KubeObject[];
  return objects.map(({ metadata }) => `${metadata.name} of ${metadata.annotations?.[CONTROLLER_ANNOTATION]}`).sort();
}

/** What Galley tells of them. */
function stored(): WorkloadEntry[] {
  const objects = api.store.list('networking.istio.io/workloadentries', {}) as unknown as WorkloadEntry[];
  return objects.map(({ metadata, ...rest }) => ({
    ...rest,
    metadata: { ...metadata, annotations: metadata.annotations ?? {} },
  }));
}

function replica(controller: string, desired: WorkloadEntry[], orphanMs = 60_000): EntryObjects {
  const objects = new EntryObjects({
    client: api.client(),
    controller,
    isAlive: (pod) => alive.has(pod),
    desired: () => desired,
    stored,
    logger: createLogger('test', 'silent'),
    orphanMs,
  });
  opened.push(objects);
  objects.changed();
  return objects;
}

test('are written where a workload connects, changed with it, and deleted where it has gone', async () => {
  const desired = [entry('vm')];
  const a = replica('pilot-a', desired);
  await expect.poll(held).toEqual(['vm of pilot-a']);
  expect(stored()[0]).toMatchObject({
    spec: { address: '10.1.1.1', serviceAccount: 'vm' },
    metadata: { labels: { app: 'vm' } },
  });
  desired[0] = entry('vm', 'false');
  a.changed();
  await expect.poll(() => stored()[0]?.metadata.annotations['lateen.io/healthy']).toBe('false');
  desired.length = 0;
  a.changed();
  await expect.poll(held).toEqual([]);
});

test('go over to the replica that a workload comes to, and are not deleted by the one that it left', async () => {
  const here = [entry('vm')];
  const a = replica('pilot-a', here);
  await expect.poll(held).toEqual(['vm of pilot-a']);
  replica('pilot-b', [entry('vm')]);
  await expect.poll(held).toEqual(['vm of pilot-b']);
  here.length = 0;
  a.changed();
  const asked = api.requests.length;
  await expect.poll(() => api.requests.slice(asked).some((line) => line.startsWith('GET'))).toBe(true);
  await a.close();
  expect(held()).toEqual(['vm of pilot-b']);
});

test('of a replica whose pod is gone are deleted by the others after a while; those of users never', async () => {
  const a = replica('pilot-a', [entry('vm')]);
  await expect.poll(held).toEqual(['vm of pilot-a']);
  api.put(WORKLOAD_ENTRIES, { metadata: { name: 'own', namespace: 'shop' }, spec: {} });
  await a.close();
  const b = replica('pilot-b', [], 50);
  b.changed();
  expect(held()).toEqual(['own of undefined', 'vm of pilot-a']);
  alive.delete('pilot-a');
  await expect
    .poll(
      () => {
        b.changed();
        return held();
      },
      { timeout: 5_000 },
    )
    .toEqual(['own of undefined']);
});

test('are written once the API server lets it', async () => {
  let isRefused = true;
  api.intercept = (_request, response) => {
    if (isRefused) refuse(response, 403, 'Forbidden', 'workloadentries is forbidden');
    return isRefused;
  };
  const a = replica('pilot-a', [entry('vm')]);
  await expect.poll(() => api.requests.length).toBe(1);
  isRefused = false;
  await expect
    .poll(
      () => {
        a.changed();
        return held();
      },
      { timeout: 5_000 },
    )
    .toEqual(['vm of pilot-a']);
});
