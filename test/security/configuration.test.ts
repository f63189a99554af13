// Security: configuration that is wrong is refused by place and changes nothing; what is right costs no request.

import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, createServer, get as httpGet, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { ControlPlane, dynamicResources, rds, type Served } from './control-plane.js';
import { cluster, type Json, listener, ProxyUnderTest, toCluster } from './proxy-under-test.js';

let backend: Server;
let backendPort = 0;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  backend = createServer((request, response) => {
    const delayMs = Number(/delay=(\d+)/.exec(request.url ?? '')?.[1] ?? 0);
    setTimeout(() => response.end('ok'), delayMs);
  });
  backend.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  backendPort = (backend.address() as AddressInfo).port;
});

afterAll(() => {
  backend.closeAllConnections();
  backend.close();
});

afterEach(async () => {
  for (const step of cleanups.splice(0).reverse()) await step();
});

/** Status of one request, 0 where it failed. */
function ask(port: number, path = '/', agent: Agent | false = false): Promise<number> {
  return new Promise((resolve) => {
    httpGet({ port, host: '127.0.0.1', path, agent, headers: { host: 'a' } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', () => resolve(0));
    }).on('error', () => resolve(0));
  });
}

/** Asks at a rate on fresh and on kept connections until told to stop; how many were answered otherwise than with 200. */
function load(port: number, perSecond: number): { stop: () => Promise<{ total: number; failed: number[] }> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  const pending = new Set<Promise<void>>();
  const failed: number[] = [];
  let total = 0;
  const timer = setInterval(() => {
    const fresh = total++ % 2 === 0;
    const one = ask(port, '/', fresh ? false : agent).then((status) => {
      pending.delete(one);
      if (status !== 200) failed.push(status);
    });
    pending.add(one);
  }, 1000 / perSecond);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(pending);
      agent.destroy();
      return { total, failed };
    },
  };
}

async function startDynamic(
  first: Served,
  flags: readonly string[] = [],
): Promise<{ plane: ControlPlane; proxy: ProxyUnderTest }> {
  const plane = await ControlPlane.start();
  cleanups.push(() => plane.stop());
  plane.publish(first);
  const proxy = await ProxyUnderTest.startWith(dynamicResources(plane.port), { flags });
  cleanups.push(() => proxy.stop());
  return { plane, proxy };
}

const routes = (name: string, ...each: Json[]): Json => ({
  name,
  virtual_hosts: [{ name: 'all', domains: ['*'], routes: each }],
});

