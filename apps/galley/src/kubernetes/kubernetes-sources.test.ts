// Configuration from an API server (an HTTP server that plays its protocol) into the store: what is in force, and what is told.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeKind, ISTIO_KINDS, type IstioKind } from '@lateen/istio-config';
import { type ResourceType, resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import { createLogger } from '@lateen/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { istioRules } from '../istio-rules.js';
import type { FileStatus } from '../sources/config-directory.js';
import { ConfigStore } from '../store/config-store.js';
import { type KubernetesSources, type KubernetesSourcesOptions, startKubernetesSources } from './kubernetes-sources.js';
import type { ReadResource } from './read-resource.js';

let directory: string;
let server: FakeApiServer;
let store: ConfigStore;
let statuses: FileStatus[];
let reads: ReadResource[];
const running: KubernetesSources[] = [];

const typeOf = (kind: IstioKind, version = 0): ResourceType => {
  const { group, versions, plural, namespaced } = describeKind(kind);
  return { group, version: versions[version]!, kind, plural, namespaced };
};
const virtualServices = typeOf('VirtualService');

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-galley-kubernetes-'));
  server = await FakeApiServer.start();
  for (const kind of ISTIO_KINDS) server.serve(typeOf(kind as IstioKind));
  store = await openStore();
  statuses = [];
  reads = [];
});
afterEach(async () => {
  for (const sources of running.splice(0)) await sources.stop();
  await store.settled();
  await server.stop();
  await rm(directory, { recursive: true });
});

const openStore = () =>
  ConfigStore.open({
    stateDir: directory,
    onFatal: (error) => {
      throw error;
    },
  });

async function start(options: Partial<KubernetesSourcesOptions> = {}): Promise<KubernetesSources> {
  const sources = await startKubernetesSources({
    client: server.client(),
    namespace: 'istio-system',
    podName: 'galley-1',
    revision: 'default',
    store,
    rules: istioRules,
    onStatus: (status) => statuses.push(status),
    onRead: (read) => reads.push(read),
    logger: createLogger('galley', 'silent'),
    lookMs: 50,
    ...options,
  });
  running.push(sources);
  return sources;
}

const reviews = (timeout: string, labels: Record<string, string> = {}, name = 'reviews') =>
  server.put(virtualServices, {
    metadata: {
      name,
      namespace: 'shop',
      labels,
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '' },
    },
    spec: { hosts: ['reviews'], http: [{ timeout, route: [{ destination: { host: 'reviews' } }] }] },
  } as never);
const inForce = (name = 'VirtualService/shop/reviews') => {
  const resource = store.state.resources.get(name as never);
  return resource && (resource.spec as { http: { timeout: string }[] }).http[0]!.timeout;
};
const meshConfigMap = (mesh: string, name = 'istio') =>
  server.put(resourceTypes.configMaps, { metadata: { name, namespace: 'istio-system' }, data: { mesh } });
const meshConfig = () => store.state.resources.get('MeshConfig/istio-system/istio' as never)?.spec;

describe('resources', () => {
  it('are in force as the API server has them, with their age and without a place in a file', async () => {
    const written = reviews('1s');
    await start();
    expect(inForce()).toBe('1s');
    const stored = store.state.resources.get('VirtualService/shop/reviews' as never)!;
    expect(stored).toMatchObject({
      origin: 'kubernetes',
      annotations: {},
      source: { file: 'kubernetes:VirtualService/shop/reviews', line: 0 },
    });
    expect(stored.creationTime.toISOString()).toBe(written.metadata.creationTimestamp);
    reviews('2s');
    await expect.poll(() => inForce()).toBe('2s');
    server.remove(virtualServices, 'shop', 'reviews');
    await expect.poll(() => inForce()).toBeUndefined();
  });

  it('that are not valid never replace a good version, and are told', async () => {
    reviews('1s');
    const { resources, status } = await start();
    reviews('5q');
    reviews('6q', {}, 'new');
    await expect.poll(() => resources.rejected.length).toBe(2);
    await resources.settled();
    expect(inForce()).toBe('1s');
    expect(inForce('VirtualService/shop/new')).toBeUndefined();
    expect(resources.rejected).toMatchObject([
      {
        resource: 'VirtualService/shop/reviews',
        lastGoodStays: true,
        problems: [{ path: 'spec.http[0].timeout', file: 'kubernetes:VirtualService/shop/reviews', line: 0 }],
      },
      { resource: 'VirtualService/shop/new', lastGoodStays: false },
    ]);
    expect(JSON.stringify(status())).toContain('"lastGoodStays":true');
    reviews('3s');
    await expect.poll(() => inForce()).toBe('3s');
    expect(resources.rejected).toHaveLength(1);
  });

  it('that were deleted do not live on in a bad successor', async () => {
    reviews('1s');
    const { resources } = await start();
    server.remove(virtualServices, 'shop', 'reviews');
    reviews('5q');
    await expect.poll(() => inForce()).toBeUndefined();
    expect(resources.rejected).toMatchObject([{ lastGoodStays: false }]);
  });

  it('are told once for each version, not again for a status that was written', async () => {
    const written = reviews('1s');
    const { resources } = await start();
    expect(reads).toHaveLength(1);
    const { version } = store.state;
    server.put(virtualServices, { ...written, status: { seen: true } } as never);
    await expect.poll(() => resources.seen.get('VirtualService/shop/reviews' as never)?.object.status).toBeDefined();
    await resources.settled();
    expect(reads).toHaveLength(1);
    expect(store.state.version).toBe(version);
  });

  it('of another revision are not ours, nor those that become so', async () => {
    reviews('1s', { 'istio.io/rev': 'canary' });
    reviews('1s', { 'istio.io/rev': 'default' }, 'own');
    reviews('1s', {}, 'all');
    await start();
    const names = () =>
      [...store.state.resources.values()]
        .filter(({ kind }) => kind === 'VirtualService')
        .map(({ name }) => name)
        .sort();
    expect(names()).toEqual(['all', 'own']);
    reviews('1s', { 'istio.io/rev': 'canary' }, 'all');
    reviews('2s', {}, 'reviews');
    await expect.poll(names).toEqual(['own', 'reviews']);
  });
});

