// The built program with consistent hashing: cookies that it makes keep a client at its endpoint; retries leave a dead one.

import { writeFileSync } from 'node:fs';
import { get, type IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { anyHost, cluster, connectionManager, endpointOf, listener, toCluster } from './testing/envoy-config.js';
import {
  Cleanups,
  type RunningSidecar,
  runSidecar,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
} from './testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

function bootstrapOf(
  directory: string,
  clusterFields: object,
  hashPolicy: readonly object[],
  ports: readonly number[],
) {
  const retries = {
    retry_on: 'connect-failure',
    num_retries: 3,
    retry_host_predicate: [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
        },
      },
    ],
    host_selection_retry_max_attempts: 100,
  };
  const routes = anyHost(toCluster('c', { hash_policy: hashPolicy, retry_policy: retries }));
  const endpoints = ports.map((port) => endpointOf(port));
  const path = join(directory, 'bootstrap.json');
  const bootstrap = {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: {
      listeners: [listener('web', [{ filters: [connectionManager(routes)] }])],
      clusters: [cluster('c', endpoints, clusterFields as Record<string, unknown>)],
    },
  };
  writeFileSync(path, JSON.stringify(bootstrap));
  return path;
}

async function call(
  sidecar: RunningSidecar,
  headers: Record<string, string> = {},
  path = '/',
): Promise<{ body: string; headers: IncomingHttpHeaders }> {
  const port = await sidecar.port('web');
  return new Promise((resolve, reject) => {
    get(`http://127.0.0.1:${port}${path}`, { agent: false, headers }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.on('end', () => resolve({ body, headers: response.headers }));
    }).on('error', reject);
  });
}

async function upstreams(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let index = 0; index < count; index++) ports.push(await startUpstream(cleanups, `app-${index}`));
  return ports;
}

describe('consistent hashing', () => {
  it('makes a cookie that leads its client back, and none where there is one', async () => {
    const directory = temporaryDirectory(cleanups);
    const cookie = { name: 'affinity', ttl: '120s', path: '/' };
    const path = bootstrapOf(directory, { lb_policy: 'RING_HASH' }, [{ cookie }], await upstreams(8));
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', path]);
    const reached = new Set<string>();
    for (let client = 0; client < 12; client++) {
      const first = await call(sidecar);
      const [made = ''] = first.headers['set-cookie'] ?? [];
      expect(made).toMatch(/^affinity="[0-9a-f]{16}"; Max-Age=120; Path=\/; HttpOnly$/);
      reached.add(first.body);
      for (let round = 0; round < 3; round++) {
        const again = await call(sidecar, { cookie: made.slice(0, made.indexOf(';')) });
        expect(again.body).toBe(first.body);
        expect(again.headers['set-cookie']).toBeUndefined();
      }
    }
    expect(reached.size).toBeGreaterThan(1);
  });

  it('leads the same user to the same endpoint, and past a dead one', async () => {
    const directory = temporaryDirectory(cleanups);
    const policies = [{ query_parameter: { name: 'user' } }, { header: { header_name: 'x-user' } }];
    const [dead = 0, ...alive] = [1, ...(await upstreams(3))];
    const path = bootstrapOf(directory, { lb_policy: 'MAGLEV' }, policies, [dead, ...alive]);
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', path]);
    const reached = new Set<string>();
    for (let user = 0; user < 20; user++) {
      const byHeader = (await call(sidecar, { 'x-user': `u${user}` })).body;
      expect(byHeader).toMatch(/^app-\d \/$/);
      expect((await call(sidecar, { 'x-user': `u${user}` })).body).toBe(byHeader);
      const both = (await call(sidecar, { 'x-user': `u${user}` }, '/?user=a')).body;
      expect((await call(sidecar, { 'x-user': `u${user}` }, '/?user=a')).body).toBe(both);
      reached.add(byHeader);
    }
    expect(reached.size).toBe(3);
  });

  it('refuses by name what it cannot do', async () => {
    const directory = temporaryDirectory(cleanups);
    const fields = { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 100 } };
    const path = bootstrapOf(directory, fields, [{ cookie: { name: 'a b', ttl: '1s' } }], [1]);
    const { code, stderr } = await runSidecar(['--config-path', path, '--mode', 'validate']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('table_size');
    expect(stderr).toContain('hash_policy[0].cookie.name');
  });
});