describe('a control plane', () => {
  test('that changes routes 200 times while 200 requests a second run loses none', async () => {
    const port = await freePort();
    const served = (index: number): Served => ({
      listeners: [listener('web', port, { routes: [], hcm: rds('web') })],
      clusters: [cluster('app', backendPort), cluster(`app-${index % 7}`, backendPort)],
      routes: [
        routes(
          'web',
          { match: { prefix: `/never-${index}` }, direct_response: { status: 500 } },
          toCluster(index === 0 ? 'app' : `app-${index % 7}`),
        ),
      ],
    });
    const { plane, proxy } = await startDynamic(served(0));
    await waitUntil('traffic', async () => (await ask(port)) === 200);
    const running = load(port, 200);
    for (let index = 1; index <= 200; index++) {
      plane.publish(served(index));
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    const { total, failed } = await running.stop();
    expect(failed).toEqual([]);
    expect(total).toBeGreaterThan(200);
    expect(plane.nacks).toEqual([]);
    expect(await proxy.metric('lateen_config_applied_total')).toBeGreaterThan(20);
  });

  test('that changes a listener loses no request either, and connections of others stay', async () => {
    const [port, other] = [await freePort(), await freePort()];
    const served = (index: number): Served => ({
      listeners: [
        listener('web', port, {
          routes: [toCluster('app')],
          hcm: { stat_prefix: `v${index}`, stream_idle_timeout: `${100 + index}s` },
        }),
        listener('other', other, { routes: [toCluster('app')] }),
      ],
      clusters: [cluster('app', backendPort)],
      routes: [],
    });
    const { plane } = await startDynamic(served(0));
    await waitUntil('traffic', async () => (await ask(port)) === 200 && (await ask(other)) === 200);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<unknown>();
    const kept = () =>
      new Promise<void>((resolve, reject) => {
        const call = httpGet({ port: other, host: '127.0.0.1', agent }, (response) => {
          response.resume();
          response.on('end', resolve);
        }).on('error', reject);
        call.on('socket', (socket) => sockets.add(socket));
      });
    await kept();
    const running = load(port, 200);
    for (let index = 1; index <= 20; index++) {
      plane.publish(served(index));
      await new Promise((resolve) => setTimeout(resolve, 100));
      await kept();
    }
    const { failed } = await running.stop();
    expect(failed).toEqual([]);
    expect(sockets.size).toBe(1);
    agent.destroy();
  });

  test('that sends something wrong gets a NACK with its path, and the old serves', async () => {
    const port = await freePort();
    const good: Served = {
      listeners: [listener('web', port, { routes: [], hcm: rds('web') })],
      clusters: [cluster('app', backendPort)],
      routes: [routes('web', toCluster('app'))],
    };
    const { plane } = await startDynamic(good);
    await waitUntil('traffic', async () => (await ask(port)) === 200);
    const bad: readonly (readonly [Partial<Served>, RegExp])[] = [
      [
        { routes: [routes('web', { match: { prefix: '/' }, route: { cluster: 'app', timeout: '-1s' } })] },
        /web.*virtual_hosts\[0\]\.routes\[0\]\.route\.timeout/,
      ],
      [
        { routes: [routes('web', { match: { safe_regex: { regex: '(' } }, route: { cluster: 'app' } })] },
        /web.*virtual_hosts\[0\]\.routes\[0\]\.match\.safe_regex/,
      ],
      [
        {
          routes: [
            routes('web', {
              ...toCluster('app'),
              response_headers_to_add: [{ header: { key: 'a', value: 'b\nc: d' } }],
            }),
          ],
        },
        /web.*routes\[0\]\.response_headers_to_add\[0\]/,
      ],
      [{ clusters: [cluster('app', backendPort, { lb_policy: 'CLUSTER_PROVIDED' })] }, /app.*lb_policy/],
      [{ clusters: [cluster('app', backendPort, { connect_timeout: '-1s' })] }, /app.*connect_timeout/],
      [
        {
          listeners: [
            listener('web', port, {
              routes: [],
              hcm: { ...rds('web'), xff_num_trusted_hops: 1, max_request_headers_kb: 9000 },
            }),
          ],
        },
        /web.*max_request_headers_kb/,
      ],
      [{ listeners: [...good.listeners, listener('twin', port, { routes: [toCluster('app')] })] }, /twin.*address/],
    ];
    for (const [change, expected] of bad) {
      const before = plane.nacks.length;
      plane.publish({ ...good, ...change });
      const { error } = await waitUntil(`a NACK that matches ${expected}`, () => plane.nacks[before]);
      expect(error).toMatch(expected);
      expect(await ask(port)).toBe(200);
      const acked = plane.acked.length;
      plane.publish(good);
      await waitUntil('the good one to be taken again', () => plane.acked.length > acked);
      expect(await ask(port)).toBe(200);
    }
  });
});

describe('the end', () => {
  test('SIGTERM under load: what was begun is answered, what is kept open is told to leave', async () => {
    const port = await freePort();
    const proxy = await ProxyUnderTest.start(
      [listener('web', port, { routes: [toCluster('app')] })],
      [cluster('app', backendPort)],
    );
    cleanups.push(() => proxy.stop());
    const agent = new Agent({ keepAlive: true, maxSockets: 50 });
    const slow = Array.from({ length: 50 }, () => ask(port, '/?delay=800', agent));
    await waitUntil(
      'all of them to be on their way',
      async () => (await proxy.metric('envoy_http_downstream_rq_active')) === 50,
    );
    const ended = proxy.app.stop('SIGTERM');
    expect(await Promise.all(slow)).toEqual(Array.from({ length: 50 }, () => 200));
    expect(await ended).toBe(0);
    agent.destroy();
  });
});

describe('the state directory', () => {
  const served = (port: number): Served => ({
    listeners: [listener('web', port, { routes: [], hcm: rds('web') })],
    clusters: [cluster('app', backendPort)],
    routes: [routes('web', toCluster('app'))],
  });

  test('is for its owner alone', async () => {
    const port = await freePort();
    const { proxy } = await startDynamic(served(port));
    await waitUntil('traffic', async () => (await ask(port)) === 200);
    await waitUntil('the kept configuration', () => readdirSync(join(proxy.stateDir, 'xds')).length > 0);
    const modes = (directory: string): string[] =>
      readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
        const path = join(directory, entry.name);
        const mode = (statSync(path).mode & 0o777).toString(8);
        return entry.isDirectory() ? [`directory ${mode}`, ...modes(path)] : [`file ${mode}`];
      });
    expect((statSync(proxy.stateDir).mode & 0o777).toString(8)).toBe('700');
    expect([...new Set(modes(proxy.stateDir))].sort()).toEqual(['directory 700', 'file 600']);
  });

  const DAMAGES: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
    [
      'a flipped bit',
      (bytes) => Buffer.from(bytes.map((byte, index) => (index === bytes.length - 20 ? byte ^ 1 : byte))),
    ],
    ['a cut end', (bytes) => bytes.subarray(0, bytes.length - 30)],
    ['nothing in it', () => Buffer.alloc(0)],
    ['other content', () => Buffer.from('{"format":"lateen-xds-1"}\n{"a":1}')],
    ['a header that is no JSON', (bytes) => Buffer.concat([Buffer.from('{{{\n'), bytes])],
    ['a length beyond its end', () => Buffer.concat([Buffer.from('{}\n'), Buffer.alloc(64, 0xff)])],
  ];

  test('with a damaged kept configuration: it is said, not used, and the control plane heals it', async () => {
    const port = await freePort();
    const plane = await ControlPlane.start();
    cleanups.push(() => plane.stop());
    plane.publish(served(port));
    const directory = mkdtempSync(join(tmpdir(), 'lateen-security-'));
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'state', 'xds', 'last-known-good.bin');
    const once = async (wait: () => Promise<unknown>): Promise<string> => {
      const proxy = await ProxyUnderTest.startWith(dynamicResources(plane.port), { directory });
      await waitUntil('traffic', async () => (await ask(port)) === 200);
      await wait();
      await proxy.app.stop();
      return proxy.app.output();
    };
    await once(async () => {});
    const good = readFileSync(file);
    for (const [why, damage] of DAMAGES) {
      writeFileSync(file, damage(good));
      const output = await once(async () => {});
      expect(output, why).toContain('the kept configuration is not used');
      expect(readFileSync(file).length, why).toBeGreaterThan(100);
    }
    chmodSync(file, 0o600);
  });
});