describe('kinds', () => {
  it('whose definition is missing are told, do not hold up the rest, and are read once it comes', async () => {
    server.unserve(virtualServices);
    reviews('1s');
    const { kinds } = await start();
    const state = () => kinds.states.find(({ kind }) => kind === 'VirtualService');
    expect(state()).toMatchObject({ state: 'missing' });
    expect(kinds.states.filter((one) => one.state !== 'synced')).toHaveLength(1);
    // An older definition, which has only the oldest version.
    server.serve(typeOf('VirtualService', 2));
    await expect.poll(() => inForce()).toBe('1s');
    expect(state()).toMatchObject({ state: 'synced', apiVersion: 'networking.istio.io/v1alpha3' });
  });

  it('keep what is in force when they are not served for a while', async () => {
    reviews('1s');
    reviews('1s', {}, 'other');
    const { kinds } = await start();
    const type = virtualServices;
    server.unserve(type);
    const state = () => kinds.states.find(({ kind }) => kind === 'VirtualService')!.state;
    await expect.poll(state).toBe('missing');
    expect(inForce()).toBe('1s');
    server.remove(type, 'shop', 'other');
    server.serve(type);
    await expect.poll(() => inForce('VirtualService/shop/other')).toBeUndefined();
    expect(inForce()).toBe('1s');
  });
});

describe('a restart', () => {
  it('finds what was deleted while it was away', async () => {
    reviews('1s');
    reviews('1s', {}, 'other');
    await (await start()).stop();
    running.length = 0;
    server.remove(virtualServices, 'shop', 'other');
    store = await openStore();
    expect(inForce('VirtualService/shop/other')).toBe('1s');
    await start();
    expect(inForce('VirtualService/shop/other')).toBeUndefined();
    expect(inForce()).toBe('1s');
  });

  it('serves the last good versions while the API server is away, and a bad one does not replace them', async () => {
    reviews('1s');
    await (await start()).stop();
    running.length = 0;
    const { port } = server;
    await server.stop();
    store = await openStore();
    const { resources, status } = await start({ lastGoodAfterMs: 50 });
    expect(inForce()).toBe('1s');
    expect(JSON.stringify(status())).toContain('"isRead":false');
    reviews('5q');
    await server.listen(port);
    await expect.poll(() => resources.rejected).toMatchObject([{ lastGoodStays: true }]);
    expect(inForce()).toBe('1s');
  });

  it('forgets what was applied in local mode', async () => {
    const content = { ...(await firstContent()), origin: 'applied' as const, name: 'applied' };
    await store.transact(() => ({ change: { put: [content], remove: [] }, result: undefined }));
    await start();
    expect([...store.state.resources.keys()]).not.toContain('VirtualService/shop/applied');
  });

  async function firstContent() {
    reviews('1s');
    const sources = await start();
    const { content } = sources.resources.seen.get('VirtualService/shop/reviews' as never)!;
    await sources.stop();
    running.length = 0;
    return content!;
  }
});

describe('MeshConfig', () => {
  it('is the ConfigMap’s, the last good one when that is bad, and the defaults without it', async () => {
    meshConfigMap('accessLogFile: /dev/stdout\n');
    await start();
    expect(meshConfig()).toEqual({ accessLogFile: '/dev/stdout' });
    meshConfigMap('accessLogFile: [1]\n');
    await expect.poll(() => statuses.at(-1)?.accepted).toBe(false);
    expect(statuses.at(-1)).toMatchObject({
      file: 'kubernetes:ConfigMap/istio-system/istio',
      problems: [{ path: 'accessLogFile', line: 1 }],
    });
    expect(meshConfig()).toEqual({ accessLogFile: '/dev/stdout' });
    meshConfigMap('accessLogEncoding: JSON\n');
    await expect.poll(meshConfig).toEqual({ accessLogEncoding: 'JSON' });
    server.remove(resourceTypes.configMaps, 'istio-system', 'istio');
    await expect.poll(meshConfig).toEqual({});
  });

  it('of a revision is its own', async () => {
    meshConfigMap('accessLogFile: /dev/stdout\n');
    meshConfigMap('accessLogEncoding: JSON\n', 'istio-canary');
    await start({ revision: 'canary' });
    expect(meshConfig()).toEqual({ accessLogEncoding: 'JSON' });
  });
});
