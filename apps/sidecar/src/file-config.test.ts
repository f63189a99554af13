// The built program with configuration from files: followed, refused with the line, beside a control plane, and by name.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { loadBootstrap } from './config/check-bootstrap.js';
import { startDnsServer } from './testing/dns-server.js';
import {
  Cleanups,
  fetchText,
  HCM_TYPE,
  meshSnapshot,
  NODE_ID,
  ROUTER,
  type RunningSidecar,
  runSidecar,
  startControlPlane,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
} from './testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 15_000, interval: 50 };
const TYPES = 'type.googleapis.com/envoy.config';
const socket = (address: string, port: number) => ({ socket_address: { address, port_value: port } });
const ADMIN = { address: socket('127.0.0.1', 0) };

/** Files of a directory, each of which is moved into place. */
class ConfigFiles {
  constructor(readonly directory: string) {}
  path(name: string): string {
    return join(this.directory, name);
  }
  source(name: string) {
    return { path_config_source: { path: this.path(name) }, resource_api_version: 'V3' };
  }
  put(name: string, content: unknown): string {
    const text = typeof content === 'string' ? content : JSON.stringify(content, undefined, 2);
    writeFileSync(this.path(`${name}.new`), text);
    renameSync(this.path(`${name}.new`), this.path(name));
    return this.path(name);
  }
  putListener(rds: object): void {
    const hcm = { '@type': HCM_TYPE, stat_prefix: 'web', ...rds, http_filters: [ROUTER] };
    this.put('lds.json', {
      resources: [
        {
          '@type': `${TYPES}.listener.v3.Listener`,
          name: 'web',
          address: socket('127.0.0.1', 0),
          filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
        },
      ],
    });
  }
  putRoutes(body: string): void {
    this.put('rds.json', {
      version_info: body,
      resources: [
        {
          '@type': `${TYPES}.route.v3.RouteConfiguration`,
          name: 'web',
          virtual_hosts: [
            {
              name: 'all',
              domains: ['*'],
              routes: [
                { match: { path: '/direct' }, direct_response: { status: 200, body: { inline_string: body } } },
                { match: { prefix: '/' }, route: { cluster: 'app' } },
              ],
            },
          ],
        },
      ],
    });
  }
  putEndpoints(port: number): void {
    this.put('eds.json', {
      resources: [
        {
          '@type': `${TYPES}.endpoint.v3.ClusterLoadAssignment`,
          cluster_name: 'app',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: socket('127.0.0.1', port) } }] }],
        },
      ],
    });
  }
}

async function get(sidecar: RunningSidecar, path: string): Promise<string> {
  const { status, body } = await fetchText(`http://127.0.0.1:${await sidecar.port('web')}${path}`);
  return `${status} ${body}`;
}

