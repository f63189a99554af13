// Store: warming, batches, refusals, reconnection.

import { TestAuthority } from '@lateen/identity/testing';
import { TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createStaticResources } from './assemble-config.js';
import { ConfigStore, type ConfigStoreOptions } from './config-store.js';
import { EMPTY_STATE, type ResourceChange } from './resource-state.js';
import {
  certificateSecret,
  edsCluster,
  endpoints,
  RecordingDataPlane,
  rdsListener,
  routes,
  tlsListener,
} from './test-resources.js';

const stores: ConfigStore[] = [];
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
});

function start(options: Partial<ConfigStoreOptions> = {}) {
  const dataPlane = new RecordingDataPlane();
  const needed = new Map<string, string[]>();
  const log = vi.fn();
  const store = new ConfigStore({
    dataPlane,
    statics: createStaticResources({ listeners: [], clusters: [], secrets: [] }),
    fetchTimeoutMs: 15_000,
    log,
    onNeeded: (typeUrl, names) => needed.set(typeUrl, [...names.keys()]),
    ...options,
  });
  stores.push(store);
  const update = (typeUrl: XdsTypeUrl, upserts: unknown[], removed: string[] = []) =>
    store.update({ typeUrl, upserts, removed } as ResourceChange);
  return { store, dataPlane, needed, log, update };
}

