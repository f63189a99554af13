// A proxy of two processes: both serve, what they count is one sum, changes reach both or none, limits are those of the proxy,
// and the end of either is survived as far as it can be.

import { writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { afterEach, expect, it, vi } from 'vitest';
import {
  Cleanups,
  fetchText,
  HCM_TYPE,
  meshSnapshot,
  NODE_ID,
  ROUTER,
  type RunningSidecar,
  startControlPlane,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
  writeAdsBootstrap,
} from '../testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const patience = { timeout: 30_000, interval: 50 };
/** Requests that are sent at once, so that no process can take all of them for long. */
const CROWD = 8;

async function statsOf(sidecar: RunningSidecar): Promise<Map<string, number>> {
  const { body } = await fetchText(`http://${sidecar.admin}/stats`);
  return new Map(
    body
      .trim()
      .split('\n')
      .map((line) => {
        const at = line.lastIndexOf(': ');
        return [line.slice(0, at), Number(line.slice(at + 2))];
      }),
  );
}

/** Process ids: the first one's, and its worker's. Undefined where the worker does not serve now. */
async function pidsOf(sidecar: RunningSidecar): Promise<(number | undefined)[]> {
  const { workers } = (await sidecar.adminJson('/server_info')) as { workers: { index: number; pid: number }[] };
  return [0, 1].map((index) => workers.find((worker) => worker.index === index)?.pid);
}

/** Resolves when both processes have the configuration: a machine that is busy may take longer than a proxy waits at its start. */
async function bothServe(sidecar: RunningSidecar): Promise<void> {
  await vi.waitFor(async () => expect(await pidsOf(sidecar)).not.toContain(undefined), patience);
}

/**
 * The statistics once they say what they are to: a process may learn that a connection has ended after its client has, and one
 * that does not get to answer in time is shown as it was.
 */
async function settled(sidecar: RunningSidecar, expected: Readonly<Record<string, number>>, open = 0) {
  return await vi.waitFor(async () => {
    const stats = await statsOf(sidecar);
    expect(Object.fromEntries(stats)).toMatchObject({ ...expected, envoy_listener_downstream_cx_active: open });
    return stats;
  }, patience);
}

/** Connections that each process has accepted. */
async function acceptedBy(sidecar: RunningSidecar): Promise<(number | undefined)[]> {
  const stats = await statsOf(sidecar);
  return [0, 1].map((index) => stats.get(`lateen_worker_connections_total{worker="${index}"}`));
}

/** Sends crowds of requests until `enough`; resolves to how many were answered, all of them with what is expected. */
async function callUntil(url: string, expected: { status: number; body: string }, enough: () => Promise<boolean>) {
  let answered = 0;
  const endMs = performance.now() + patience.timeout;
  do {
    const answers = await Promise.all(Array.from({ length: CROWD }, () => fetchText(url)));
    for (const answer of answers) expect(answer).toEqual(expected);
    answered += answers.length;
    expect(performance.now(), 'not enough in time').toBeLessThan(endMs);
  } while (!(await enough()));
  return answered;
}

async function startMesh() {
  const directory = temporaryDirectory(cleanups);
  const upstreamPort = await startUpstream(cleanups, 'app');
  const control = await startControlPlane(cleanups);
  control.publish(meshSnapshot({ version: '1', upstreamPort }));
  const stateDir = join(directory, 'state');
  const sidecar = await startSidecarProcess(cleanups, [
    ...['--config-path', writeAdsBootstrap(directory, control.port, 'delta'), '--state-dir', stateDir],
    ...['--concurrency', '2'],
  ]);
  await vi.waitFor(async () => expect((await fetchText(`http://${sidecar.admin}/ready`)).status).toBe(200), patience);
  await bothServe(sidecar);
  const url = `http://127.0.0.1:${await sidecar.port('web')}/x`;
  return { upstreamPort, control, sidecar, url };
}

it('serves with both processes, and tells what both have counted', async () => {
  const { control, sidecar, url, upstreamPort } = await startMesh();
  const both = async () => (await acceptedBy(sidecar)).every((connections) => (connections ?? 0) > 0);
  const answered = await callUntil(url, { status: 200, body: 'app /x' }, both);
  await settled(sidecar, {
    envoy_http_downstream_rq_total: answered,
    envoy_listener_downstream_cx_total: answered,
    'envoy_cluster_upstream_rq_xx{cluster_name="app",envoy_response_code_class="2"}': answered,
  });
  const [first = 0, second = 0] = await acceptedBy(sidecar);
  expect(first + second).toBe(answered);
  const { cluster_statuses: clusters } = (await sidecar.adminJson('/clusters?format=json')) as {
    cluster_statuses: { name: string; host_statuses: { stats: { name: string; value: string }[] }[] }[];
  };
  const hosts = clusters.find(({ name }) => name === 'app')?.host_statuses;
  expect(hosts?.[0]?.stats).toContainEqual({ name: 'rq_total', value: String(answered) });

  // A change is acknowledged when both have it: not while one of them stands still.
  const [, worker] = await pidsOf(sidecar);
  // One that stands still does not see that the first process has ended.
  let stopped = true;
  cleanups.add(() => stopped && process.kill(worker as number, 'SIGKILL'));
  process.kill(worker as number, 'SIGSTOP');
  const acked = vi.waitFor(() => expect(control.acks).toContain('2'), patience).then(() => stopped);
  control.publish(meshSnapshot({ version: '2', upstreamPort, route: { prefix_rewrite: '/y' } }));
  // Time in which it could be acknowledged too soon; a test that takes longer here proves as much.
  await delay(300);
  stopped = false;
  process.kill(worker as number, 'SIGCONT');
  expect(await acked).toBe(false);
  const before = await acceptedBy(sidecar);
  const grown = async () => (await acceptedBy(sidecar)).every((now, index) => (now ?? 0) > (before[index] ?? 0));
  await callUntil(url, { status: 200, body: 'app /yx' }, grown);
  expect(control.nacks).toEqual([]);
  // One proxy to the control plane.
  expect(sidecar.log.filter(({ message }) => message === 'connected to the control plane')).toHaveLength(1);
});

it('serves on when its worker is killed, replaces it, and forgets nothing that it has told', async () => {
  const { control, sidecar, url, upstreamPort } = await startMesh();
  const both = async () => (await acceptedBy(sidecar)).every((connections) => (connections ?? 0) > 0);
  const answered = await callUntil(url, { status: 200, body: 'app /x' }, both);
  const [first, worker] = await pidsOf(sidecar);
  // What it has counted was told when the statistics were read.
  await settled(sidecar, { envoy_http_downstream_rq_total: answered });
  process.kill(worker as number, 'SIGKILL');
  await vi.waitFor(async () => expect(await pidsOf(sidecar)).not.toContain(worker), patience);
  const more = await callUntil(url, { status: 200, body: 'app /x' }, async () => true);
  // A change that comes meanwhile reaches the one that takes its place.
  control.publish(meshSnapshot({ version: '2', upstreamPort, route: { prefix_rewrite: '/y' } }));
  await vi.waitFor(() => expect(control.acks).toContain('2'), patience);
  await vi.waitFor(async () => expect((await pidsOf(sidecar))[1]).toEqual(expect.any(Number)), patience);
  const anew = async () => ((await acceptedBy(sidecar))[1] ?? 0) > 0;
  const last = await callUntil(url, { status: 200, body: 'app /yx' }, anew);
  await settled(sidecar, {
    envoy_http_downstream_rq_total: answered + more + last,
    lateen_worker_restarts_total: 1,
  });
  expect((await pidsOf(sidecar))[0]).toBe(first);

  // The worker does not outlive the first process, and nobody listens any more.
  sidecar.child.kill('SIGKILL');
  await sidecar.exit();
  const { port } = new URL(url);
  await vi.waitFor(async () => expect(await refuses(Number(port))).toBe(true), patience);
});

/** A connection that has answered once, and stays. */
function stay(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET /x HTTP/1.1\r\nhost: a\r\n\r\n'));
    cleanups.add(() => socket.destroy());
    socket.once('data', () => resolve());
    socket.once('error', reject);
  });
}

