// End-to-end: the life of a local mesh: start, apply, restart, roll out, and an end that leaves nothing behind.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { call } from './demo-check/http-call.js';
import { echoDocuments, isRunning, LocalMesh } from './local-mesh.js';

const HOST = 'echo.default.svc.cluster.local';
const TIME_LIMIT_MS = 120_000;
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/** Calls echo as its own first pod does: through that pod's sidecar, to a pod's sidecar, to the application. */
async function greeting(mesh: LocalMesh): Promise<Greeting> {
  const [pod] = await mesh.pods();
  return ask(`http://${pod!.serviceAddresses[HOST]}`);
}

interface Greeting {
  readonly pod: string;
  readonly greeting: string;
}

async function ask(url: string): Promise<Greeting> {
  const { status, body } = await call(url);
  if (status !== 200) throw new Error(`status ${status}: ${body}`);
  return JSON.parse(body) as Greeting;
}

describe('local mode: meshes that come and go', { timeout: TIME_LIMIT_MS }, () => {
  const meshes: LocalMesh[] = [];
  const newMesh = (): LocalMesh => {
    const mesh = new LocalMesh();
    meshes.push(mesh);
    return mesh;
  };
  afterEach(async () => {
    await Promise.all(meshes.splice(0).map((mesh) => mesh.remove()));
  }, TIME_LIMIT_MS);

  it('runs two meshes side by side, and `down` ends one without a trace', async () => {
    const [first, second] = [newMesh(), newMesh()];
    await Promise.all([first.up(), second.up()]);
    const [one, two] = await Promise.all([first.status(), second.status()]);
    expect(one.block).not.toBe(two.block);
    expect(one.ingress.port).not.toBe(two.ingress.port);
    expect((await greeting(first)).greeting).toBe('hello');

    const pids = await first.pids();
    await first.ok('local', 'down');
    expect(pids.filter(isRunning)).toEqual([]);
    expect(existsSync(join(first.stateDir, 'mesh.json'))).toBe(false);
    expect(existsSync(join(first.stateDir, 'supervisor/control.sock'))).toBe(false);
    expect((await first.run('local', 'status')).exitCode).toBe(3);
    expect((await greeting(second)).greeting).toBe('hello');
  });

  it('leaves no process behind when the supervisor is killed, and comes back with the same addresses', async () => {
    const mesh = newMesh();
    await mesh.up();
    const before = await mesh.status();
    const pids = await mesh.pids();
    const supervisor = before.processes.find(({ kind }) => kind === 'supervisor');
    process.kill(supervisor!.pid!, 'SIGKILL');
    await waitUntil('every process to end', () => pids.every((pid) => !isRunning(pid)));

    // What was applied is played again, without a file.
    await mesh.up('--timeout', '60');
    const after = await mesh.status();
    expect(after.pods.map(({ name, address }) => [name, address])).toEqual(
      before.pods.map(({ name, address }) => [name, address]),
    );
    expect((await greeting(mesh)).greeting).toBe('hello');
  });
});