describe('ConfigStore', () => {
  it('waits for endpoints before a cluster, and for routes before a listener, and says what it needs', async () => {
    const { dataPlane, needed, store, update } = start();
    await update(TYPE_URL.cluster, [edsCluster('c')]);
    await update(TYPE_URL.listener, [rdsListener('l', 'r')]);
    expect(dataPlane.last).toMatchObject({ clusters: [], listeners: [] });
    expect(needed.get(TYPE_URL.endpoint)).toEqual(['c']);
    expect(needed.get(TYPE_URL.route)).toEqual(['r']);
    expect(store.warmingNames.sort()).toEqual(['c', 'l']);
    await update(TYPE_URL.endpoint, [endpoints('c')]);
    expect(dataPlane.last).toMatchObject({ clusters: ['c'], listeners: [] });
    await update(TYPE_URL.route, [routes('r', 'c')]);
    expect(dataPlane.last).toMatchObject({ clusters: ['c'], listeners: ['l'], routes: ['r'], endpoints: ['c'] });
    expect(store.warmingNames).toEqual([]);
  });

  it('says that it applies until the data path has what came', async () => {
    const { dataPlane, store, update } = start();
    let bound: () => void = () => {};
    const binding = new Promise<void>((resolve) => {
      bound = resolve;
    });
    await update(TYPE_URL.listener, [rdsListener('l', 'r')]);
    await vi.waitFor(() => expect(store.isApplying).toBe(false));
    const apply = vi.spyOn(dataPlane, 'apply').mockReturnValue(binding);
    const applied = update(TYPE_URL.route, [routes('r', 'c')]);
    expect(store.isApplying).toBe(true);
    await vi.waitFor(() => expect(apply).toHaveBeenCalledTimes(1));
    // The listener waits no longer, and is not bound yet.
    expect(store.warmingNames).toEqual([]);
    expect(store.isApplying).toBe(true);
    bound();
    await applied;
    await vi.waitFor(() => expect(store.isApplying).toBe(false));
  });

  it('applies what arrives together once', async () => {
    const { dataPlane, update } = start();
    await Promise.all([
      update(TYPE_URL.cluster, [edsCluster('c')]),
      update(TYPE_URL.endpoint, [endpoints('c')]),
      update(TYPE_URL.listener, [rdsListener('l', 'r')]),
      update(TYPE_URL.route, [routes('r', 'c')]),
    ]);
    expect(dataPlane.applied).toHaveLength(1);
    expect(dataPlane.last).toMatchObject({ clusters: ['c'], listeners: ['l'] });
  });

  it('goes on without what does not come in time', async () => {
    const { dataPlane, update } = start({ fetchTimeoutMs: 20 });
    await update(TYPE_URL.cluster, [edsCluster('c')]);
    expect(dataPlane.last.clusters).toEqual([]);
    await vi.waitFor(() => expect(dataPlane.last.clusters).toEqual(['c']));
  });

  it('keeps the listener in effect while its next version waits for new routes', async () => {
    const { dataPlane, needed, update } = start();
    await update(TYPE_URL.listener, [rdsListener('l', 'r1')]);
    await update(TYPE_URL.route, [routes('r1', 'c')]);
    const first = dataPlane.applied.at(-1)?.listeners[0];
    await update(TYPE_URL.listener, [rdsListener('l', 'r2')]);
    expect(dataPlane.applied.at(-1)?.listeners[0]).toBe(first);
    expect(needed.get(TYPE_URL.route)?.sort()).toEqual(['r1', 'r2']);
    await update(TYPE_URL.route, [routes('r2', 'c')]);
    expect(dataPlane.applied.at(-1)?.listeners[0]).not.toBe(first);
    expect(needed.get(TYPE_URL.route)).toEqual(['r2']);
    expect(dataPlane.last.routes).toEqual(['r1', 'r2']);
  });

  it('hands the same objects on for what did not change', async () => {
    const { dataPlane, update } = start();
    await update(TYPE_URL.cluster, [edsCluster('a'), edsCluster('b')]);
    await update(TYPE_URL.endpoint, [endpoints('a'), endpoints('b')]);
    const before = dataPlane.applied.at(-1);
    await update(TYPE_URL.cluster, [edsCluster('a'), edsCluster('b', 'changed')]);
    await update(TYPE_URL.endpoint, [endpoints('a', 81)]);
    const after = dataPlane.applied.at(-1);
    expect(after?.clusters[0]).toBe(before?.clusters[0]);
    expect(after?.clusters[1]).not.toBe(before?.clusters[1]);
    expect(after?.endpoints.get('b')).toBe(before?.endpoints.get('b'));
    expect(after?.routes).toBe(before?.routes);
  });

  it('takes out what the data path refuses, applies the rest and names it', async () => {
    const { dataPlane, store, update } = start();
    await update(TYPE_URL.endpoint, []);
    await update(TYPE_URL.cluster, [edsCluster('good'), edsCluster('bad')]);
    await update(TYPE_URL.endpoint, [endpoints('good'), endpoints('bad')]);
    const held = dataPlane.applied.at(-1)?.clusters[1];
    const problem = { resourceType: TYPE_URL.cluster, resourceName: 'bad', path: 'lb_policy', message: 'too many' };
    const next = edsCluster('bad', 'v2');
    dataPlane.apply = async (config) => {
      const refused = config.clusters.includes(next.value);
      if (refused) throw new (await import('../../data-plane.js')).ConfigRejected([problem]);
      dataPlane.applied.push(config);
    };
    const problems = await update(TYPE_URL.cluster, [edsCluster('good', 'v2'), next]);
    expect(problems).toEqual([problem]);
    expect(dataPlane.applied.at(-1)?.clusters.map(({ altStatName }) => altStatName)).toEqual(['v2', '']);
    expect(dataPlane.applied.at(-1)?.clusters[1]).toBe(held);
    expect([...store.rejected].map(({ name, message }) => [name, message])).toEqual([['bad', 'lb_policy: too many']]);
    expect(await update(TYPE_URL.cluster, [edsCluster('bad', 'v3')])).toEqual([]);
    expect([...store.rejected]).toEqual([]);
  });

  it('tries a listener that cannot be bound again by itself, and serves the rest and the older one meanwhile', async () => {
    const { dataPlane, store, log, update } = start();
    await update(TYPE_URL.route, []);
    const older = rdsListener('moved', 'r');
    await Promise.all([update(TYPE_URL.listener, [older]), update(TYPE_URL.route, [routes('r', 'c')])]);
    const newer = rdsListener('moved', 'r', 'v2');
    const busy = rdsListener('busy', 'r');
    const problems = ['busy', 'moved'].map((resourceName) => ({
      resourceType: TYPE_URL.listener,
      resourceName,
      path: 'address',
      message: 'cannot bind 127.0.0.1:80: EADDRINUSE',
      mayPass: true,
    }));
    const { ConfigRejected } = await import('../../data-plane.js');
    let freed = false;
    let attempts = 0;
    dataPlane.apply = async (config) => {
      if (!freed && config.listeners.some((listener) => listener === newer.value || listener === busy.value)) {
        attempts++;
        throw new ConfigRejected(problems);
      }
      dataPlane.applied.push(config);
    };
    expect(await update(TYPE_URL.listener, [rdsListener('good', 'r'), newer, busy])).toEqual(problems);
    expect(dataPlane.last.listeners.sort()).toEqual(['good', 'moved']);
    expect(dataPlane.applied.at(-1)?.listeners).toContain(older.value);
    expect(store.warmingNames).toEqual([]);
    expect([...store.unbound.values()]).toMatchObject([
      { name: 'moved', olderServes: true },
      { name: 'busy', olderServes: false, reason: 'cannot bind 127.0.0.1:80: EADDRINUSE' },
    ]);
    expect([...store.accepted[TYPE_URL.listener].keys()].sort()).toEqual(['busy', 'good', 'moved']);
    const count = dataPlane.applied.length;
    await vi.waitFor(() => expect(attempts).toBeGreaterThan(1), 5_000);
    // An attempt alone applies nothing else, and is no news.
    expect(dataPlane.applied).toHaveLength(count);
    expect(log).not.toHaveBeenCalledWith('error', expect.anything(), expect.anything());
    freed = true;
    await vi.waitFor(() => expect(store.unbound.size).toBe(0), 5_000);
    expect(dataPlane.applied.at(-1)?.listeners).toEqual(expect.arrayContaining([newer.value, busy.value]));
    expect([...store.rejected]).toEqual([]);
  });

  it('forgets a listener that cannot be bound when it is removed, and tries another version at once', async () => {
    const { dataPlane, store, update } = start();
    await update(TYPE_URL.route, [routes('r', 'c')]);
    const path = 'address';
    const message = 'cannot bind 127.0.0.1:80: EADDRINUSE';
    dataPlane.refuse = [{ resourceType: TYPE_URL.listener, resourceName: 'l', path, message, mayPass: true }];
    await Promise.all([update(TYPE_URL.listener, [rdsListener('l', 'r')]), update(TYPE_URL.route, [routes('r', 'c')])]);
    expect([...store.unbound.keys()]).toEqual(['l']);
    await update(TYPE_URL.listener, [], ['l']);
    expect([...store.unbound.keys()]).toEqual([]);
    expect([...store.rejected]).toEqual([]);
    await update(TYPE_URL.listener, [rdsListener('l', 'r')]);
    await update(TYPE_URL.route, [routes('r', 'c')]);
    dataPlane.refuse = [];
    expect(await update(TYPE_URL.listener, [rdsListener('l', 'r', 'v2')])).toEqual([]);
    expect(dataPlane.last.listeners).toEqual(['l']);
    expect(store.unbound.size).toBe(0);
  });

  it('refuses the whole batch where no resource is named, and what ran keeps running', async () => {
    const { dataPlane, update } = start();
    await update(TYPE_URL.route, []);
    dataPlane.refuse = [{ resourceType: '', resourceName: '', path: '', message: 'needs 20 MiB, has 16' }];
    const problems = await update(TYPE_URL.listener, [rdsListener('l', 'r')]);
    expect(problems.map(({ message }) => message).join()).toContain('needs 20 MiB');
    dataPlane.refuse = [];
    await update(TYPE_URL.route, []);
    expect(dataPlane.last.listeners).toEqual([]);
  });

  it('keeps removed clusters until the first answers of a new stream are in', async () => {
    const { dataPlane, store, update } = start();
    await update(TYPE_URL.cluster, [edsCluster('old')]);
    await update(TYPE_URL.endpoint, [endpoints('old')]);
    store.beginSync();
    await update(TYPE_URL.cluster, [edsCluster('new')], ['old']);
    expect(dataPlane.last.clusters).toEqual(['old']);
    store.endSync();
    await vi.waitFor(() => expect(dataPlane.last.clusters).toEqual([]));
  });

  it('lets a static resource win over one of the same name', async () => {
    const statics = createStaticResources({ listeners: [], clusters: [edsCluster('c').value], secrets: [] });
    const { dataPlane, update } = start({ statics });
    const [problem] = await update(TYPE_URL.cluster, [edsCluster('c', 'dynamic')]);
    expect(problem?.message).toContain('bootstrap');
    expect(dataPlane.last.clusters).toEqual(['c']);
  });

  it('restores, in one step, what was kept', async () => {
    const { dataPlane, store } = start();
    const cluster = edsCluster('c');
    const assignment = endpoints('c');
    store.restore({
      ...EMPTY_STATE,
      [TYPE_URL.cluster]: new Map([['c', cluster]]),
      [TYPE_URL.endpoint]: new Map([['c', assignment]]),
    });
    expect(await store.applyNow()).toEqual([]);
    expect(dataPlane.last).toMatchObject({ clusters: ['c'], endpoints: ['c'] });
  });

  it('waits for secrets that come over ADS, and hands them on as PEM', async () => {
    const { dataPlane, needed, update } = start();
    const name = 'kubernetes://gateway-cert';
    await update(TYPE_URL.listener, [tlsListener('l', name)]);
    expect(dataPlane.last.listeners).toEqual([]);
    expect(needed.get(TYPE_URL.secret)).toEqual([name]);
    const { keyPem, certChainPem } = await (await TestAuthority.create()).issue({
      namespace: 'default',
      serviceAccount: 'gateway',
    });
    await update(TYPE_URL.secret, [certificateSecret(name, certChainPem, keyPem)]);
    expect(dataPlane.last.listeners).toEqual(['l']);
    expect(dataPlane.applied.at(-1)?.secrets.get(name)).toEqual({
      kind: 'certificate',
      certificateChainPem: certChainPem,
      privateKeyPem: keyPem,
    });
  });

  it('gives a renewed certificate to new handshakes without applying a configuration', async () => {
    const { dataPlane, store, update } = start();
    await update(TYPE_URL.route, []);
    const count = dataPlane.applied.length;
    store.setLocalSecrets(new Map([['ROOTCA', { kind: 'validation', trustedCaPem: 'pem' }]]));
    await vi.waitFor(() => expect(dataPlane.secretUpdates.at(-1)?.has('ROOTCA')).toBe(true));
    expect(dataPlane.applied).toHaveLength(count);
  });
});
