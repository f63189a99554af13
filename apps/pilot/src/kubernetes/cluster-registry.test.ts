// Kubernetes: the registry of a cluster, from an API server that changes, forgets, breaks off and goes away.

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubeClient, type Node, resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer, refuse } from '@lateen/kubernetes/testing';
import { createLogger } from '@lateen/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ClusterRegistry } from './cluster-registry.js';
import { putPod, putSecret, putService, putSlice, SIDECAR } from './test-cluster.js';

let api: FakeApiServer;
let client: KubeClient;
let directory: string;
const opened: ClusterRegistry[] = [];

beforeEach(async () => {
  api = await FakeApiServer.start();
  client = api.client();
  directory = await mkdtemp(join(tmpdir(), 'cluster-registry-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((registry) => registry.close()));
  await api.stop();
  await rm(directory, { recursive: true, force: true });
});

async function open(onChange: () => void = () => undefined): Promise<ClusterRegistry> {
  const logger = createLogger('test', 'silent');
  const registry = await ClusterRegistry.open({ client, directory, logger, onChange });
  opened.push(registry);
  return registry;
}

/** What the registry says of services, in short: `web: 10.0.0.1, not 10.0.0.2`. */
function answerers(registry: ClusterRegistry): string[] {
  return (registry.current?.services ?? []).map(({ name, endpoints = [] }) => {
    const list = endpoints.map(({ addresses, ready }) => `${ready ? '' : 'not '}${addresses[0]}`);
    return `${name}: ${list.join(', ')}`;
  });
}

const says = (registry: ClusterRegistry, ...expected: string[]) =>
  expect.poll(() => answerers(registry), { timeout: 10_000 }).toEqual(expected);

function shop(name: string, optional = false) {
  return { namespace: 'istio-system', name, optional, namedBy: ['Gateway/istio-system/shop'] };
}

describe('services and pods', () => {
  it('appear, change and vanish', async () => {
    const registry = await open();
    await expect.poll(() => registry.isSynced).toBe(true);
    putService(api, 'web');
    putPod(api, { name: 'web-1', ip: '10.0.0.1', labels: { app: 'web' }, proxy: SIDECAR });
    putSlice(api, 'web', [{ name: 'web-1', ip: '10.0.0.1' }]);
    await says(registry, 'web: 10.0.0.1');
    expect(registry.current?.workloads).toMatchObject([{ name: 'web-1', address: '10.0.0.1', mutualTls: true }]);
    putSlice(api, 'web', [
      { name: 'web-1', ip: '10.0.0.1', ready: false },
      { name: 'web-2', ip: '10.0.0.2' },
    ]);
    await says(registry, 'web: not 10.0.0.1, 10.0.0.2');
    api.remove(resourceTypes.endpointSlices, 'shop', 'web-x');
    await says(registry, 'web: ');
    api.remove(resourceTypes.services, 'shop', 'web');
    await says(registry);
    api.remove(resourceTypes.pods, 'shop', 'web-1');
    await expect.poll(() => registry.current?.workloads).toEqual([]);
  });

  it('are missing until each kind has been listed once', async () => {
    api.intercept = (_request, response, url) => {
      if (!url.pathname.endsWith('/nodes')) return false;
      refuse(response, 403, 'Forbidden', 'nodes is forbidden: User "pilot" cannot list nodes');
      return true;
    };
    putService(api, 'web');
    const registry = await open();
    await expect
      .poll(() => registry.missing())
      .toMatch(/^the API server has not listed everything yet \(nodes: .*cannot list nodes/);
    expect(registry.current).toBeUndefined();
    api.intercept = undefined;
    await says(registry, 'web: ');
    expect(registry.missing()).toBeUndefined();
  });

  it('are as they are now after watches that broke, and after versions that the server has forgotten', async () => {
    putService(api, 'web');
    const registry = await open();
    await says(registry, 'web: ');
    api.breakWatches();
    putSlice(api, 'web', [{ name: 'web-1', ip: '10.0.0.1' }]);
    await says(registry, 'web: 10.0.0.1');
    const { port } = api;
    await api.stop();
    putSlice(api, 'web', [{ name: 'web-2', ip: '10.0.0.2' }]);
    putService(api, 'late');
    api.remove(resourceTypes.services, 'shop', 'late');
    api.store.compact(); // 410 Gone for whoever resumes
    await api.listen(port);
    await says(registry, 'web: 10.0.0.2');
  });

  it('are not said to have changed by the heartbeat of a node', async () => {
    const node = (beats: number): Node => ({
      metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'z1' } },
      status: { addresses: [{ type: 'InternalIP', address: `10.1.1.${beats}` }] },
    });
    api.put(resourceTypes.nodes, node(1));
    let changes = 0;
    const registry = await open(() => {
      changes += 1;
    });
    await expect.poll(() => registry.isSynced && api.watches() === 5).toBe(true);
    const before = changes;
    api.put(resourceTypes.nodes, node(2));
    putService(api, 'web');
    await says(registry, 'web: ');
    expect(changes).toBe(before + 1);
  });
});

describe('a restart', () => {
  it('serves what was known while the API server is away, and what it says once it is back', async () => {
    putService(api, 'web');
    putSecret(api, 'shop', { 'tls.crt': 'certificate', 'tls.key': 'key', other: 'not kept' });
    const first = await open();
    await says(first, 'web: ');
    first.follow([shop('shop')]);
    await expect.poll(() => first.current?.credentials.length).toBe(1);
    await first.close();
    const { port } = api;
    await api.stop();
    const second = await open();
    expect(answerers(second)).toEqual(['web: ']);
    expect(second.missing()).toBeUndefined();
    expect(second.follow([shop('shop')])).toBeUndefined();
    expect(second.current?.credentials).toEqual([
      { namespace: 'istio-system', name: 'shop', values: { 'tls.crt': 'certificate', 'tls.key': 'key' } },
    ]);
    putService(api, 'later');
    await api.listen(port);
    await says(second, 'later: ', 'web: ');
  });

  it('keeps keys in a file of their own that nobody else can read', async () => {
    putSecret(api, 'shop', { 'tls.crt': 'certificate', 'tls.key': 'very secret' });
    const registry = await open();
    registry.follow([shop('shop')]);
    await expect.poll(() => registry.isSynced && registry.current?.credentials.length).toBe(1);
    await registry.close();
    expect((await readdir(directory)).sort()).toEqual(['cluster-credentials.json', 'cluster-registry.json']);
    expect((await stat(join(directory, 'cluster-credentials.json'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(directory, 'cluster-registry.json'), 'utf8')).not.toContain('very secret');
  });

  it('waits for the API server where the file is damaged', async () => {
    await writeFile(join(directory, 'cluster-registry.json'), '{"format": 1, "serv');
    putService(api, 'web');
    const registry = await open();
    expect(registry.current).toBeUndefined();
    await says(registry, 'web: ');
  });
});

describe('Secrets', () => {
  const state = (registry: ClusterRegistry) => registry.secrets().map(({ name, state }) => `${name} ${state}`);

  it('are asked for by name alone, and no longer than they are named', async () => {
    putSecret(api, 'shop', { 'tls.crt': 'a', 'tls.key': 'b' });
    putSecret(api, 'other', { 'tls.crt': 'a', 'tls.key': 'b' });
    const registry = await open();
    await expect.poll(() => registry.isSynced).toBe(true);
    expect(registry.follow([shop('shop'), shop('shop-cacert', true)])).toMatch(
      /Secret istio-system\/shop, istio-system\/shop-cacert$/,
    );
    await expect.poll(() => state(registry)).toEqual(['shop found', 'shop-cacert absent']);
    const asked = api.requests.filter((line) => line.includes('/secrets'));
    expect(asked.length).toBeGreaterThan(0);
    for (const line of asked) {
      expect(line).toMatch(
        /\/namespaces\/istio-system\/secrets\?.*fieldSelector=metadata\.name(=|%3D)shop(-cacert)?(&|$)/,
      );
    }
    expect(registry.current?.credentials.map(({ name }) => name)).toEqual(['shop']);
    registry.follow([]);
    await expect.poll(() => api.watches(resourceTypes.secrets)).toBe(0);
    expect(registry.current?.credentials.map(({ name }) => name)).toEqual(['shop']); // until the next change
  });

  it('are rotated in place, and gone when they are deleted', async () => {
    putSecret(api, 'shop', { 'tls.crt': 'old', 'tls.key': 'old' });
    const registry = await open();
    await expect.poll(() => registry.isSynced).toBe(true);
    registry.follow([shop('shop')]);
    const certificate = () => registry.current?.credentials.map(({ values }) => values['tls.crt']);
    await expect.poll(certificate).toEqual(['old']);
    putSecret(api, 'shop', { 'tls.crt': 'new', 'tls.key': 'new' });
    await expect.poll(certificate).toEqual(['new']);
    api.remove(resourceTypes.secrets, 'istio-system', 'shop');
    await expect.poll(certificate).toEqual([]);
    expect(state(registry)).toEqual(['shop absent']);
  });

  it('that may not be read are told with what to do, and what was read before stays', async () => {
    putSecret(api, 'shop', { 'tls.crt': 'a', 'tls.key': 'b' });
    const registry = await open();
    await expect.poll(() => registry.isSynced).toBe(true);
    registry.follow([shop('shop')]);
    await expect.poll(() => state(registry)).toEqual(['shop found']);
    api.intercept = (_request, response, url) => {
      if (!url.pathname.includes('/secrets')) return false;
      refuse(response, 403, 'Forbidden', 'secrets "shop" is forbidden');
      return true;
    };
    api.breakWatches();
    await expect.poll(() => state(registry), { timeout: 10_000 }).toEqual(['shop refused']);
    expect(registry.secrets()[0]).toMatchObject({ served: true, namedBy: ['Gateway/istio-system/shop'] });
    expect(registry.current?.credentials[0]?.values['tls.crt']).toBe('a');
    registry.follow([shop('shop'), shop('second')]);
    await expect.poll(() => state(registry)).toEqual(['second refused', 'shop refused']);
    expect(registry.follow([shop('shop'), shop('second')])).toBeUndefined();
    expect(registry.current?.credentials.find(({ name }) => name === 'second')?.fault).toMatch(
      /^cannot be read: .*is forbidden.*; give pilot's service account a Role in namespace istio-system that may get, list and watch it$/,
    );
  });
});
