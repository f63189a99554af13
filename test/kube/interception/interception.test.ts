// Interception tests: the sidecar, and stock Envoy where there is one, behind redirect rules in a pod's network namespace.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../../harness/repository.js';
import { obtainStockEnvoy } from '../../harness/stock-envoy.js';
import { waitUntil } from '../../harness/wait-until.js';
import {
  APP,
  CLIENT,
  OUTSIDE,
  POD,
  PodNetwork,
  PROXY,
  REDIRECT_RULES,
  type Running,
  sidecarProgram,
  whyNoNamespaces,
} from './pod-network.js';

const BOOTSTRAP = join(REPOSITORY, 'test', 'kube', 'interception', 'intercepting.yaml');
const REVIEWS = { vip: '10.99.0.9', vip6: 'fd99::9', pod: '10.99.1.1' };
const DATABASE = { vip: '10.99.0.10', pod: '10.99.1.2' };
const ELSEWHERE = { ipv4: '203.0.113.7', ipv6: '2001:db8::7' };

const obstacle = whyNoNamespaces();
const envoy = obstacle === undefined ? obtainStockEnvoy() : { missing: obstacle };
if (obstacle === undefined && 'missing' in envoy)
  console.error(`\nSKIPPED the comparison with Envoy: ${envoy.missing}\n`);

interface Answer {
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
}

/** Envoy opens /dev/stdout by its name, which only works where that is a pipe of its own user. */
const PIPED = ['sh', '-c', '"$0" "$@" 2>&1 | cat'];

const PROXIES = [
  {
    name: 'sidecar',
    command: [process.execPath, sidecarProgram(), '-c', BOOTSTRAP, '--state-dir', '/tmp/lateen-STATE'],
  },
  {
    name: 'sidecar of two processes',
    command: [
      process.execPath,
      sidecarProgram(),
      '-c',
      BOOTSTRAP,
      '--state-dir',
      '/tmp/lateen-STATE',
      '--concurrency',
      '2',
    ],
  },
  {
    name: 'sidecar on Node’s streams',
    command: [process.execPath, sidecarProgram(), '-c', BOOTSTRAP, '--state-dir', '/tmp/lateen-STATE'],
    env: { LATEEN_SOCKETS: 'streams' },
  },
  ...('path' in envoy
    ? [{ name: 'stock Envoy', command: [...PIPED, envoy.path, '-c', BOOTSTRAP, '--concurrency', '1', '-l', 'warn'] }]
    : []),
] as const;

