// Informers against an HTTP server that plays the API's protocol, well and badly.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ConfigMap, KubeObject } from '../objects.js';
import { resourceTypes } from '../resource-type.js';
import { FakeApiServer, refuse } from '../testing/fake-api-server.js';
import { Informer, type InformerChange, type InformerOptions } from './informer.js';

const { configMaps } = resourceTypes;
let server: FakeApiServer;
const informers: Informer<ConfigMap>[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
});
afterEach(async () => {
  await Promise.all(informers.splice(0).map((informer) => informer.stop()));
  await server.stop();
});

const put = (name: string, value = '1', labels: Record<string, string> = {}, namespace = 'shop') =>
  server.put(configMaps, { metadata: { name, namespace, labels }, data: { value } });

/** An informer with a log of its changes, `added shop/a=1`. */
function open(options: Partial<InformerOptions<ConfigMap>> = {}) {
  const log: string[] = [];
  const errors: (string | undefined)[] = [];
  const informer = new Informer<ConfigMap>({
    client: server.client(),
    type: configMaps,
    backoff: { firstMs: 5, capMs: 50 },
    onError: (error) => errors.push(error?.message),
    ...options,
  });
  informer.subscribe((changes) => log.push(...changes.map(describeChange)));
  informers.push(informer.start());
  return { informer, log, errors };
}

function describeChange({ type, object }: InformerChange<ConfigMap>): string {
  return `${type} ${object.metadata.namespace}/${object.metadata.name}=${object.data?.value}`;
}

/** Waits until the log says exactly this, and nothing more comes of what is on the way. */
async function logs(log: string[], ...expected: string[]): Promise<void> {
  await expect.poll(() => log).toEqual(expected);
}
const watching = () => expect.poll(() => server.watches()).toBe(1);
const lists = () => server.requests.filter((line) => !line.includes('watch=true')).length;

describe('a healthy server', () => {
  it('gives what is there in pages, then each change once', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) put(name);
    const { informer, log } = open({ pageSize: 2 });
    await informer.synced;
    expect(log).toEqual(['a', 'b', 'c', 'd', 'e'].map((name) => `added shop/${name}=1`));
    expect(lists()).toBe(3);
    log.length = 0;
    put('a', '2');
    put('f');
    server.remove(configMaps, 'shop', 'b');
    await logs(log, 'updated shop/a=2', 'added shop/f=1', 'deleted shop/b=1');
    expect(informer.get('shop', 'a')?.data).toEqual({ value: '2' });
    expect(informer.get('shop', 'b')).toBeUndefined();
    expect(informer.objects()).toHaveLength(5);
  });

  it('takes what selectors and the namespace choose, as objects come to meet them and cease to', async () => {
    put('a', '1', { app: 'x' });
    put('b');
    put('c', '1', { app: 'x' }, 'other');
    const { informer, log } = open({ namespace: 'shop', labelSelector: 'app=x' });
    await informer.synced;
    put('b', '2', { app: 'x' });
    put('a', '2');
    await logs(log, 'added shop/a=1', 'added shop/b=2', 'deleted shop/a=2');
  });

  it('keeps what it is told to keep, and no managedFields otherwise', async () => {
    server.put(configMaps, { metadata: { name: 'a', namespace: 'shop', managedFields: [{}] } as never });
    const { informer } = open();
    const bare = open({ keep: ({ metadata }) => ({ metadata }) });
    await Promise.all([informer.synced, bare.informer.synced]);
    expect(informer.get('shop', 'a')?.metadata).not.toHaveProperty('managedFields');
    expect(Object.keys(bare.informer.get('shop', 'a')!)).toEqual(['metadata']);
  });

  it('reads objects whose bytes arrive in any pieces', async () => {
    put('a');
    const { informer, log } = open();
    await informer.synced;
    await watching();
    const object: KubeObject & Pick<ConfigMap, 'data'> = {
      metadata: { name: 'ü', namespace: 'shop', uid: 'u', resourceVersion: '900' },
      data: { value: 'žluťoučký' },
    };
    const bytes = Buffer.from(`${JSON.stringify({ type: 'ADDED', object })}\n`);
    await server.writeInPieces(bytes, 7);
    await logs(log, 'added shop/a=1', 'added shop/ü=žluťoučký');
  });
});

