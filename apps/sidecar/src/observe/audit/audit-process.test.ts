// Audit log of a real process: every request of a load is in it, also over kill -9 and a restart.

import { statSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { afterEach, expect, it } from 'vitest';
import {
  Cleanups,
  HCM_TYPE,
  ROUTER,
  runSidecar,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
} from '../../testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const FILE_LOG = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog';
const FORMAT = { type: 'request', time: '%START_TIME%', path: '%REQ(:PATH)%', status: '%RESPONSE_CODE%' };
const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

function bootstrap(upstreamPort: number, format: Readonly<Record<string, string>>): string {
  const accessLog = {
    name: 'lateen.audit',
    typed_config: { '@type': FILE_LOG, path: 'audit.log', log_format: { json_format: format } },
  };
  const hcm = {
    '@type': HCM_TYPE,
    stat_prefix: 'in',
    access_log: [accessLog],
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
    },
    http_filters: [ROUTER],
  };
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: socket(upstreamPort) } }] }];
  return JSON.stringify({
    node: { id: 'sidecar~127.0.0.1~app-1.default~default.svc.cluster.local' },
    admin: { address: socket(0) },
    static_resources: {
      listeners: [
        { name: 'in', address: socket(0), filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }] },
      ],
      clusters: [{ name: 'app', connect_timeout: '1s', load_assignment: { cluster_name: 'app', endpoints } }],
    },
  });
}

/** So many requests over a few connections; how many were answered before one failed. */
async function load(port: number, requests: number, each?: (answered: number) => void): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let answered = 0;
  const one = (index: number) =>
    new Promise<void>((resolve, reject) => {
      get({ port, host: '127.0.0.1', path: `/${index}`, agent }, (response) => {
        response.on('error', reject);
        response.resume().on('end', () => {
          answered++;
          each?.(answered);
          resolve();
        });
      }).on('error', reject);
    });
  await Promise.allSettled(Array.from({ length: requests }, (_, index) => one(index)));
  agent.destroy();
  return answered;
}

async function verify(file: string, openAllowed: boolean) {
  const verifier = new AuditVerifier();
  await verifier.file(file);
  return await verifier.report(openAllowed);
}

it('has every request once, goes on after kill -9 and a restart, and ends with its process', async () => {
  const directory = temporaryDirectory(cleanups);
  const config = join(directory, 'bootstrap.json');
  const file = join(directory, 'audit.log');
  writeFileSync(config, bootstrap(await startUpstream(cleanups, 'app'), FORMAT));
  const args = ['--config-path', config, '--state-dir', directory];

  const first = await startSidecarProcess(cleanups, args);
  expect(await load(await first.port('in'), 500)).toBe(500);
  const written = async () => (await verify(file, true)).chains[0]?.records;
  await expect.poll(written, { timeout: 10_000 }).toBe(500);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const answered = await load(await first.port('in'), 500, (count) => {
    if (count === 100) first.child.kill('SIGKILL');
  });
  await first.exit();
  const killed = await verify(file, true);
  expect(killed.problems).toEqual([]);
  expect(killed.chains[0]?.records).toBeGreaterThanOrEqual(500);
  // What was answered in the last moments was not on the disk yet; what was not answered may be.
  expect(killed.chains[0]?.records).toBeLessThanOrEqual(500 + answered + 8);
  expect((await verify(file, false)).problems).toMatchObject([
    { message: expect.stringContaining('has no end record') },
  ]);

  const second = await startSidecarProcess(cleanups, args);
  expect(await load(await second.port('in'), 300)).toBe(300);
  second.child.kill('SIGTERM');
  expect(await second.exit()).toBe(0);
  const { chains, problems } = await verify(file, false);
  expect(problems).toEqual([]);
  expect(chains).toMatchObject([{ ended: false }, { records: 300, dropped: 0, ended: true }]);
});

it('is refused where its format takes what the chain writes', async () => {
  const directory = temporaryDirectory(cleanups);
  const config = join(directory, 'bootstrap.json');
  writeFileSync(config, bootstrap(1, { type: 'request', hash: '%PROTOCOL%' }));
  const { code, stderr } = await runSidecar(['--config-path', config, '--mode', 'validate']);
  expect(code).toBe(1);
  expect(stderr).toContain('hash is written by the audit log itself');
});
