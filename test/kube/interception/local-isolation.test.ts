// Local mode with a network namespace for each pod (`local up --isolation netns`), as root and as an ordinary user.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRunning } from '../../e2e/local-mesh.js';
import { httpGet } from '../../harness/http-get.js';
import { REPOSITORY } from '../../harness/repository.js';
import { waitUntil } from '../../harness/wait-until.js';
import { ECHO_DOCUMENTS, IsolatedMesh, NOBODY, networkNamespaces, networkOfHost } from './isolated-mesh.js';
import { canMakeNamespaces } from './network.js';

const possible = canMakeNamespaces();
const INTERCEPTED_OTHERWISE = 'sidecar.istio.io/interceptionMode: TPROXY';
const EXAMPLES = join(REPOSITORY, 'examples');
const FILES = [
  'bookinfo/bookinfo.yaml',
  'bookinfo/gateway-routes.yaml',
  'handbook/gateway-bookinfo.yaml',
  'handbook/destination-rule-reviews.yaml',
  'handbook/virtual-service-reviews.yaml',
  'handbook/peer-authentication-default.yaml',
].flatMap((file) => ['-f', join(EXAMPLES, file)]);

/** Why an ordinary user cannot have them; undefined where one can. */
function obstacleForUsers(): string | undefined {
  if (!existsSync('/etc/subgid')) return 'there is no /etc/subgid to lay the test’s own over';
  if (spawnSync('newgidmap').error !== undefined) return 'newgidmap is missing: install uidmap';
  const user = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
  const tried = spawnSync('setpriv', [...user, 'unshare', '--user', 'true'], { encoding: 'utf8' });
  return tried.status === 0 ? undefined : `users may not make user namespaces: ${tried.stderr.trim()}`;
}

const obstacle = possible ? obstacleForUsers() : undefined;
if (obstacle !== undefined) {
  console.error(`\nSKIPPED: local mode with network namespaces as an ordinary user: ${obstacle}\n`);
}

const WHO = [{ who: 'root', uid: 0 }, ...(obstacle === undefined ? [{ who: 'an ordinary user', uid: NOBODY }] : [])];