describe('a connection that breaks', () => {
  it('resumes from the last version, with nothing lost, repeated or listed again', async () => {
    put('a');
    const { informer, log } = open();
    await informer.synced;
    await watching();
    for (let round = 2; round < 12; round++) {
      put('a', String(round));
      if (round % 3 === 0) server.breakWatches();
      else if (round % 3 === 1) server.breakWatches('{"type":"MODIFIED","object":{"meta');
      put('b', String(round));
      await watching();
    }
    const rounds = [...Array(10).keys()].map((index) => index + 2);
    const changes = rounds.flatMap((n) => [`updated shop/a=${n}`, `${n === 2 ? 'added' : 'updated'} shop/b=${n}`]);
    await logs(log, 'added shop/a=1', ...changes);
    expect(lists()).toBe(1);
  });

  it('resumes from a bookmark, so that compaction since the last event costs no list', async () => {
    put('a');
    const { informer, log } = open();
    await informer.synced;
    await watching();
    server.put(resourceTypes.pods, { metadata: { name: 'p', namespace: 'shop' } });
    server.bookmark();
    const { revision } = server.store;
    server.store.compact();
    await server.flushed();
    server.breakWatches();
    await expect.poll(() => server.requests.at(-1)).toContain(`resourceVersion=${revision}`);
    put('a', '2');
    await logs(log, 'added shop/a=1', 'updated shop/a=2');
    expect(lists()).toBe(1);
  });

  it('tells what is wrong while the server is away, and when it is back', async () => {
    const { port } = server;
    const { informer, log, errors } = open();
    await informer.synced;
    await watching();
    await server.stop();
    await expect.poll(() => informer.lastError?.message).toContain('cannot be reached');
    put('a');
    await server.listen(port);
    await logs(log, 'added shop/a=1');
    expect(informer.lastError).toBeUndefined();
    expect(errors.at(-1)).toBeUndefined();
  });

  it('breaks off a watch that carries nothing', async () => {
    const { informer, log } = open({ stallMs: 100 });
    await informer.synced;
    let stalled = 0;
    server.intercept = (_request, response, url) => {
      if (!url.searchParams.has('watch') || stalled >= 2) return false;
      if (stalled++ === 0) response.writeHead(200).flushHeaders(); // and then nothing; the second one not even that
      return true;
    };
    server.breakWatches();
    await expect.poll(() => stalled).toBe(2);
    put('a');
    await logs(log, 'added shop/a=1');
  });
});

