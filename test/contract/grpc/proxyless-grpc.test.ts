// Contract: gRPC clients without a proxy (`xds:///`): gRPC's own library gets routes, subsets and endpoints from Pilot and calls
// a service by them, also while they change, in plaintext and by mutual TLS to a sidecar.

import grpc from '@grpc/grpc-js';
import xds from '@grpc/grpc-js-xds';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../harness/wait-until.js';
import type { EchoClient } from './echo-client.js';
import { GrpcMesh } from './grpc-mesh.js';

const ECHO = 'echo.default.svc.cluster.local:7070';

/** Documents of the service: its rules, its policy, and who else may call it how. */
function documents(http: string, policy = '{ loadBalancer: { simple: ROUND_ROBIN } }', strict = false): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo, namespace: default }
spec: { hosts: [echo], http: [${http}] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo, namespace: default }
spec:
  host: echo
  trafficPolicy: ${policy}
  subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: ${strict ? 'STRICT' : 'PERMISSIVE'} } }`;
}

const to = (subset: string, weight = 100) => `{ destination: { host: echo, subset: ${subset} }, weight: ${weight} }`;
const rule = (fields: string, ...destinations: string[]) =>
  `{ ${fields}route: [${(destinations.length === 0 ? [to('v1')] : destinations).join(', ')}] }`;

let mesh: GrpcMesh;
let echo: EchoClient;

beforeAll(async () => {
  mesh = await GrpcMesh.start();
  xds.register();
  await mesh.addPod('echo-1', 'v1');
  await mesh.addPod('echo-2', 'v2');
  await mesh.apply(documents(rule('')));
  await waitUntil('pilot to take the registry', () => mesh.report());
  echo = mesh.client(ECHO, grpc.credentials.createInsecure());
});

afterAll(() => mesh?.stop());

/** Waits until what was applied is what the client does. */
async function settled(what: string, condition: () => Promise<boolean>): Promise<void> {
  await waitUntil(what, condition);
}

test.each([ECHO, 'echo.default.svc:7070', 'echo.default:7070', 'echo:7070'])('%s is called', async (target) => {
  const client = mesh.client(target, grpc.credentials.createInsecure());
  await settled('the first answer', async () => (await client.serverOf()) === 'echo-1');
  expect(await client.list()).toBe(3);
});

test('routes: by header to a subset, by weights for the rest, away where it leads nowhere', async () => {
  await mesh.apply(
    documents(
      [
        rule('match: [{ headers: { end-user: { exact: jason } } }], ', to('v2')),
        rule('match: [{ headers: { x-build: { regex: "a.*|b.*" } } }], ', to('v2')),
        rule('match: [{ queryParams: { x: { exact: y } } }], ', to('v2')),
        '{ match: [{ uri: { prefix: /lateen.test.Echo/Moved } }], redirect: { uri: /elsewhere } }',
        rule('', to('v1', 75), to('v2', 25)),
      ].join(', '),
    ),
  );
  await settled('the rules', async () => (await echo.serverOf({ headers: { 'end-user': 'jason' } })) === 'echo-2');
  expect(await echo.shares(20, { headers: { 'end-user': 'jason' } })).toEqual({ 'echo-2': 20 });
  expect(await echo.shares(5, { headers: { 'x-build': 'b7' } })).toEqual({ 'echo-2': 5 });
  const shares = await echo.shares(400);
  // 4.5 standard deviations of a binomial of 400 and 0.25.
  expect(Math.abs((shares['echo-2'] ?? 0) - 100)).toBeLessThan(39);
  expect(await echo.shares(200, { headers: { 'x-build': 'xb7' } })).toHaveProperty('echo-1');
  expect(await echo.statusOf({}, { method: 'moved' })).toBe('UNAVAILABLE');
});

test('a retry hides failures, a timeout ends a call, a fault answers it', async () => {
  await mesh.apply(
    documents(
      [
        rule(
          'match: [{ uri: { prefix: /lateen.test.Echo/Faulty } }], fault: { abort: { grpcStatus: DATA_LOSS, percentage: { value: 100 } } }, ',
        ),
        rule('match: [{ headers: { x-hurry: { exact: "yes" } } }], timeout: 200ms, '),
        rule('match: [{ headers: { x-once: { exact: "yes" } } }], retries: { attempts: 0 }, '),
        rule('retries: { attempts: 3, retryOn: unavailable, backoff: 5ms }, '),
      ].join(', '),
    ),
  );
  await settled('the rules', async () => (await echo.statusOf({}, { method: 'faulty' })) === 'DATA_LOSS');
  expect(await echo.call({ key: 'retried', failures: 2 })).toEqual({ server: 'echo-1', calls: 3 });
  const once = { headers: { 'x-once': 'yes' } };
  expect(await echo.statusOf({ key: 'once', failures: 2 }, once)).toBe('UNAVAILABLE');
  expect(await echo.statusOf({ sleepMs: 5_000 }, { headers: { 'x-hurry': 'yes' } })).toBe('DEADLINE_EXCEEDED');
});

test('limits of the pool, and hashing by a header', async () => {
  const whole = '{ retries: { attempts: 0 }, route: [{ destination: { host: echo } }] }';
  await mesh.apply(documents(whole, '{ connectionPool: { http: { http2MaxRequests: 1 } } }'));
  await settled('the limit', async () => {
    // The library puts a changed limit to use with the next change of its endpoints, and a new channel at once.
    const client = mesh.client(ECHO, grpc.credentials.createInsecure());
    const slow = client.statusOf({ sleepMs: 400 });
    // The library counts a call when it has started.
    const others: string[] = [];
    for (let call = 0; call < 10; call++) others.push(await client.statusOf());
    const refused = others.includes('UNAVAILABLE') && (await slow) === 'OK';
    client.close();
    return refused;
  });
  await mesh.apply(documents(whole, '{ loadBalancer: { consistentHash: { httpHeaderName: x-user } } }'));
  const users = Array.from({ length: 12 }, (_, index) => ({ headers: { 'x-user': `user-${index}` } }));
  const serverOfUsers = () => Promise.all(users.map((user) => echo.serverOf(user)));
  await settled('the same servers for the same users', async () => {
    const [first, second, third] = [await serverOfUsers(), await serverOfUsers(), await serverOfUsers()];
    return first.join() === second.join() && second.join() === third.join() && new Set(first).size === 2;
  });
});

test('no call fails while endpoints and routes change', async () => {
  await mesh.apply(documents(rule('retries: { attempts: 0 }, ')));
  await settled('v1 alone', async () => Object.keys(await echo.shares(20)).join() === 'echo-1');
  let calling = true;
  const outcomes: Record<string, number> = {};
  const callers = Array.from({ length: 4 }, async () => {
    while (calling) {
      const status = await echo.statusOf({ sleepMs: 2 });
      outcomes[status] = (outcomes[status] ?? 0) + 1;
    }
  });
  await mesh.addPod('echo-3', 'v1');
  await mesh.report();
  await settled('the new endpoint', async () => 'echo-3' in (await echo.shares(20)));
  const leaving = mesh.removePod('echo-1');
  await mesh.report();
  await settled('the old one to be left', async () => Object.keys(await echo.shares(20)).join() === 'echo-3');
  await leaving.drain();
  await mesh.apply(documents(rule('retries: { attempts: 0 }, ', to('v2'))));
  await settled('the other subset', async () => (await echo.serverOf()) === 'echo-2');
  await settled('a hundred calls', async () => (outcomes.OK ?? 0) > 100);
  calling = false;
  await Promise.all(callers);
  expect(outcomes).toEqual({ OK: outcomes.OK });
});

test('mutual TLS to a sidecar that takes nothing else', async () => {
  await mesh.addPodWithSidecar('echo-strict', 'v1');
  mesh.removePod('echo-3');
  await mesh.apply(documents(rule(''), '{ tls: { mode: ISTIO_MUTUAL } }', true));
  await mesh.report();
  const { XdsChannelCredentials } = xds;
  const secure = mesh.client(ECHO, new XdsChannelCredentials(grpc.credentials.createInsecure()));
  await settled('an answer by TLS', async () => (await secure.serverOf()) === 'echo-strict');
  // Credentials that know nothing of xDS call in plaintext, whatever Pilot says.
  expect(await echo.statusOf()).toBe('UNAVAILABLE');
});
