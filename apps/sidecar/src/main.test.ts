// The built program as a process: static files, a control plane, refusals, restarts without one.

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { TYPE_URL } from '@lateen/xds-proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LastKnownGood } from './config/last-known-good.js';
import {
  Cleanups,
  fetchText,
  HCM_TYPE,
  meshSnapshot,
  NODE_ID,
  ROUTER,
  runSidecar,
  startControlPlane,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
  writeAdsBootstrap,
} from './testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 15_000, interval: 50 };

function staticBootstrap(upstreamPort: number, accessLogPath: string): string {
  const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  return JSON.stringify({
    admin: { address: socket(0) },
    static_resources: {
      listeners: [
        {
          name: 'ingress',
          address: socket(0),
          filter_chains: [
            {
              filters: [
                {
                  name: 'hcm',
                  typed_config: {
                    '@type': HCM_TYPE,
                    stat_prefix: 'ingress',
                    access_log: [
                      {
                        name: 'file',
                        typed_config: {
                          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
                          path: accessLogPath,
                          log_format: { json_format: { path: '%REQ(:PATH)%', response_code: '%RESPONSE_CODE%' } },
                        },
                      },
                    ],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }],
                        },
                      ],
                    },
                    http_filters: [ROUTER],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'app',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'app',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(upstreamPort) } }] }],
          },
        },
      ],
    },
  });
}

describe('a static bootstrap file', () => {
  it('makes a reverse proxy with access log and metrics that ends gracefully', async () => {
    const directory = temporaryDirectory(cleanups);
    const file = join(directory, 'bootstrap.json');
    writeFileSync(file, staticBootstrap(await startUpstream(cleanups, 'app'), '/dev/stdout'));
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', file]);
    const port = await sidecar.port('ingress');
    expect(await fetchText(`http://127.0.0.1:${port}/hello`)).toEqual({ status: 200, body: 'app /hello' });
    await vi.waitFor(() => expect(sidecar.stdout()).toBe('{"path":"/hello","response_code":200}\n'), patience);
    const metrics = await fetchText(`http://${sidecar.admin}/stats/prometheus`);
    expect(metrics.body).toContain('envoy_cluster_upstream_rq_total{cluster_name="app"} 1');
    sidecar.child.kill('SIGTERM');
    expect(await sidecar.exit()).toBe(0);
  });

  it('is refused with every problem and its place; the exit code says so', async () => {
    const directory = temporaryDirectory(cleanups);
    const file = join(directory, 'bad.yaml');
    writeFileSync(file, 'node: {idd: x}\nadmin:\n  address: {socket_address: {port_value: 99999999999}}\n');
    const { code, stderr } = await runSidecar(['--config-path', file, '--mode', 'validate']);
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([
      `${file}:1:8 node.idd: unknown field \`idd\` in envoy.config.core.v3.Node; did you mean \`id\`?`,
      `${file}:3:42 admin.address.socket_address.port_value: expected a whole number from 0 to 4294967295, found 99999999999`,
    ]);
  });

  it('is checked with everything that serving would check, without touching its addresses', async () => {
    const directory = temporaryDirectory(cleanups);
    const file = join(directory, 'bootstrap.json');
    const taken = await startUpstream(cleanups, 'app');
    const text = staticBootstrap(taken, '/dev/stdout');
    writeFileSync(file, text.replace('"port_value":0}},"filter', `"port_value":${taken}}},"filter`));
    expect(await runSidecar(['--config-path', file, '--mode', 'validate'])).toMatchObject({ code: 0, stderr: '' });
    writeFileSync(
      file,
      text
        .replace('{"cluster":"app"}', '{"cluster":"app","retry_policy":{"retry_on":"5xx,nonsense"}}')
        .replace('%REQ(:PATH)%', '%NOPE%'),
    );
    const access = await runSidecar(['--config-path', file, '--mode', 'validate']);
    expect(access.stderr).toMatch(/access_log\[0\]\.typed_config: path: access log operator %NOPE% is not supported/);
    writeFileSync(
      file,
      text.replace('{"cluster":"app"}', '{"cluster":"app","retry_policy":{"retry_on":"5xx,nonsense"}}'),
    );
    const retry = await runSidecar(['--config-path', file, '--mode', 'validate']);
    expect(retry.code).toBe(1);
    expect(retry.stderr).toMatch(/bootstrap\.json:1:\d+ .*retry_on.*nonsense/);
  });

  it('is refused where an address cannot be bound', async () => {
    const directory = temporaryDirectory(cleanups);
    const file = join(directory, 'bootstrap.json');
    const taken = await startUpstream(cleanups, 'app');
    writeFileSync(
      file,
      staticBootstrap(taken, '/dev/stdout').replace('"port_value":0}},"filter', `"port_value":${taken}}},"filter`),
    );
    const { code, stderr } = await runSidecar(['--config-path', file]);
    expect(code).toBe(1);
    expect(stderr).toContain('ingress');
    expect(stderr).toContain('EADDRINUSE');
  });
});

