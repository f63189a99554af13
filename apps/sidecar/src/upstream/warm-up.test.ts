// Warm-up: a newer endpoint gets its share of requests along the curve, and then all of it.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
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

const WINDOW_MS = 1000;
const MINIMUM = 0.1;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function startServer(name: string): Promise<number> {
  const server = createServer((_request, response) => response.end(name));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

function configOf(lbPolicy: string, ports: readonly number[]) {
  const slowStart = {
    slow_start_window: `${WINDOW_MS / 1000}s`,
    min_weight_percent: { value: MINIMUM * 100 },
    aggression: { default_value: 1, runtime_key: 'none' },
  };
  const settings = lbPolicy === 'ROUND_ROBIN' ? 'round_robin_lb_config' : 'least_request_lb_config';
  return dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
    [
      cluster(
        'c',
        ports.map((port) => endpointOf(port)),
        { lb_policy: lbPolicy, [settings]: { slow_start_config: slowStart } },
      ),
    ],
  );
}

it.each(['ROUND_ROBIN', 'LEAST_REQUEST'])('gives a newer endpoint its share slowly under %s', async (lbPolicy) => {
  const ports = [await startServer('old'), await startServer('new')];
  const proxy = await startProxy(configOf(lbPolicy, ports.slice(0, 1)));
  const oldSinceMs = performance.now();
  const ask = async () => (await fetch(`http://127.0.0.1:${proxy.port()}/`)).text();
  while (performance.now() - oldSinceMs < WINDOW_MS / 2) expect(await ask()).toBe('old');
  await proxy.dataPlane.apply(configOf(lbPolicy, ports));
  const newSinceMs = performance.now();
  const warmth = (sinceMs: number) => Math.min(Math.max((performance.now() - sinceMs) / WINDOW_MS, MINIMUM), 1);
  let sent = 0;
  let expected = 0;
  let found = 0;
  while (warmth(newSinceMs) < 1) {
    expected += warmth(newSinceMs) / (warmth(oldSinceMs) + warmth(newSinceMs));
    sent++;
    if ((await ask()) === 'new') found++;
  }
  const deviation = Math.sqrt(sent) / 2;
  expect(Math.abs(found - expected)).toBeLessThan(0.05 * sent + 5 * deviation);
  // The last step may be under way.
  let even = 0;
  for (let each = 0; each < 400; each++) if ((await ask()) === 'new') even++;
  expect(Math.abs(even - 200)).toBeLessThan(lbPolicy === 'ROUND_ROBIN' ? 10 : 60);
});
