// Counters of routes with a stat_prefix: what a stock Envoy counts for the same requests.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { startProxy } from '../testing/proxy-fixture.js';

const RETRIES = {
  retry_policy: {
    retry_on: '5xx',
    num_retries: 2,
    retry_back_off: { base_interval: '0.001s', max_interval: '0.001s' },
  },
};
const NOTHING = { total: 0, retries: 0, retryLimitExceeded: 0, timeouts: 0, classes: [0, 0, 0, 0, 0, 0] };

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** Answers by path: /broken 503, /slow never, anything else 200. */
async function startServer(): Promise<number> {
  const started = createServer(({ url }, response) => {
    if (url !== '/slow') response.writeHead(url === '/broken' ? 503 : 200).end();
  });
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  return (started.address() as AddressInfo).port;
}

describe('counters of a route', () => {
  it('counts attempts, retries, answers and time-outs of what goes upstream, by virtual host and prefix', async () => {
    const routes = [
      { match: { prefix: '/here' }, stat_prefix: 'here', direct_response: { status: 200 } },
      { ...toCluster('c', { timeout: '0.2s' }, '/slow'), stat_prefix: 'slow' },
      toCluster('c', {}, '/silent'),
      { ...toCluster('c', RETRIES), stat_prefix: 'checkout' },
    ];
    const proxy = await startProxy(
      dataPlaneConfig(
        [listener('l', [{ filters: [connectionManager(anyHost(...routes))] }])],
        [cluster('c', [endpointOf(await startServer())])],
      ),
    );
    const client = await proxy.client();
    const statuses: number[] = [];
    for (const path of ['/here', '/fine', '/broken', '/silent', '/slow']) {
      client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      statuses.push(Number((await client.message()).head.split(' ')[1]));
    }
    expect(statuses).toEqual([200, 200, 503, 200, 504]);
    expect(proxy.dataPlane.routeCounts()).toEqual([
      { ...NOTHING, virtualHost: 'all', statPrefix: 'here' },
      { ...NOTHING, virtualHost: 'all', statPrefix: 'slow', total: 1, timeouts: 1, classes: [0, 0, 0, 0, 0, 1] },
      {
        ...NOTHING,
        virtualHost: 'all',
        statPrefix: 'checkout',
        total: 4,
        retries: 2,
        retryLimitExceeded: 1,
        classes: [0, 0, 1, 0, 0, 1],
      },
    ]);
  });
});
