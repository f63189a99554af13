// The store: versions, what changes and what does not, files that are damaged.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigStore } from './config-store.js';
import { decodeResource, encodeResource, resourcePath } from './resource-files.js';
import { type ResourceContent, resourceKey, type StoredResource } from './stored-resource.js';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'lateen-store-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const open = () => ConfigStore.open({ stateDir, onFatal: () => undefined });
const content = (name: string, spec: unknown = { hosts: ['a'] }): ResourceContent => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'VirtualService',
  namespace: 'default',
  name,
  labels: { app: 'x' },
  annotations: { note: 'line one\nline two: "quoted" # not a comment' },
  spec,
  source: { file: 'dir/a.yaml', line: 3, column: 1 },
  origin: 'applied',
});
const put = (store: ConfigStore, ...contents: ResourceContent[]) =>
  store.transact(() => ({ change: { put: contents, remove: [] }, result: undefined }));
const remove = (store: ConfigStore, name: string) =>
  store.transact(() => ({
    change: { put: [], remove: [resourceKey('VirtualService', 'default', name)] },
    result: undefined,
  }));
const get = (store: ConfigStore, name: string) =>
  store.state.resources.get(resourceKey('VirtualService', 'default', name));

describe('ConfigStore', () => {
  it('keeps what it accepted, with the time of the first acceptance', async () => {
    const store = await open();
    await put(store, content('a'), content('b'));
    const first = get(store, 'a') as StoredResource;
    await put(store, content('a', { hosts: ['b'] }));
    const second = get(store, 'a') as StoredResource;
    expect(second.resourceVersion).toBeGreaterThan(first.resourceVersion);
    expect(second.creationTime).toEqual(first.creationTime);
    const again = await open();
    expect([...again.state.resources]).toEqual([...store.state.resources]);
    expect(again.state.version).toBe(store.state.version);
  });

  it('changes nothing, and tells nobody, where everything is as wanted', async () => {
    const store = await open();
    await put(store, content('a', { b: 1, c: [{ d: 1, e: 2 }] }));
    const { state } = store;
    let told = 0;
    store.subscribe(() => told++);
    await put(store, {
      ...content('a', { c: [{ e: 2, d: 1 }], b: 1 }),
      source: { file: 'b.yaml', line: 9, column: 1 },
    });
    await remove(store, 'unknown');
    expect(store.state).toBe(state);
    expect(told).toBe(0);
  });

  it('never gives a version twice, not even after deleting the newest resource and a restart', async () => {
    const store = await open();
    await put(store, content('a'));
    const before = get(store, 'a')!.resourceVersion;
    await remove(store, 'a');
    const again = await open();
    await put(again, content('a'));
    expect(get(again, 'a')!.resourceVersion).toBeGreaterThan(before + 1);
  });

  it('takes decisions one after another', async () => {
    const store = await open();
    await Promise.all(
      Array.from({ length: 20 }, () =>
        store.transact((state) => {
          const count =
            (state.resources.get(resourceKey('VirtualService', 'default', 'n'))?.spec as { n: number })?.n ?? 0;
          return { change: { put: [content('n', { n: count + 1 })], remove: [] }, result: undefined };
        }),
      ),
    );
    expect(get(store, 'n')!.spec).toEqual({ n: 20 });
  });

  it('refuses to start with a damaged file, and names it', async () => {
    const store = await open();
    await put(store, content('a'));
    const file = join(stateDir, resourcePath(content('a')));
    const text = await readFile(file, 'utf8');
    for (const damaged of ['', '{', text.replace('kind:', 'kin:'), text.replace(/resourceVersion.*/, '')]) {
      await writeFile(file, damaged);
      await expect(open()).rejects.toThrow(file);
    }
    await writeFile(file, text.replace('name: a', 'name: b'));
    await expect(open()).rejects.toThrow(/whose place is elsewhere/);
    await writeFile(file, text);
    await writeFile(join(stateDir, 'version'), 'x');
    await expect(open()).rejects.toThrow(/version is damaged/);
    await rm(join(stateDir, 'version'));
    await writeFile(join(stateDir, 'journal.json'), '{}');
    await expect(open()).rejects.toThrow(/journal\.json is damaged/);
  });
});

describe('resource files', () => {
  const stored: StoredResource = {
    ...content('a'),
    resourceVersion: 7,
    creationTime: new Date('2026-01-02T03:04:05.678Z'),
  };

  it('read back as they were written', () => {
    const specs = [
      { text: 'yes', no: 'no', number: '012', date: '2020-01-01', empty: '', nothing: null, list: [1, 1.5, true, '~'] },
      { long: 'x '.repeat(500), lines: 'a\n\n b\n', tab: '\t', unicode: 'é\u2028' },
    ];
    for (const spec of specs)
      expect(decodeResource(encodeResource({ ...stored, spec }), 'applied')).toEqual({ ...stored, spec });
  });

  it('have a place that no name can leave, and that every name fits in', () => {
    const path = (name: string, namespace = 'default') => resourcePath({ ...stored, name, namespace });
    expect(path('reviews')).toBe('config/applied/networking.istio.io/VirtualService/default/reviews.yaml');
    for (const name of ['', '.', '..', '../x', 'a/b', 'a\\b', 'A', 'a\0', '-a', 'a.', 'x'.repeat(254)]) {
      expect(() => path(name)).toThrow(/not a Kubernetes name/);
      expect(() => path('a', name)).toThrow(/not a Kubernetes name/);
    }
    const long = [`${'x'.repeat(252)}a`, `${'x'.repeat(252)}b`].map((name) => path(name).split('/').at(-1) as string);
    expect(new Set(long).size).toBe(2);
    for (const name of long) expect(name.length).toBeLessThan(230);
  });
});