describe('local mode: what is done to a running mesh', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  beforeAll(() => mesh.up(), TIME_LIMIT_MS);
  afterAll(() => mesh.remove(), TIME_LIMIT_MS);

  it('refuses a second mesh in the same state directory, and a port that is in use', async () => {
    const again = await mesh.run('local', 'up', '--ingress-port', '0');
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain('a mesh already runs in');

    const other = new LocalMesh();
    const blocker = createServer();
    await new Promise<void>((done) => blocker.listen(0, '127.0.0.1', done));
    const { port } = blocker.address() as { port: number };
    const refused = await other.run('local', 'up', '--ingress-port', String(port));
    await new Promise((done) => blocker.close(done));
    await other.remove();
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(`port ${port} of 127.0.0.1 is in use`);
    expect(refused.stderr).toContain('--ingress-port');
  });

  it('changes nothing when one document of a file is wrong, in either family', async () => {
    const bad = mesh.write(
      'bad.yaml',
      `${echoDocuments({ replicas: 2 })}---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: echo}\nspec: {hots: echo}\n`,
    );
    const refused = await mesh.run('apply', '-f', bad);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/bad\.yaml:\d+:\d+ DestinationRule\/default\/echo spec\.hots: /);
    expect(await mesh.pods()).toHaveLength(1);

    // Valid as YAML and as Kubernetes, but nothing that local mode can run.
    const unplayable = echoDocuments({ replicas: 2 }).replace(/ +annotations: .*\n/, '');
    const alsoRefused = await mesh.run('apply', '-f', mesh.write('unplayable.yaml', unplayable));
    expect(alsoRefused.exitCode).toBe(1);
    expect(alsoRefused.stderr).toContain('lateen.io/local-command');
    expect(await mesh.pods()).toHaveLength(1);
  });

  it('follows the probe, restarts what crashes, and keeps down what was stopped', async () => {
    const app = async () => (await mesh.status()).processes.find(({ kind }) => kind === 'app')!;

    writeFileSync(join(mesh.appDirectory, 'broken'), '');
    await waitUntil('the pod not to be ready', async () => !(await mesh.pods())[0]!.ready);
    rmSync(join(mesh.appDirectory, 'broken'));
    await waitUntil('the pod to be ready', async () => (await mesh.pods())[0]!.ready);

    const before = await app();
    process.kill(before.pid!, 'SIGKILL');
    await waitUntil('a restart', async () => {
      const now = await app();
      return now.restarts === before.restarts + 1 && now.ready;
    });
    await waitUntil('an answer after the restart', () => greeting(mesh));

    await mesh.ok('local', 'stop', 'deployment/echo');
    expect((await mesh.pods())[0]).toMatchObject({ status: 'Stopped', ready: false });
    await mesh.ok('local', 'start', 'deployment/echo');
    await waitUntil('the pod to be ready again', async () => (await mesh.pods())[0]!.ready);
    expect((await mesh.run('local', 'stop', 'nothing')).stderr).toContain('no pod "nothing"');
  });

  it('runs programs as a pod would, and ends as they do', async () => {
    const program = 'console.log(process.env.POD_NAME, process.env.GREETING, process.env.http_proxy); process.exit(3)';
    const { exitCode, stdout } = await mesh.run(
      'local',
      'exec',
      'deployment/echo',
      '--',
      process.execPath,
      '-e',
      program,
    );
    const [pod] = await mesh.pods();
    expect(stdout.trim()).toBe(`${pod?.name} hello http://${pod?.address}:15007`);
    expect(exitCode).toBe(3);
    const killed = 'process.kill(process.pid, "SIGKILL")';
    expect(await mesh.run('local', 'exec', 'echo', '--', process.execPath, '-e', killed)).toMatchObject({
      exitCode: 137,
    });
    const gateway = await mesh.run('local', 'exec', 'istio-ingressgateway', '--', 'true');
    expect(gateway).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('has no application') });
    expect(await mesh.run('local', 'exec', 'echo', '--', 'no-such-program')).toMatchObject({ exitCode: 127 });
  });

  /** A file with a VirtualService of echo. */
  const rule = (http: string) =>
    mesh.write(
      'faults.yaml',
      `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
${http}`,
    );

  it('injects the faults and applies the CORS policy of a VirtualService where it is called from', async () => {
    const [pod] = await mesh.pods();
    const url = `http://${pod!.serviceAddresses[HOST]}`;
    const faults = `  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: echo}}]
  - match: [{uri: {prefix: /shared}}]
    corsPolicy: {allowOrigins: [{exact: 'https://shop.example'}], allowMethods: [PUT], maxAge: 10m, unmatchedPreflights: IGNORE}
    route: [{destination: {host: echo}}]
  - match: [{uri: {prefix: /slow}}]
    fault: {delay: {fixedDelay: 0.5s, percentage: {value: 100}}}
    route: [{destination: {host: echo}}]
  - route: [{destination: {host: echo}}]
`;
    await mesh.ok('apply', '-f', rule(faults));
    // Whoever applies may rely on it at once.
    expect(await call(`${url}/broken`)).toMatchObject({ status: 418, body: 'fault filter abort' });
    const before = performance.now();
    expect(await ask(`${url}/slow`)).toMatchObject({ greeting: 'hello' });
    expect(performance.now() - before).toBeGreaterThanOrEqual(499);
    expect(await ask(`${url}/fine`)).toMatchObject({ greeting: 'hello' });
    const preflight = (origin: string) =>
      fetch(`${url}/shared`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } });
    const allowed = await preflight('https://shop.example');
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect(allowed.headers.get('access-control-allow-methods')).toBe('PUT');
    expect(allowed.headers.get('access-control-max-age')).toBe('600');
    const stranger = await preflight('https://other.example');
    expect([stranger.status, await stranger.text()]).toEqual([200, '']);
    expect(stranger.headers.get('access-control-allow-origin')).toBeNull();
    await mesh.ok('apply', '-f', rule(faults.replace('httpStatus: 418', 'grpcStatus: UNAVAILABLE')));
    const asGrpc = () => fetch(`${url}/broken`, { method: 'POST', headers: { 'content-type': 'application/grpc' } });
    expect((await asGrpc()).headers.get('grpc-status')).toBe('14');
    await mesh.ok('delete', '-f', rule(faults));
    expect((await call(`${url}/broken`)).status).toBe(200);
  });

  it('says which proxy has not taken a change, and waits for it', async () => {
    const sidecar = (await mesh.status()).processes.find(
      ({ name }) => name.endsWith('/sidecar') && name.includes('echo'),
    );
    const [, pod] = sidecar!.name.split('/');
    const file = rule('  - route: [{destination: {host: echo}}]\n    timeout: 7s\n');
    process.kill(sidecar!.pid!, 'SIGSTOP');
    try {
      const late = await mesh.run('apply', '-f', file, '--wait=500ms');
      expect(late).toMatchObject({ exitCode: 1, stdout: 'virtualservice.networking.istio.io/echo created\n' });
      expect(late.stderr).toContain('done, but not in effect at 1 of 2 proxies:');
      expect(late.stderr).toMatch(new RegExp(`\\n  ${pod}\\.default has not answered within 0\\.5 s`));
      await mesh.ok('apply', '-f', file, '--no-wait');
      expect(await mesh.ok('wait', 'virtualservice', 'echo', '--proxy', 'istio-ingressgateway-0.istio-system')).toBe(
        'virtualservice.networking.istio.io/echo taken by 1 proxy\n',
      );
    } finally {
      process.kill(sidecar!.pid!, 'SIGCONT');
    }
    expect(await mesh.ok('wait', '--for=distribution', 'virtualservice', 'echo.default', '--timeout', '30s')).toBe(
      'virtualservice.networking.istio.io/echo taken by 2 proxies\n',
    );
    const gone = mesh.run('wait', '--for=delete', 'vs', 'echo', '-n', 'default');
    await mesh.ok('delete', '-f', file, '--wait');
    expect(await gone).toMatchObject({
      exitCode: 0,
      stdout: 'virtualservice.networking.istio.io/echo gone from 2 proxies\n',
    });
    expect((await mesh.run('wait', 'vs', 'echo')).stderr).toContain(
      'there is no VirtualService echo in namespace default',
    );
  });

  it('rolls a new template out and scales without a failed request', async () => {
    // A caller that is not part of the rollout: the gateway's pod has no service addresses, so another deployment.
    mesh.write('caller.yaml', echoDocuments().replaceAll('echo', 'caller').replace('caller.mjs', 'echo.mjs'));
    await mesh.ok('apply', '-f', 'caller.yaml');
    await waitUntil('the caller', async () => (await mesh.status()).ready);
    const [caller] = await mesh.pods('caller');
    const url = `http://${caller!.serviceAddresses[HOST]}`;
    await waitUntil('the first answer', () => ask(url));

    const seen = new Set<string>();
    const failures: string[] = [];
    let running = true;
    const load = (async () => {
      while (running) {
        await ask(url).then(
          (answer) => seen.add(`${answer.greeting} ${answer.pod}`),
          (error: Error) => failures.push(error.message),
        );
      }
    })();
    const settledAt = async (replicas: number, text: string) => {
      await waitUntil(`${replicas} × ${text}`, async () => {
        const pods = await mesh.pods();
        return pods.length === replicas && pods.every(({ ready }) => ready);
      });
      seen.clear();
      await waitUntil(`answers of all of them`, () => seen.size === replicas);
      expect([...seen].every((each) => each.startsWith(text))).toBe(true);
    };

    await mesh.ok('apply', '-f', mesh.write('echo.yaml', echoDocuments({ replicas: 2, greeting: 'bonjour' })));
    await settledAt(2, 'bonjour');
    await mesh.ok('apply', '-f', mesh.write('echo.yaml', echoDocuments({ replicas: 1, greeting: 'bonjour' })));
    await settledAt(1, 'bonjour');
    running = false;
    await load;
    expect(failures).toEqual([]);
    // The directories of ended pods, with their keys, are gone.
    expect(readdirSync(join(mesh.stateDir, 'pods')).filter((name) => name.startsWith('default.echo'))).toHaveLength(1);
  });

  it('narrows what a sidecar is sent to what the handbook lets it call, and widens it again', async () => {
    const handbook = join(REPOSITORY, 'examples/handbook/sidecar-default.yaml');
    const named = echoDocuments()
      .replaceAll('echo', 'product-service')
      .replaceAll('http-product-service', 'http-product')
      .replace('product-service.mjs', 'echo.mjs');
    mesh.write('product.yaml', named);
    await mesh.ok('apply', '-f', 'product.yaml');
    await waitUntil('the product service', async () => (await mesh.status()).ready);
    const [caller] = await mesh.pods('caller');
    const clusters = async () => {
      const table = await mesh.ok('proxy-config', 'clusters', caller!.name);
      return table.split('\n').flatMap((line) => (line.includes('outbound') ? [line.split(/ +/)[0]!] : []));
    };
    const routes = () => mesh.ok('proxy-config', 'routes', caller!.name);
    const product = `http://${caller!.serviceAddresses['product-service.default.svc.cluster.local']}`;
    await waitUntil('the first answer', () => ask(product));
    const before = await clusters();
    expect(before).toContain(HOST);

    // What may still be called answers all the time, also while the rest goes and comes.
    const failures: string[] = [];
    let running = true;
    const load = (async () => {
      while (running) await ask(product).catch((error: Error) => failures.push(error.message));
    })();
    expect((await mesh.run('apply', '-f', handbook)).stderr).toBe('');
    await waitUntil('the clusters of others to go', async () => (await clusters()).length === 1);
    expect(await clusters()).toEqual(['product-service.default.svc.cluster.local']);
    expect(await routes()).not.toContain('echo.default.svc.cluster.local');
    await expect(ask(`http://${caller!.serviceAddresses[HOST]}`)).rejects.toThrow('ECONNREFUSED');

    await mesh.ok('delete', '-f', handbook);
    await waitUntil('the clusters to come back', async () => (await clusters()).length === before.length);
    await waitUntil('an answer of what was hidden', () => ask(`http://${caller!.serviceAddresses[HOST]}`));
    running = false;
    await load;
    expect(failures).toEqual([]);
    await mesh.ok('delete', '-f', 'product.yaml');
  });

  it('describes, completes, and is looked into by address and offline', async () => {
    const [pod] = await mesh.pods();
    const service = await mesh.ok('describe', 'service', 'echo');
    expect(service).toContain(`Pods: 1 of 1 ready\n      ${pod!.name}`);
    const described = JSON.parse(await mesh.ok('describe', 'pod', pod!.name, '-o', 'json'));
    expect(described.services).toMatchObject([{ host: HOST, pods: [{ name: pod!.name, ready: true }] }]);

    const explained = JSON.parse(await mesh.ok('explain', 'echo', '--request', 'http://echo/x', '-o', 'json'));
    expect(explained.clusters).toMatchObject([
      { name: `outbound|80||${HOST}`, endpoints: [{ pod: `${pod!.name}.default`, workload: 'echo', tls: 'mutual' }] },
    ]);

    expect(await mesh.bashCompletes('lateenctl', 'describe', 'pod', 'ec')).toEqual([pod!.name]);

    expect(await mesh.ok('proxy-config', 'log', pod!.name, '--level', 'debug')).toBe('sidecar: debug\n');
    expect(await mesh.ok('proxy-config', 'log', pod!.name)).toBe('sidecar: debug\n');

    mesh.write('dump.json', await mesh.ok('proxy-config', 'all', pod!.name, '-o', 'json'));
    for (const part of ['routes', 'secret']) {
      const live = await mesh.ok('proxy-config', part, pod!.name);
      expect(await mesh.ok('proxy-config', part, '--file', 'dump.json')).toBe(live);
    }

    const { galley, pilot } = JSON.parse(readFileSync(join(mesh.stateDir, 'mesh.json'), 'utf8'));
    const admin = join(mesh.stateDir, 'supervisor/admin');
    const remote = (pilotAddress: string, identity = admin) => ({
      LATEEN_STATE_DIR: undefined,
      LATEEN_PILOT: pilotAddress,
      LATEEN_GALLEY: galley.address,
      LATEEN_CA: join(admin, 'root-cert.pem'),
      LATEEN_CERT: join(identity, 'cert-chain.pem'),
      LATEEN_KEY: join(identity, 'key.pem'),
    });
    const sent = await mesh.runWith(remote(pilot.address), 'proxy-config', 'clusters', pod!.name);
    expect(sent.stdout).toContain(HOST);
    expect((await mesh.runWith(remote(pilot.address), 'get', 'virtualservice')).exitCode).toBe(0);
    expect((await mesh.runWith(remote(pilot.address), 'apply', '-f', 'echo.yaml')).exitCode).toBe(2);
    const stranger = await mesh.runWith(remote(`${galley.address}:15016`), 'proxy-status');
    expect(stranger.stderr).toContain(
      'is not pilot: its certificate is of spiffe://cluster.local/ns/istio-system/sa/galley',
    );
    expect(stranger.exitCode).toBe(3);
    expect((await mesh.run('local', 'status', '--pilot', pilot.address)).exitCode).toBe(2);
    const workload = join(mesh.stateDir, 'pods', `default.${pod!.name}`, 'sidecar');
    const refused = await mesh.runWith(remote(pilot.address, workload), 'proxy-status');
    expect(refused.stderr).toContain('it may not admit spiffe://cluster.local/ns/default/sa/echo');
  });

  it('deletes what it was given', async () => {
    const pids = await mesh.pids();
    const [pod] = await mesh.pods();
    await mesh.ok('delete', '-f', 'echo.yaml', '-f', 'caller.yaml');
    await waitUntil('the pod to go', async () => (await mesh.pods()).length === 0);
    const left = await mesh.pids();
    expect(pids.filter((pid) => !left.includes(pid)).filter(isRunning)).toEqual([]);
    expect(await mesh.ok('get', 'services')).toContain('No Service found');
    expect((await mesh.run('proxy-config', 'routes', pod!.name)).exitCode).toBe(1);
  });
});