it('shares connections that stay, whoever has accepted them', async () => {
  const { sidecar, url } = await startMesh();
  const port = Number(new URL(url).port);
  for (let count = 0; count < 32; count++) await stay(port);
  const stats = await settled(sidecar, {}, 32);
  const open = [0, 1].map((index) => stats.get(`lateen_worker_connections_active{worker="${index}"}`) ?? 0);
  expect(Math.min(...open)).toBeGreaterThan(8);
});

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

/** A listener `web` with more filters in front of a cluster with circuit breakers. */
async function startLimited(upstreamPort: number, filters: readonly object[], thresholds: object) {
  const directory = temporaryDirectory(cleanups);
  const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const hcm = {
    '@type': HCM_TYPE,
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
    },
    access_log: [
      {
        name: 'out',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
          log_format: { text_format_source: { inline_string: '%RESPONSE_CODE%\n' } },
        },
      },
      {
        name: 'lateen.audit',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: 'audit.log',
          log_format: { json_format: { type: 'request', status: '%RESPONSE_CODE%' } },
        },
      },
    ],
    http_filters: [...filters, ROUTER],
  };
  const file = join(directory, 'bootstrap.json');
  const bootstrap = {
    node: { id: NODE_ID, cluster: 'web.default' },
    admin: { address: socket(0) },
    static_resources: {
      listeners: [
        { name: 'web', address: socket(0), filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }] },
      ],
      clusters: [
        {
          name: 'app',
          connect_timeout: '1s',
          circuit_breakers: { thresholds: [thresholds] },
          load_assignment: {
            cluster_name: 'app',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(upstreamPort) } }] }],
          },
        },
      ],
    },
  };
  writeFileSync(file, JSON.stringify(bootstrap));
  const args = ['--config-path', file, '--state-dir', directory, '--concurrency', '2'];
  const sidecar = await startSidecarProcess(cleanups, args);
  await bothServe(sidecar);
  return { directory, sidecar, url: `http://127.0.0.1:${await sidecar.port('web')}/x` };
}