describe.skipIf(obstacle !== undefined).each(PROXIES)('$name', ({ name, command, ...rest }) => {
  let network: PodNetwork;
  let proxy: Running;
  const isEnvoy = name === 'stock Envoy';

  beforeAll(async () => {
    network = new PodNetwork();
    network.addOutside(...Object.values(REVIEWS), ...Object.values(DATABASE), ...Object.values(ELSEWHERE));
    network.redirect(REDIRECT_RULES);
    const servers = [
      network.serve(CLIENT, 'http', 'reviews', REVIEWS.pod, '9080'),
      network.serve(CLIENT, 'tcp', 'database', DATABASE.pod, '5432'),
      network.serve(CLIENT, 'http', 'elsewhere', ELSEWHERE.ipv4, '9080'),
      network.serve(CLIENT, 'tcp', 'elsewhere', ELSEWHERE.ipv4, '4444'),
      network.serve(CLIENT, 'tcp', 'elsewhere6', ELSEWHERE.ipv6, '4444'),
      network.serve(CLIENT, 'http', 'elsewhere6', ELSEWHERE.ipv6, '9080'),
      network.serve(APP, 'http', 'app', '0.0.0.0', '8080'),
      network.serve(APP, 'http', 'app6', '::', '8080'),
      network.serve(APP, 'tcp', 'side', '0.0.0.0', '7000'),
      network.serve(APP, 'tcp', 'side6', '::', '7000'),
    ];
    const state = `/tmp/lateen-interception-${process.pid}-${Math.random().toString(36).slice(2)}`;
    proxy = network.start(
      PROXY,
      command.map((word) => word.replace('/tmp/lateen-STATE', state)),
      'env' in rest ? rest.env : {},
    );
    await waitUntil('the servers listen', () => servers.every((server) => server.output().includes('listening')));
    await waitUntil('the proxy listens', async () => {
      const answer = await network
        .ask<Answer>(PROXY, 'get', '127.0.0.1', '15000', 'admin')
        .catch(() => ({ error: '' }));
      if ('error' in answer && answer.error !== undefined) return false;
      const talked = await network.ask<Answer>(APP, 'talk', ELSEWHERE.ipv4, '4444', 'x');
      return talked.error === undefined;
    });
  });
  afterAll(() => network?.close());

  const get = async (place: typeof APP, ...words: string[]): Promise<Record<string, string>> => {
    const answer = await network.ask<Answer>(place, 'get', ...words);
    expect(answer, proxy.output()).toMatchObject({ status: 200 });
    return JSON.parse(answer.body ?? '') as Record<string, string>;
  };
  // Envoy writes them every ten seconds.
  const logged = (line: string) => expect.poll(() => proxy.output(), { timeout: 20_000 }).toContain(line);

  test('a service by its address and Host, whatever the address is', async () => {
    expect(await get(APP, REVIEWS.vip, '9080', 'reviews')).toMatchObject({ name: 'reviews', host: 'reviews' });
    await logged(`LOG reviews ${REVIEWS.pod}:9080 local=${REVIEWS.vip}:9080`);
    expect(await get(APP, REVIEWS.vip6, '9080', 'reviews')).toMatchObject({ name: 'reviews' });
    await logged(`LOG reviews ${REVIEWS.pod}:9080 local=[${REVIEWS.vip6}]:9080`);
  });

  test('the listener of an address comes before that of its port', async () => {
    expect(await network.ask(APP, 'talk', DATABASE.vip, '9080', 'hello')).toMatchObject({
      name: 'database',
      echoed: true,
    });
    await logged(`LOG database ${DATABASE.pod}:5432 local=${DATABASE.vip}:9080`);
  });

  test('unknown hosts and ports go on to where they were opened to', async () => {
    expect(await get(APP, ELSEWHERE.ipv4, '9080', 'unknown')).toMatchObject({ name: 'elsewhere' });
    expect(await get(APP, ELSEWHERE.ipv6, '9080', 'unknown')).toMatchObject({ name: 'elsewhere6' });
    const talked = await network.ask<Record<string, string>>(APP, 'talk', ELSEWHERE.ipv4, '4444', 'hello');
    expect(talked).toMatchObject({ name: 'elsewhere', echoed: true, to: `${ELSEWHERE.ipv4}:4444` });
    const other = await network.ask(APP, 'talk', ELSEWHERE.ipv6, '4444', 'hello');
    expect(other).toMatchObject({ name: 'elsewhere6', echoed: true });
    await logged(`LOG PassthroughCluster ${ELSEWHERE.ipv4}:4444 local=${ELSEWHERE.ipv4}:4444`);
    await logged(`LOG PassthroughCluster [${ELSEWHERE.ipv6}]:4444 local=[${ELSEWHERE.ipv6}]:4444`);
  });

  test.skipIf(isEnvoy)('a destination is forgotten when nobody is connected to it any more', async () => {
    const churned = network.ask(APP, 'churn', ELSEWHERE.ipv4, '4444', '60', '20');
    const clusters = async () => {
      const { body } = await network.ask<Answer>(PROXY, 'fetch', 'GET', '127.0.0.1', '15000', '/clusters');
      return body ?? '';
    };
    await expect.poll(clusters, { timeout: 10_000 }).toContain(`PassthroughCluster::${ELSEWHERE.ipv4}:4444::`);
    expect(await churned).toMatchObject({ failed: 0 });
    await expect.poll(clusters, { timeout: 10_000 }).not.toContain(`PassthroughCluster::${ELSEWHERE.ipv4}:4444::`);
    const { body } = await network.ask<Answer>(PROXY, 'fetch', 'GET', '127.0.0.1', '15000', '/listeners');
    expect(body).toContain('0.0.0.0_9080::0.0.0.0:9080');
  });

  test('a header names the destination where the cluster takes it', async () => {
    const named = ['named', 'x-envoy-original-dst-host', `${ELSEWHERE.ipv4}:1`];
    expect(await get(APP, REVIEWS.vip, '9080', ...named)).toMatchObject({ name: 'elsewhere' });
    const wrong = await network.ask(APP, 'get', REVIEWS.vip, '9080', 'named', 'x-envoy-original-dst-host', 'nonsense');
    expect(wrong).toMatchObject({ status: 503 });
  });

  test('nobody there: the client sees it', async () => {
    expect(await network.ask(APP, 'get', REVIEWS.vip, '9080', 'unknown')).toMatchObject({ status: 503 });
    expect(await network.ask(APP, 'talk', ELSEWHERE.ipv4, '4445', 'hello')).toHaveProperty('error');
  });

  test('what comes to the pod is chosen by its port, and reaches the app from 127.0.0.6', async () => {
    const answer = await get(CLIENT, POD.ipv4, '8080', 'app');
    expect(answer).toMatchObject({ name: 'app', to: `${POD.ipv4}:8080` });
    expect(answer.from).toMatch(/^127\.0\.0\.6:/);
    const sixth = await get(CLIENT, POD.ipv6, '8080', 'app');
    expect(sixth).toMatchObject({ name: 'app6', to: `[${POD.ipv6}]:8080` });
    expect(sixth.from).toMatch(/^\[::6\]:/);
    await logged(`LOG inbound|8080|| ${POD.ipv4}:8080 local=${POD.ipv4}:8080 from=127.0.0.6:`);
  });

  test('other ports of the pod go through', async () => {
    const talked = await network.ask<Record<string, string>>(CLIENT, 'talk', POD.ipv4, '7000', 'hello');
    expect(talked).toMatchObject({ name: 'side', echoed: true, to: `${POD.ipv4}:7000` });
    expect(talked.from).toMatch(/^127\.0\.0\.6:/);
    const sixth = await network.ask<Record<string, string>>(CLIENT, 'talk', POD.ipv6, '7000', 'hello');
    expect(sixth).toMatchObject({ name: 'side6', echoed: true });
    expect(sixth.from).toMatch(/^\[::6\]:/);
  });

  test('an app that calls the address of its own pod', async () => {
    // Not redirected: it is the app's own affair.
    expect(await get(APP, POD.ipv4, '8080', 'app')).toMatchObject({ name: 'app', to: `${POD.ipv4}:8080` });
  });

  test.skipIf(isEnvoy)('who opens a connection to the listeners themselves is sent away', async () => {
    for (const port of ['15001', '15006']) {
      expect(await network.ask(APP, 'talk', POD.ipv4, port, 'hello')).toEqual({ error: 'ECONNRESET' });
      expect(await network.ask(APP, 'talk', '127.0.0.1', port, 'hello')).toEqual({ error: 'ECONNRESET' });
      expect(await network.ask(APP, 'talk', '::1', port, 'hello')).toEqual({ error: 'ECONNRESET' });
    }
    // Outside, the same port is a port like any other; at the pod it is the listener's own.
    expect(await network.ask(CLIENT, 'talk', POD.ipv4, '15006', 'hello')).toEqual({ error: 'ECONNRESET' });
    expect(await network.ask(CLIENT, 'talk', POD.ipv6, '15006', 'hello')).toEqual({ error: 'ECONNRESET' });
    const away = await network.ask(APP, 'talk', OUTSIDE.ipv4, '15001', 'hello');
    expect(away).toHaveProperty('error');
  });

  test('a thousand connections to many places, none mistaken', async () => {
    const places = [
      [ELSEWHERE.ipv4, '4444'],
      [DATABASE.vip, '9080'],
      [ELSEWHERE.ipv6, '4444'],
    ] as const;
    const results = await Promise.all(
      places.map(([address, port]) => network.ask<{ failed: number }>(APP, 'churn', address, port, '330', '300')),
    );
    expect(results.map(({ failed }) => failed)).toEqual([0, 0, 0]);
  });
});
