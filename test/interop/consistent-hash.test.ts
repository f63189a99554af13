// Interop tests: which endpoints a stock Envoy chooses by hash. They are kept in a file that the tests of the core compare with
// what Lateen chooses; here Envoy is asked whether it still does. LATEEN_UPDATE_CHOICES=1 writes the file.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { httpGet } from '../harness/http-get.js';
import { requireStockEnvoy } from './envoy-required.js';
import { type Json, type RunningProxy, startProxy } from './proxy-pair.js';

const FILE = new URL('../../packages/filters-wasm/src/reference/envoy-choices.json', import.meta.url);

interface Choices {
  readonly retries: Json;
  readonly clusters: readonly { readonly cluster: Json; readonly retried: boolean; chosen: readonly string[] }[];
  readonly hashPolicies: readonly {
    readonly name: string;
    readonly hashPolicy: readonly Json[];
    readonly requests: readonly { readonly path: string; readonly headers: Record<string, string>; chosen: string }[];
  }[];
  /** Values of x-key. */
  readonly keys: readonly string[];
}

const envoyPath = requireStockEnvoy();
const choices = JSON.parse(readFileSync(FILE, 'utf8')) as Choices;
const update = process.env.LATEEN_UPDATE_CHOICES === '1';

const BY_KEY = [{ header: { header_name: 'x-key' } }];

function bootstrap(): Json {
  const clusters = choices.clusters.map(({ cluster }) => ({ ...cluster, connect_timeout: '1s' }));
  const first = clusters[0] as Json;
  const route = (name: string, cluster: unknown, hashPolicy: readonly Json[], retried: boolean) => ({
    match: { path_separated_prefix: `/${name}` },
    route: { cluster, hash_policy: hashPolicy, ...(retried ? { retry_policy: choices.retries } : {}) },
    response_headers_to_add: [{ header: { key: 'x-chosen', value: '%UPSTREAM_HOST%' } }],
  });
  const routes = [
    ...clusters.map(({ name }: Json, index) => route(String(name), name, BY_KEY, choices.clusters[index]!.retried)),
    ...choices.hashPolicies.map(({ name, hashPolicy }) => route(name, first.name, hashPolicy, false)),
  ];
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'http',
    route_config: { name: 'routes', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    http_filters: [
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const listener = {
    name: 'http',
    address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  };
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 1 } } },
    static_resources: { listeners: [listener], clusters },
  };
}

describe.skipIf(envoyPath === undefined)('a stock Envoy chooses by hash', () => {
  let directory: string;
  let envoy: RunningProxy;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lateen-choices-'));
    const backendPort = (port: number) => port;
    const options = { envoyPath: envoyPath ?? '', bootstrap: bootstrap(), directory, backendPort };
    envoy = await startProxy({ ...options, name: 'envoy' });
  });

  afterAll(async () => {
    await envoy?.stop();
    if (update) writeFileSync(FILE, `${JSON.stringify(choices, null, 1)}\n`);
    rmSync(directory, { recursive: true, force: true });
  });

  /** Nothing listens at the endpoints: the answer says which one was tried last. */
  async function chosen(path: string, headers: Record<string, string>): Promise<string> {
    const answer = await httpGet(`http://127.0.0.1:${envoy.portOf('http')}${path}`, headers);
    return String(answer.headers['x-chosen']);
  }

  test.each(choices.clusters.map((entry) => [String(entry.cluster.name), entry] as const))(
    'of the endpoints of %s',
    async (name, entry) => {
      const found: string[] = [];
      for (const key of choices.keys) found.push(await chosen(`/${name}`, { 'x-key': key }));
      if (update) entry.chosen = found;
      expect(found).toEqual(entry.chosen);
    },
  );

  test.each(choices.hashPolicies.map((entry) => [entry.name, entry] as const))('%s', async (name, { requests }) => {
    for (const request of requests) {
      const found = await chosen(`/${name}${request.path}`, request.headers);
      if (update) request.chosen = found;
      expect(found, request.path).toBe(request.chosen);
    }
  });
});