describe.each(['sotw', 'delta'] as const)('a control plane (%s)', (form) => {
  it('is followed; what it sends wrong is refused by path and the old serves; without it a restart serves', async () => {
    const directory = temporaryDirectory(cleanups);
    const stateDir = join(directory, 'state');
    const [blue, green] = [await startUpstream(cleanups, 'blue'), await startUpstream(cleanups, 'green')];
    const control = await startControlPlane(cleanups);
    const file = writeAdsBootstrap(directory, control.port, form);
    const args = ['--config-path', file, '--state-dir', stateDir];
    const first = await startSidecarProcess(cleanups, args);
    expect((await fetchText(`http://${first.admin}/ready`)).status).toBe(503);
    control.publish(meshSnapshot({ version: '1', upstreamPort: blue }));
    await vi.waitFor(async () => expect((await fetchText(`http://${first.admin}/ready`)).status).toBe(200), patience);
    const port = await first.port('web');
    expect((await fetchText(`http://127.0.0.1:${port}/a`)).body).toBe('blue /a');

    // A field that is not supported, and a value that is wrong.
    control.publish(
      meshSnapshot({
        version: '2',
        upstreamPort: blue,
        hcm: { add_user_agent: true },
        route: { retry_policy: { retry_back_off: {} } },
      }),
    );
    await vi.waitFor(() => expect(control.nacks).toHaveLength(2), patience);
    const nackOf = (typeUrl: string) => control.nacks.find((nack) => nack.typeUrl === typeUrl)?.error;
    expect(nackOf(TYPE_URL.listener)).toBe(
      'LDS "web" filter_chains[0].filters[0].typed_config.add_user_agent: field is not supported',
    );
    expect(nackOf(TYPE_URL.route)).toBe(
      'RDS "web" virtual_hosts[0].routes[0].route.retry_policy.retry_back_off.base_interval: is required',
    );
    expect((await fetchText(`http://127.0.0.1:${port}/b`)).body).toBe('blue /b');

    control.publish(meshSnapshot({ version: '3', upstreamPort: green }));
    await vi.waitFor(async () => expect((await fetchText(`http://127.0.0.1:${port}/`)).body).toBe('green /'), patience);

    // Both gone; a new process serves what was accepted last.
    const kept = new LastKnownGood({ stateDir, nodeId: NODE_ID, log: () => undefined });
    await vi.waitFor(async () => {
      const state = await kept.load();
      expect(JSON.stringify(state?.[TYPE_URL.endpoint].get('app')?.value)).toContain(`"value":${green}`);
    }, patience);
    expect(statSync(kept.file).mode & 0o777).toBe(0o600);
    control.stop();
    await vi.waitFor(async () => {
      const metrics = await fetchText(`http://${first.admin}/stats?filter=connected_state`);
      expect(metrics.body).toBe('envoy_control_plane_connected_state: 0\n');
    }, patience);
    expect((await fetchText(`http://127.0.0.1:${port}/c`)).body).toBe('green /c');
    first.child.kill('SIGKILL');
    await first.exit();
    const second = await startSidecarProcess(cleanups, args);
    expect((await fetchText(`http://${second.admin}/ready`)).status).toBe(200);
    const secondPort = await second.port('web');
    expect((await fetchText(`http://127.0.0.1:${secondPort}/d`)).body).toBe('green /d');

    // It returns with something else.
    const again = await startControlPlane(cleanups, control.port);
    again.publish(meshSnapshot({ version: '4', upstreamPort: blue, route: { prefix_rewrite: '/new/' } }));
    await vi.waitFor(
      async () => expect((await fetchText(`http://127.0.0.1:${secondPort}/e`)).body).toBe('blue /new/e'),
      patience,
    );
    expect(again.nacks).toEqual([]);
  });
});

describe('the admin API', () => {
  it('shows the configuration without keys and changes nothing without the token', async () => {
    const directory = temporaryDirectory(cleanups);
    const control = await startControlPlane(cleanups);
    const file = writeAdsBootstrap(directory, control.port, 'delta');
    const stateDir = join(directory, 'state');
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', file, '--state-dir', stateDir]);
    control.publish(meshSnapshot({ version: '1', upstreamPort: await startUpstream(cleanups, 'a') }));
    await vi.waitFor(async () => expect(await sidecar.port('web')).toBeGreaterThan(0), patience);
    const dump = JSON.stringify(await sidecar.adminJson('/config_dump?include_eds'));
    for (const part of [
      'BootstrapConfigDump',
      'dynamic_active_clusters',
      'active_state',
      'dynamic_route_configs',
      'endpoint_config',
    ]) {
      expect(dump).toContain(part);
    }
    expect((await fetchText(`http://${sidecar.admin}/ready`, { host: 'evil.example' })).status).toBe(403);
    const drain = (authorization: string) =>
      new Promise<string>((resolve, reject) => {
        const [host, port] = sidecar.admin.split(':');
        const socket = connect(Number(port), host, () => {
          socket.write(
            `POST /drain_listeners HTTP/1.1\r\nhost: ${sidecar.admin}\r\nconnection: close\r\nauthorization: ${authorization}\r\ncontent-length: 0\r\n\r\n`,
          );
        });
        let text = '';
        socket
          .on('data', (chunk) => (text += chunk))
          .on('end', () => resolve(text))
          .on('error', reject);
      });
    expect(await drain('Bearer wrong')).toContain('401');
    expect(statSync(join(stateDir, 'admin-token')).mode & 0o777).toBe(0o600);
    const port = await sidecar.port('web');
    expect(await drain(`Bearer ${readFileSync(join(stateDir, 'admin-token'), 'utf8').trim()}`)).toContain('200 OK');
    await vi.waitFor(() => expect(fetchText(`http://127.0.0.1:${port}/`)).rejects.toThrow(), patience);
  });
});