describe('configuration from files', () => {
  it('serves at once, follows every file, and keeps what was good where one is wrong', async () => {
    const files = new ConfigFiles(temporaryDirectory(cleanups));
    const first = await startUpstream(cleanups, 'first');
    const second = await startUpstream(cleanups, 'second');
    files.putListener({ rds: { route_config_name: 'web', config_source: files.source('rds.json') } });
    files.putRoutes('one');
    files.putEndpoints(first);
    const cluster = {
      '@type': `${TYPES}.cluster.v3.Cluster`,
      name: 'app',
      type: 'EDS',
      eds_cluster_config: { eds_config: files.source('eds.json') },
    };
    files.put('cds.json', { resources: [cluster] });
    const bootstrap = files.put('bootstrap.json', {
      node: { id: NODE_ID, cluster: 'web' },
      admin: ADMIN,
      dynamic_resources: { lds_config: files.source('lds.json'), cds_config: files.source('cds.json') },
    });
    expect(await runSidecar(['--config-path', bootstrap, '--mode', 'validate'])).toMatchObject({ code: 0 });
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', bootstrap]);
    // No waiting: everything was read before the start was told.
    expect(await get(sidecar, '/direct')).toBe('200 one');
    expect(await get(sidecar, '/x')).toBe('200 first /x');
    expect((await fetchText(`http://${sidecar.admin}/ready`)).status).toBe(200);

    files.putEndpoints(second);
    await vi.waitFor(async () => expect(await get(sidecar, '/x')).toBe('200 second /x'), patience);
    files.putRoutes('two');
    await vi.waitFor(async () => expect(await get(sidecar, '/direct')).toBe('200 two'), patience);

    // Half of a file, written in place.
    writeFileSync(files.path('rds.json'), '{\n  "resources": [\n    { "@type": ');
    const refusals = () => sidecar.log.filter(({ message }) => message.startsWith('a configuration file is refused'));
    await vi.waitFor(() => expect(refusals()).toHaveLength(1), patience);
    expect(JSON.stringify(refusals()[0])).toContain(`${files.path('rds.json')}:3:`);
    files.put('cds.json', { resources: [{ ...cluster, lb_subset_config: {}, use_tcp_for_dns_lookups: true }] });
    await vi.waitFor(() => expect(refusals()).toHaveLength(2), patience);
    expect(refusals()[1]?.problems).toEqual([
      expect.stringMatching(/cds\.json:\d+:\d+ resources\[0\]\.use_tcp_for_dns_lookups: true is not supported/),
      expect.stringMatching(/cds\.json:\d+:\d+ resources\[0\]\.lb_subset_config: field is not supported/),
    ]);
    expect(await get(sidecar, '/direct')).toBe('200 two');
    expect(await get(sidecar, '/x')).toBe('200 second /x');
    files.putRoutes('three');
    await vi.waitFor(async () => expect(await get(sidecar, '/direct')).toBe('200 three'), patience);

    const wrong = await runSidecar(['--config-path', bootstrap, '--mode', 'validate']);
    expect(wrong).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('resources[0].use_tcp_for_dns_lookups: true'),
    });
    // One that waits for routes that no file has is not ready; the one before it serves.
    files.putListener({ rds: { route_config_name: 'absent', config_source: files.source('rds.json') } });
    await vi.waitFor(
      async () =>
        expect(await fetchText(`http://${sidecar.admin}/ready`)).toEqual({
          status: 503,
          body: expect.stringContaining('waiting for web'),
        }),
      patience,
    );
    expect(await get(sidecar, '/direct')).toBe('200 three');
    // A listener that the list lacks is gone.
    files.put('lds.json', { resources: [] });
    await vi.waitFor(
      async () => expect((await fetchText(`http://${sidecar.admin}/listeners`)).body).toBe(''),
      patience,
    );
  });

  it('is used beside a control plane, each reference with its own source', async () => {
    const files = new ConfigFiles(temporaryDirectory(cleanups));
    const upstreamPort = await startUpstream(cleanups, 'app');
    const other = await startUpstream(cleanups, 'other');
    const control = await startControlPlane(cleanups);
    control.publish(meshSnapshot({ version: '1', upstreamPort }));
    files.putListener({ rds: { route_config_name: 'web', config_source: { ads: {}, resource_api_version: 'V3' } } });
    const bootstrap = files.put('bootstrap.json', {
      node: { id: NODE_ID, cluster: 'web' },
      admin: ADMIN,
      dynamic_resources: {
        ads_config: {
          api_type: 'DELTA_GRPC',
          transport_api_version: 'V3',
          grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
        },
        lds_config: files.source('lds.json'),
        cds_config: { ads: {}, resource_api_version: 'V3' },
      },
      static_resources: {
        clusters: [
          {
            name: 'xds-grpc',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'xds-grpc',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: socket('127.0.0.1', control.port) } }] }],
            },
          },
        ],
      },
    });
    const sidecar = await startSidecarProcess(cleanups, [
      '--config-path',
      bootstrap,
      '--state-dir',
      files.path('state'),
    ]);
    await vi.waitFor(async () => expect(await get(sidecar, '/')).toBe('200 app /'), patience);
    control.publish(meshSnapshot({ version: '2', upstreamPort: other }));
    await vi.waitFor(async () => expect(await get(sidecar, '/')).toBe('200 other /'), patience);
    // The control plane has a listener of the same name, which nobody asked it for.
    expect(control.ackedTypes.some((type) => type.endsWith('.Listener'))).toBe(false);
    expect(control.nacks).toEqual([]);
  });

  it('refuses a file that is not there, and a name that two sources give', () => {
    const problems = (file: string) => {
      try {
        loadBootstrap(file);
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const files = new ConfigFiles(temporaryDirectory(cleanups));
    const cluster = (name: string, file: string) => ({
      name,
      type: 'EDS',
      eds_cluster_config: { service_name: 'app', eds_config: files.source(file) },
    });
    files.put('a.json', {});
    files.put('b.json', {});
    const missing = files.put('missing.json', { dynamic_resources: { lds_config: files.source('absent.yaml') } });
    expect(problems(missing)).toContain(
      `missing.json:5:17 dynamic_resources.lds_config.path_config_source.path: ${files.path('absent.yaml')} does not exist`,
    );
    const twice = files.put('twice.json', {
      static_resources: { clusters: [cluster('one', 'a.json'), cluster('two', 'b.json')] },
    });
    expect(problems(twice)).toContain(
      `static_resources.clusters[1]: endpoint set "app" comes from ${files.path('a.json')} elsewhere, and from ${files.path('b.json')} here`,
    );
    const noStream = files.put('no-stream.json', {
      static_resources: {
        clusters: [{ name: 'one', type: 'EDS', eds_cluster_config: { eds_config: { ads: {} } } }],
      },
    });
    expect(problems(noStream)).toContain(
      'static_resources.clusters[0]: takes something by ADS, but there is no dynamic_resources.ads_config',
    );
  });
});

