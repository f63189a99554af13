// Leader election: one at a time, whatever happens to replicas, the server and clocks.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LeaseElection, type LeaseElectionOptions } from './lease-election.js';
import { resourceTypes } from './resource-type.js';
import { FakeApiServer } from './testing/fake-api-server.js';

const times = { leaseDurationMs: 1_000, renewDeadlineMs: 600, retryPeriodMs: 50 };
let server: FakeApiServer;
let log: string[];
const elections: LeaseElection[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
  log = [];
});
afterEach(async () => {
  await Promise.all(elections.splice(0).map((election) => election.stop()));
  await server.stop();
});

function run(identity: string, options: Partial<LeaseElectionOptions> = {}): LeaseElection {
  const election = new LeaseElection({
    client: server.client(),
    namespace: 'istio-system',
    name: 'lateen-test',
    identity,
    onElected: () => log.push(`${identity} leads`),
    onLost: () => log.push(`${identity} does not`),
    ...times,
    ...options,
  });
  elections.push(election.start());
  return election;
}
const lease = () => server.get(resourceTypes.leases, 'istio-system', 'lateen-test')?.spec;

it('gives the lease to one, and on its stop at once to the next', async () => {
  const a = run('a');
  await expect.poll(() => a.isLeader).toBe(true);
  const b = run('b');
  await expect.poll(() => b.holder).toBe('a');
  expect(b.isLeader).toBe(false);
  const stoppedAt = performance.now();
  await a.stop();
  await expect.poll(() => b.isLeader).toBe(true);
  expect(log).toEqual(['a leads', 'a does not', 'b leads']);
  expect(lease()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  expect(performance.now() - stoppedAt).toBeLessThan(times.leaseDurationMs);
});

it('ends leadership that cannot be renewed before another can have it', async () => {
  const { port } = server;
  const a = run('a');
  await expect.poll(() => a.isLeader).toBe(true);
  const b = run('b');
  await expect.poll(() => b.holder).toBe('a');
  await server.stop();
  await expect.poll(() => log.at(-1)).toBe('a does not');
  expect(a.isLeader).toBe(false);
  await server.listen(port);
  await expect.poll(() => Number(a.isLeader) + Number(b.isLeader)).toBe(1);
});

it('takes the lease of a holder that is silent, however wrong its clock was', async () => {
  const metadata = { name: 'lateen-test', namespace: 'istio-system' };
  const future = '2099-01-01T00:00:00.000000Z';
  server.put(resourceTypes.leases, {
    metadata,
    spec: {
      holderIdentity: 'gone',
      leaseDurationSeconds: 1,
      renewTime: future,
      acquireTime: future,
      leaseTransitions: 3,
    },
  });
  const started = performance.now();
  const a = run('a');
  await expect.poll(() => a.isLeader).toBe(true);
  expect(performance.now() - started).toBeGreaterThanOrEqual(1_000);
  expect(lease()).toMatchObject({ holderIdentity: 'a', leaseTransitions: 4 });
});

it('respects a holder whose clock is behind as long as it renews', async () => {
  const past = (n: number) => `1999-01-01T00:00:${String(n).padStart(2, '0')}.000000Z`;
  const metadata = { name: 'lateen-test', namespace: 'istio-system' };
  const renew = (n: number) =>
    server.put(resourceTypes.leases, {
      metadata,
      spec: { holderIdentity: 'slow', leaseDurationSeconds: 1, renewTime: past(n) },
    });
  renew(0);
  const a = run('a');
  for (let n = 1; n <= 4; n++) {
    const seen = server.requests.length;
    await expect.poll(() => server.requests.length - seen).toBeGreaterThan(8); // some 450 ms
    renew(n);
  }
  expect(a.isLeader).toBe(false);
  expect(log).toEqual([]);
});

it('keeps the lease over a conflict and refusals that pass', async () => {
  const a = run('a');
  await expect.poll(() => a.isLeader).toBe(true);
  let refused = 0;
  server.intercept = (request, response) => {
    if (request.method !== 'PUT' || refused >= 3) return false;
    const body = { kind: 'Status', code: 409, reason: 'Conflict', message: 'changed' };
    response.writeHead(refused++ === 1 ? 500 : 409).end(JSON.stringify(body));
    return true;
  };
  await expect.poll(() => refused).toBe(3);
  const { renewTime } = lease()!;
  await expect.poll(() => lease()?.renewTime).not.toBe(renewTime);
  expect(log).toEqual(['a leads']);
});

it('never has two leaders while six compete, stop and come back', async () => {
  let leading = 0;
  let most = 0;
  const compete = (identity: string) =>
    run(identity, {
      onElected: () => {
        most = Math.max(most, ++leading);
      },
      onLost: () => leading--,
    });
  let all = [...Array(6).keys()].map((n) => compete(`r${n}`));
  for (let round = 0; round < 5; round++) {
    await expect.poll(() => all.filter(({ isLeader }) => isLeader).length).toBe(1);
    const leader = all.find(({ isLeader }) => isLeader)!;
    await leader.stop();
    all = [...all.filter((one) => one !== leader), compete(`n${round}`)];
  }
  expect(most).toBe(1);
});