describe.skipIf(!possible).each(WHO)('pods in network namespaces, started by $who', ({ uid }) => {
  let mesh: IsolatedMesh;
  const before = { network: '', namespaces: networkNamespaces() };
  beforeAll(async () => {
    before.network = networkOfHost();
    before.namespaces = networkNamespaces();
    mesh = new IsolatedMesh(uid, 'some');
    const { exitCode, stdout, stderr } = await mesh.up(...FILES, '-f', 'echo.yaml', '--timeout', '120');
    expect(stdout + stderr).toContain('ready: 10 pods');
    expect(exitCode).toBe(0);
    expect(stderr).toContain('reach the mesh only');
  });
  afterAll(() => mesh?.remove());

  test('this machine reaches the page through the gateway, and its network is as before', async () => {
    const { ingress } = await mesh.status();
    const page = await waitUntil('the page', async () => {
      const answer = await httpGet(`http://127.0.0.1:${ingress.port}/productpage`);
      return answer.status === 200 && answer;
    });
    expect(page.body).toContain('Book Reviews');
    expect(networkOfHost()).toBe(before.network);
  });

  test('unmodified clients call services by name and port, with mutual TLS', async () => {
    const ofNode = await mesh.fetchInPod('productpage-v1', 'http://reviews:9080/reviews/0');
    expect(ofNode).toMatch(/^200 .*"podname":"reviews-v1-/);
    const ofCurl = await mesh.inPod(
      'productpage-v1',
      'curl',
      '-s',
      'http://details.default.svc.cluster.local:9080/health',
    );
    expect(ofCurl.exitCode).toBe(0);
    const called = (await mesh.status()).pods.find(({ deployment }) => deployment === 'reviews-v1')!;
    await waitUntil('the counts of reviews', async () => {
      const { body } = await httpGet(`http://${called.address}:15020/stats/prometheus`);
      const counted = body.split('\n').filter((line) => line.startsWith('istio_requests_total'));
      return counted.some(
        (line) =>
          line.includes('connection_security_policy="mutual_tls"') &&
          line.includes('source_principal="spiffe://cluster.local/ns/default/sa/bookinfo-productpage"'),
      );
    });
  });

  test('plain text past the sidecar is refused', async () => {
    const [echo] = (await mesh.status()).pods.filter(({ deployment }) => deployment === 'echo');
    const direct = await mesh.inPod('bypass', 'curl', '-sS', '-m', '10', `http://${echo!.podIp}:8080/`);
    expect(direct).toMatchObject({ stdout: '', exitCode: expect.toBeOneOf([52, 56]) }); // nothing came, or a reset
    expect(await mesh.fetchInPod('bypass', 'http://echo/')).toMatch(/^200 echo-/);
  });

  test('replicas listen on the same port, each at an address of its own, in both families', async () => {
    const echoes = (await mesh.status()).pods.filter(({ deployment }) => deployment === 'echo');
    expect(new Set(echoes.map(({ podIp }) => podIp)).size).toBe(2);
    const names = new Set<string>();
    await waitUntil('both to answer', async () => {
      names.add(await mesh.fetchInPod('productpage-v1', 'http://echo/'));
      return names.size === 2;
    });
    expect([...names].sort()).toEqual(echoes.map(({ name }) => `200 ${name}`).sort());
    const ipv6 = await mesh.inPod('productpage-v1', 'curl', '-s', '-6', 'http://echo/');
    expect(ipv6.stdout).toMatch(/^echo-/);
  });

  test('routes hold: jason is sent to v2', async () => {
    for (let round = 0; round < 3; round++) {
      const jason = { 'end-user': 'jason' };
      expect(await mesh.fetchInPod('productpage-v1', 'http://reviews:9080/reviews/0', jason)).toContain(
        '"version":"v2"',
      );
    }
    expect(await mesh.ok('proxy-config', 'routes', 'productpage-v1')).toContain('reviews');
    const why = await mesh.ok(
      'explain',
      'productpage-v1',
      '--request',
      'GET http://reviews:9080/x',
      '-H',
      'end-user: jason',
    );
    expect(why).toContain('v2');
  });

  test('what is outside of the mesh is refused at once', async () => {
    const startedMs = performance.now();
    const unknown = await mesh.inPod('productpage-v1', 'curl', '-sS', '-m', '30', 'http://nowhere.example/');
    expect(unknown.exitCode).toBe(6); // CURLE_COULDNT_RESOLVE_HOST
    const address = await mesh.inPod('productpage-v1', 'curl', '-sS', '-m', '30', 'http://192.0.2.1/');
    expect(address.stdout).toContain('upstream connect error');
    expect(performance.now() - startedMs).toBeLessThan(25_000);
  });

  test('new pods take over from old ones without a failed call', async () => {
    // Calls until it finds the file; then it says how often each answer came.
    const script = `
      const { existsSync } = require('node:fs');
      const counts = {};
      const call = () => fetch('http://echo/').then(
        async (answer) => [answer.status, await answer.text()].join(' '), (error) => error.cause?.code ?? error.message);
      const callOn = async () => {
        while (!existsSync('enough')) {
          const answer = await call();
          counts[answer] = (counts[answer] ?? 0) + 1;
        }
      };
      Promise.all([callOn(), callOn(), callOn()]).then(() => console.log(JSON.stringify(counts)));`;
    const echoes = async () => (await mesh.status()).pods.filter(({ deployment }) => deployment === 'echo');
    const old = (await echoes()).map(({ name }) => name);
    const calls = mesh.inPod('productpage-v1', process.execPath, '-e', script);
    mesh.write(
      'echo.yaml',
      ECHO_DOCUMENTS.replace('image: echo:1', 'image: echo:1\n        env: [{name: ROUND, value: two}]'),
    );
    await mesh.ok('apply', '-f', 'echo.yaml');
    await waitUntil('the old pods to be gone', async () => (await echoes()).every(({ name }) => !old.includes(name)));
    mesh.write('enough', '');
    const counts = JSON.parse((await calls).stdout) as Record<string, number>;
    const now = (await echoes()).map(({ name }) => name);
    const answers = Object.keys(counts);
    expect(answers.filter((answer) => !answer.startsWith('200 echo-'))).toEqual([]);
    expect(answers).toEqual(expect.arrayContaining(now.map((name) => `200 ${name}`)));
  });

  test('a pod whose namespace ends gets another', async () => {
    const [pod] = (await mesh.status()).pods.filter(({ deployment }) => deployment === 'details-v1');
    const processes = (await mesh.status()).processes.filter(({ name }) => name.startsWith(`default/${pod!.name}/`));
    const namespace = [...networkNamespaces().values()].find((pids) => pids.includes(processes[0]!.pid!))!;
    for (const pid of namespace) process.kill(pid, 'SIGKILL');
    await waitUntil('the pod to be ready again', async () => {
      const now = (await mesh.status()).processes.filter(({ name }) => name.startsWith(`default/${pod!.name}/`));
      return now.every(({ ready, restarts }) => ready && restarts > 0);
    });
    await waitUntil('details to answer', async () =>
      (await mesh.fetchInPod('productpage-v1', 'http://details:9080/health')).startsWith('200'),
    );
  });

  test('it ends without a trace, however its supervisor ends', async () => {
    const gone = async () => {
      const namespaces = [...networkNamespaces().keys()].filter((each) => !before.namespaces.has(each));
      return namespaces.length === 0 && networkOfHost() === before.network;
    };
    const { processes } = await mesh.status();
    process.kill(processes.find(({ name }) => name === 'supervisor')!.pid!, 'SIGKILL');
    await waitUntil('everything of a killed supervisor to end', async () => {
      return processes.every(({ pid }) => pid === null || !isRunning(pid)) && gone();
    });
    const again = await mesh.up('--timeout', '120');
    expect(again.exitCode, again.stderr).toBe(0);
    const pids = (await mesh.status()).processes.flatMap(({ pid }) => (pid === null ? [] : [pid]));
    await mesh.ok('local', 'down');
    expect(pids.filter(isRunning)).toEqual([]);
    await waitUntil('the namespaces to end', gone);
  });
});

describe.skipIf(!possible)('without what it needs', () => {
  test('a pod that asks for another way of interception does not start, and its status says why', async () => {
    const mesh = new IsolatedMesh(0, 'none');
    try {
      const text = ECHO_DOCUMENTS.replace(
        "traffic.sidecar.istio.io/excludeOutboundPorts: '8080'",
        INTERCEPTED_OTHERWISE,
      );
      mesh.write('tproxy.yaml', text);
      const { exitCode, stderr } = await mesh.up('-f', 'tproxy.yaml', '--timeout', '5');
      expect(exitCode).toBe(1);
      expect(stderr).toContain('interceptionMode: TPROXY is not to be had with --isolation netns; take it away');
    } finally {
      await mesh.remove();
    }
  });

  test('a user without groups to hand out is told so, and nothing is started', async ({ skip }) => {
    if (obstacle !== undefined) skip();
    const mesh = new IsolatedMesh(NOBODY, 'none');
    try {
      const { exitCode, stderr } = await mesh.up();
      expect(exitCode).toBe(1);
      expect(stderr).toContain('--isolation netns cannot be had here');
      expect(stderr).toContain('/etc/subgid gives the user nobody no groups');
      expect(stderr).toContain('usermod --add-subgids');
      expect((await mesh.run('local', 'status')).exitCode).toBe(3);
    } finally {
      await mesh.remove();
    }
  });
});