describe('clusters whose endpoints are names', () => {
  it('are resolved before the start is told, and again', async () => {
    const files = new ConfigFiles(temporaryDirectory(cleanups));
    const server = await startDnsServer();
    cleanups.add(() => server.close());
    const port = await startUpstream(cleanups, 'named');
    server.set('app.test', { addresses: ['127.0.0.1'] });
    files.putListener({
      route_config: {
        name: 'web',
        virtual_hosts: [
          { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] },
        ],
      },
    });
    const bootstrap = files.put('bootstrap.json', {
      admin: ADMIN,
      typed_dns_resolver_config: {
        name: 'envoy.network.dns_resolver.cares',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
          resolvers: [socket('127.0.0.1', server.port)],
        },
      },
      dynamic_resources: { lds_config: files.source('lds.json') },
      static_resources: {
        clusters: [
          {
            name: 'app',
            type: 'STRICT_DNS',
            dns_lookup_family: 'V4_ONLY',
            dns_refresh_rate: '0.05s',
            load_assignment: {
              cluster_name: 'app',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: socket('app.test', port) } }] }],
            },
          },
        ],
      },
    });
    expect(await runSidecar(['--config-path', bootstrap, '--mode', 'validate'])).toMatchObject({ code: 0, stderr: '' });
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', bootstrap]);
    expect(await get(sidecar, '/')).toBe('200 named /');
    expect((await fetchText(`http://${sidecar.admin}/clusters`)).body).toContain(
      `app::127.0.0.1:${port}::hostname::app.test`,
    );
    // Addresses that do not answer are dialled all the same, and what is known stays while the server is away.
    server.set('app.test', 'SERVFAIL');
    await vi.waitFor(
      () => expect(sidecar.log.some(({ message }) => message.startsWith('a name cannot be resolved'))).toBe(true),
      patience,
    );
    expect(await get(sidecar, '/')).toBe('200 named /');
    server.set('app.test', 'NXDOMAIN');
    await vi.waitFor(async () => expect(await get(sidecar, '/')).toBe('503 no healthy upstream'), patience);
    server.set('app.test', { addresses: ['127.0.0.1'] });
    await vi.waitFor(async () => expect(await get(sidecar, '/')).toBe('200 named /'), patience);
  });
});
