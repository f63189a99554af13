// Push: which snapshot a proxy is served, and how often views are translated.

import { create } from '@bufbuild/protobuf';
import { createLogger } from '@lateen/telemetry';
import { buildSnapshot, type Translation, TranslationCache, type Workload } from '@lateen/translate';
import { NAME_TABLE_TYPE_URL, TYPE_URL } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { expect, test } from 'vitest';
import type { PublishedSnapshot } from '../snapshot/snapshot-builder.js';
import { ProxySource } from './proxy-source.js';

function workload(name: string, address: string): Workload {
  return {
    name,
    namespace: 'default',
    labels: { app: 'a' },
    annotations: {},
    serviceAccount: 'a',
    workloadName: 'a',
    address,
    ports: [{ port: 80, appPort: 40_000, name: 'http' }],
    ready: true,
    serviceAddresses: {},
    gateway: false,
    extraBindAddresses: {},
  };
}

function snapshot(version: string, ...workloads: Workload[]): PublishedSnapshot {
  const services = [
    {
      namespace: 'default',
      name: 'a',
      labels: {},
      annotations: {},
      selector: { app: 'a' },
      ports: [{ name: 'http', port: 80, targetPort: 80, appProtocol: '' }],
    },
  ];
  return {
    mesh: buildSnapshot({ namespaces: [], services, workloads, configs: [] }),
    version,
    changedAtMs: 1,
    revision: 1,
  };
}

function client(pod: string, address = '127.9.0.1', type = 'sidecar') {
  return {
    streamId: pod,
    node: create(NodeSchema, { id: `${type}~${address}~${pod}.default~default.svc.cluster.local` }),
    peer: 'memory',
    form: 'delta' as const,
    connectedAtMs: 1,
  };
}

const logger = createLogger('test', 'silent');

test('a proxy is served nothing before the first snapshot, then the newest', () => {
  const source = new ProxySource({ cache: new TranslationCache(), logger });
  let changes = 0;
  const view = source.open(client('a-1'), () => {
    changes += 1;
  });
  expect(view.current()).toBeUndefined();
  source.publish(snapshot('v1', workload('a-1', '127.9.0.1')));
  expect(changes).toBe(1);
  expect(view.current()?.version).toBe('v1');
  expect([...view.current()!.resources.get(TYPE_URL.cluster)!.keys()]).toContain(
    'outbound|80||a.default.svc.cluster.local',
  );
  expect(view.current()).toBe(view.current());
  view.close();
  expect(source.statuses()).toEqual([]);
});

test('gateways with the same view are translated once, and again only for what changed', () => {
  const cache = new TranslationCache();
  const source = new ProxySource({ cache, logger });
  const views = ['g-1', 'g-2', 'g-3'].map((pod) => source.open(client(pod, '127.9.0.9', 'router'), () => {}));
  for (let version = 1; version <= 4; version++) {
    source.publish(snapshot(`v${version}`, workload('a-1', `127.9.1.${version}`)));
    for (const view of views) view.current();
  }
  // The first snapshot makes all seven parts, each further one the endpoints.
  const { hits, misses, built } = cache.counts;
  expect([misses, hits]).toEqual([7 + 3, 4 * 21 - 10]);
  // One service and the black hole; the endpoints of each snapshot; a gateway without Gateway resources has no more.
  expect(Object.fromEntries(built)).toEqual({
    [TYPE_URL.cluster]: 2,
    [TYPE_URL.endpoint]: 4,
    [TYPE_URL.listener]: 0,
    [TYPE_URL.route]: 0,
    [TYPE_URL.secret]: 0,
    [NAME_TABLE_TYPE_URL]: 0,
  });
});

test('what a snapshot leaves as it is is the same set, which needs no look by the server', () => {
  const source = new ProxySource({ cache: new TranslationCache(), logger });
  const view = source.open(client('a-1'), () => {});
  source.publish(snapshot('v1', workload('a-1', '127.9.0.1')));
  const before = view.current()!.resources;
  source.publish(snapshot('v2', workload('a-1', '127.9.0.1'), workload('a-2', '127.9.0.2')));
  const after = view.current()!.resources;
  for (const typeUrl of [TYPE_URL.cluster, TYPE_URL.listener, TYPE_URL.route]) {
    expect(after.get(typeUrl)).toBe(before.get(typeUrl));
  }
});

test('an unchanged resource keeps its version from snapshot to snapshot', () => {
  const source = new ProxySource({ cache: new TranslationCache(), logger });
  const view = source.open(client('a-1'), () => {});
  const versions = () => {
    const clusters = view.current()!.resources.get(TYPE_URL.cluster)!;
    return [...clusters].map(([name, { version }]) => `${name} ${version}`);
  };
  source.publish(snapshot('v1', workload('a-1', '127.9.0.1')));
  const before = versions();
  source.publish(snapshot('v2', workload('a-1', '127.9.0.1'), workload('a-2', '127.9.0.2')));
  expect(versions()).toEqual(before);
});

test('an inconsistent snapshot is withheld: the proxy keeps the one before, and the fault is shown', () => {
  const good: Translation = { resources: new Map([[TYPE_URL.cluster, new Map()]]), faults: [], problems: [] };
  const fault = { code: 'dangling-cluster', severity: 'error', subject: 'RDS/80', message: 'no such cluster' } as const;
  let next = good;
  const cache = { translate: () => next, startGeneration: () => {} };
  const source = new ProxySource({ cache, logger });
  const view = source.open(client('a-1'), () => {});
  source.publish(snapshot('v1', workload('a-1', '127.9.0.1')));
  expect(view.current()?.version).toBe('v1');

  next = { ...good, resources: new Map(), faults: [fault] };
  source.publish(snapshot('v2', workload('a-1', '127.9.0.2')));
  expect(view.current()?.version).toBe('v1');
  expect(source.statuses()).toMatchObject([{ proxyId: 'a-1.default', servedVersion: 'v1', faults: [fault] }]);

  next = good;
  source.publish(snapshot('v3', workload('a-1', '127.9.0.3')));
  expect(view.current()?.version).toBe('v3');
  expect(source.statuses()).toMatchObject([{ servedVersion: 'v3', faults: [] }]);
});