it('has the limits of one proxy: circuit breakers and local rate limits', async () => {
  const held: ServerResponse[] = [];
  let most = 0;
  const upstream = createServer((_request, response) => {
    held.push(response);
    most = Math.max(most, held.length);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  cleanups.add(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const limit = {
    name: 'envoy.filters.http.local_ratelimit',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
      stat_prefix: 'web',
      token_bucket: { max_tokens: 40, tokens_per_fill: 1, fill_interval: '3600s' },
      filter_enabled: { default_value: { numerator: 100 } },
      filter_enforced: { default_value: { numerator: 100 } },
    },
  };
  const { port } = upstream.address() as AddressInfo;
  const { directory, sidecar, url } = await startLimited(port, [limit], { max_requests: 5 });
  const statuses: number[] = [];
  const sent: Promise<unknown>[] = [];
  const count = (status: number) => statuses.filter((each) => each === status).length;
  const send = async () => {
    const crowd = Array.from({ length: CROWD }, () => fetchText(url).then(({ status }) => statuses.push(status)));
    sent.push(...crowd);
    // Each is answered, but for those that the upstream holds.
    await vi.waitFor(() => expect(statuses.length + held.length).toBe(sent.length), patience);
  };
  // Until nothing is left of either limit, in either process, and once more.
  while (count(503) + held.length < 40) await send();
  await send();
  expect(most).toBeLessThanOrEqual(5);
  expect(count(503) + held.length).toBe(40);
  expect(count(429)).toBe(sent.length - 40);
  const label = '{envoy_local_http_ratelimit_prefix="web"}';
  const expected = {
    [`envoy_http_local_rate_limit_ok${label}`]: 40,
    [`envoy_http_local_rate_limit_rate_limited${label}`]: sent.length - 40,
    'envoy_cluster_upstream_rq_active{cluster_name="app"}': held.length,
  };
  await settled(sidecar, expected, held.length);
  for (const response of held.splice(0)) response.end('now');
  await Promise.all(sent);

  // All have what is under way ended, and their lines are written by the first one.
  sidecar.child.kill('SIGTERM');
  expect(await sidecar.exit()).toBe(0);
  const lines = sidecar.stdout().trim().split('\n');
  expect(lines.sort()).toEqual(statuses.map(String).sort());

  // Each has a chain of its own, whole, and together they are all requests.
  const verifier = new AuditVerifier();
  for (const name of ['audit.log', 'audit.log.worker-1']) await verifier.file(join(directory, name));
  const { chains, problems } = await verifier.report(false);
  expect(problems).toEqual([]);
  expect(chains).toMatchObject([{ ended: true }, { ended: true }]);
  expect(chains.reduce((sum, { records }) => sum + records, 0)).toBe(statuses.length);
});