describe('a version that is no longer kept', () => {
  it('lists again and tells the exact difference', async () => {
    put('same');
    put('changed');
    put('gone');
    put('replaced');
    const { informer, log } = open();
    await informer.synced;
    await watching();
    log.length = 0;
    server.intercept = (request) => {
      if (request.url!.includes('watch')) request.destroy();
      return request.url!.includes('watch');
    };
    server.breakWatches();
    await expect.poll(() => server.watches()).toBe(0);
    put('changed', '2');
    server.remove(configMaps, 'shop', 'gone');
    server.remove(configMaps, 'shop', 'replaced');
    put('replaced', '2');
    put('new');
    server.store.compact();
    server.intercept = undefined;
    await expect.poll(() => log.length).toBe(5);
    expect([...log].sort()).toEqual([
      'added shop/new=1',
      'added shop/replaced=2',
      'deleted shop/gone=1',
      'deleted shop/replaced=1',
      'updated shop/changed=2',
    ]);
  });

  it('does the same when the watch is refused with 410, and for an ERROR event in the middle', async () => {
    const { informer, log } = open();
    await informer.synced;
    await watching();
    put('a');
    await logs(log, 'added shop/a=1');
    server.writeToWatches({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'old' } });
    await expect.poll(lists).toBe(2);
    let refused = 0;
    server.intercept = (_request, response, url) => {
      if (!url.searchParams.has('watch') || refused > 0) return false;
      refused++;
      refuse(response, 410, 'Gone', 'too old');
      return true;
    };
    await watching();
    server.breakWatches();
    await expect.poll(lists).toBe(3);
    put('b');
    await logs(log, 'added shop/a=1', 'added shop/b=1');
    expect(informer.lastError).toBeUndefined();
  });

  it('reads a list in one piece whose continuation has expired', async () => {
    for (const name of ['a', 'b', 'c']) put(name);
    server.intercept = (_request, _response, url) => {
      if (url.searchParams.has('continue')) {
        put('d');
        server.store.compact();
        server.intercept = undefined;
      }
      return false;
    };
    const { informer, log } = open({ pageSize: 2 });
    await informer.synced;
    expect(log).toEqual(['a', 'b', 'c', 'd'].map((name) => `added shop/${name}=1`));
  });

  it('does not hurry when each watch is refused', async () => {
    const { informer } = open({ backoff: { firstMs: 100, capMs: 1_000 } });
    await informer.synced;
    server.intercept = (_request, response, url) => {
      if (url.searchParams.has('watch')) refuse(response, 410, 'Expired', 'too old');
      return url.searchParams.has('watch');
    };
    const before = lists();
    const since = performance.now();
    server.breakWatches();
    await expect.poll(() => lists() - before).toBe(6);
    // 5 + 10 + 20 + 40 + 80 at the least.
    expect(performance.now() - since).toBeGreaterThan(100);
  });
});

describe('a server that refuses', () => {
  it('waits as long as 429 asks', async () => {
    let refusedAt = 0;
    server.intercept = (_request, response) => {
      server.intercept = undefined;
      refusedAt = performance.now();
      response.setHeader('retry-after', '1');
      refuse(response, 429, 'TooManyRequests', 'slow down');
      return true;
    };
    const { informer, errors } = open();
    await informer.synced;
    expect(performance.now() - refusedAt).toBeGreaterThanOrEqual(990);
    expect(errors[0]).toContain('slow down (429 TooManyRequests)');
  });

  it('does not list again for rights that it lacks for a moment', async () => {
    const { informer, log } = open();
    await informer.synced;
    await watching();
    let refused = 0;
    server.intercept = (_request, response) => {
      if (refused === 3) return false;
      refuse(response, 403, 'Forbidden', 'not yet');
      return ++refused > 0;
    };
    server.breakWatches();
    await expect.poll(() => refused).toBe(3);
    put('a');
    await logs(log, 'added shop/a=1');
    expect(lists()).toBe(1);
  });

  it('tells a kind that is not served, and has it once it comes; what it holds stays when it goes', async () => {
    const type = { group: 'example.com', version: 'v1', kind: 'Thing', plural: 'things', namespaced: true };
    const onMissing = vi.fn();
    const { informer } = open({ type: type as never, onMissing });
    await expect.poll(() => onMissing.mock.calls.length).toBeGreaterThan(1);
    expect(informer.hasSynced).toBe(false);
    server.serve(type);
    server.put(type, { metadata: { name: 'a', namespace: 'shop' } });
    await informer.synced;
    expect(informer.objects()).toHaveLength(1);
    onMissing.mockClear();
    server.unserve(type);
    await expect.poll(() => onMissing.mock.calls.length).toBeGreaterThan(0);
    expect(informer.objects()).toHaveLength(1);
  });

  it('stops at once, whatever it waits for', async () => {
    server.intercept = () => true; // never answers
    const { informer } = open();
    await expect.poll(() => server.requests.length).toBe(1);
    await informer.stop();
    expect(informer.hasSynced).toBe(false);
  });
});
