// End-to-end: rate limits in local mode: counted by each proxy, and over the mesh by quotas that Pilot leases.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { echoDocuments, LocalMesh, type PodSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;
/** Nothing comes back while the test runs. */
const RULES = `apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  rules:
  - name: by-user
    match: [{path: {template: "/users/{id}"}}]
    by: [{header: {name: x-user}}]
    limit: {requests: 2, per: 1h}
    response: {body: "two an hour"}
  - name: all
    match: [{path: {prefix: /all}}]
    limit: {requests: 60, per: 1h}
    scope: MESH
  - name: watched
    match: [{path: {prefix: /watched}}]
    limit: {requests: 1, per: 1h}
    mode: SHADOW
`;

describe('local mode: rate limits', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  let pods: readonly PodSeen[] = [];

  /** Each a request to the pod's own port, in plain text. */
  const ask = async (pod: PodSeen | undefined, path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`http://${pod?.address}:8080${path}`, {
      headers: { ...headers, connection: 'close' },
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  const passed = async (pod: PodSeen | undefined, path: string, count: number, headers?: Record<string, string>) => {
    let found = 0;
    for (let index = 0; index < count; index++) if ((await ask(pod, path, headers)).status === 200) found++;
    return found;
  };

  beforeAll(async () => {
    mesh.write('echo.yaml', echoDocuments({ replicas: 2 }));
    mesh.write('limits.yaml', RULES);
    await mesh.up('-f', 'echo.yaml', '-f', 'limits.yaml');
    pods = await mesh.pods();
    await waitUntil('the limit of both pods', async () => {
      const answers = await Promise.all(pods.map((pod) => ask(pod, '/users/0', { 'x-user': 'nobody' })));
      return answers.every(({ status }) => status === 429);
    });
  }, TIME_LIMIT_MS);
  afterAll(() => mesh.remove(), TIME_LIMIT_MS);

  it('count each value at each proxy, and say when to come again', async () => {
    for (const pod of pods) expect(await passed(pod, '/users/1', 4, { 'x-user': 'ann' })).toBe(2);
    const refused = await ask(pods[0], '/users/2?x=1', { 'x-user': 'ann' });
    expect(refused).toMatchObject({ status: 429, text: 'two an hour' });
    const seconds = Number(refused.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(1_000);
    expect(seconds).toBeLessThanOrEqual(1_800);
    expect(refused.headers.get('ratelimit-limit')).toBe('2, 2;w=3600');
    expect(refused.headers.get('ratelimit-remaining')).toBe('0');
    expect(await passed(pods[0], '/users/1', 1, { 'x-user': 'bob' })).toBe(1);
    expect(await passed(pods[0], '/users/1/more', 3, { 'x-user': 'ann' })).toBe(3);
    expect(await passed(pods[0], '/users/1', 3)).toBe(3);
  });

  it('let requests through in shadow mode, and count them', async () => {
    expect(await passed(pods[0], '/watched', 3)).toBe(3);
    const metrics = await (await fetch(`http://${pods[0]?.address}:15000/stats/prometheus`)).text();
    expect(metrics).toMatch(/rate_limited{[^}]*="lateen.ratelimit\/default\/echo\/watched"} 2\n/);
    expect(metrics).toMatch(/enforced{[^}]*="lateen.ratelimit\/default\/echo\/watched"} 0\n/);
  });

  it('are kept over the mesh, also while the control plane is away', async () => {
    // Each proxy has its share of the 60 soon after its first request.
    await Promise.all(pods.map((pod) => ask(pod, '/all')));
    let sum = 2;
    const drain = async () => {
      for (const pod of pods) sum += await passed(pod, '/all', 20);
      return sum;
    };
    await drain();
    const pilot = (await mesh.status()).processes.find(({ kind, name }) => kind === 'pilot' || name === 'pilot');
    if (typeof pilot?.pid === 'number') process.kill(pilot.pid, 'SIGKILL');
    for (let round = 0; round < 3; round++) await drain();
    // A bucket of its own tokens at first, then the share: never more than the whole and what was there before it.
    expect(sum).toBeGreaterThan(5);
    expect(sum).toBeLessThanOrEqual(60 + 2 * 6);
  });
});
