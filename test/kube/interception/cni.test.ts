// CNI plugin: installed on a "node" that has nothing of ours, called as container runtimes do, for pods in network namespaces.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Pod, resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AppProcess, startProgram } from '../../harness/app-process.js';
import { freePort } from '../../harness/free-port.js';
import { REPOSITORY } from '../../harness/repository.js';
import { runCommand } from '../../harness/run-command.js';
import { waitUntil } from '../../harness/wait-until.js';
import { type Cast, createCast } from './cast.js';
import { canMakeNamespaces, POD, VIP } from './network.js';
import { at } from './protocol.js';

const PREVIOUS = { cniVersion: '1.0.0', ips: [{ address: '10.5.0.2/24' }, { address: 'fd05::2/64' }] };
const LIST = { cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'bridge' }] };

function pod(
  name: string,
  more: { annotations?: Record<string, string>; initContainers?: object[]; status?: object } = {},
): Pod {
  const { annotations = {}, initContainers = [{ name: 'istio-proxy' }], status } = more;
  return {
    metadata: { namespace: 'shop', name, annotations: { 'sidecar.istio.io/status': '{}', ...annotations } },
    spec: { nodeName: 'node-1', initContainers, containers: [{ name: 'app' }] },
    ...(status === undefined ? {} : { status }),
  } as Pod;
}

describe.skipIf(!canMakeNamespaces())('the CNI plugin', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-cni-'));
  const [bin, net, account] = ['bin', 'net', 'account'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const network = join(net, '10-pods.conflist');
  let api: FakeApiServer;
  let cast: Cast;
  let installer: AppProcess;

  const readList = () => JSON.parse(readFileSync(network, 'utf8')) as { plugins: { type: string }[] };

  /** As a runtime calls it, on a node without Node.js and nft. */
  async function call(command: string, podName: string, change: object = {}) {
    const entry = readList().plugins.find(({ type }) => type === 'lateen-cni');
    const config = {
      ...entry,
      cniVersion: '1.1.0',
      name: 'pods',
      prevResult: PREVIOUS,
      api_timeout_seconds: 2,
      ...change,
    };
    const {
      exitCode: status,
      stdout,
      stderr,
    } = await runCommand(join(bin, 'lateen-cni'), [], {
      directory,
      input: JSON.stringify(config),
      env: {
        PATH: '/nowhere',
        CNI_COMMAND: command,
        CNI_CONTAINERID: 'sandbox',
        CNI_IFNAME: 'eth0',
        CNI_NETNS: cast.pod.file,
        CNI_PATH: bin,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${podName}`,
      },
    });
    return { status, answer: stdout === '' ? undefined : JSON.parse(stdout), stderr };
  }

  beforeAll(async () => {
    for (const name of [bin, net, account]) mkdirSync(name);
    writeFileSync(network, JSON.stringify(LIST));
    writeFileSync(join(account, 'token'), 'first');
    api = await FakeApiServer.start();
    cast = await createCast();
    api.put(resourceTypes.pods, pod('injected'));
    api.put(resourceTypes.pods, pod('plain', { initContainers: [] }));
    api.put(
      resourceTypes.pods,
      pod('wrong', { annotations: { 'traffic.sidecar.istio.io/includeInboundPorts': 'web' } }),
    );
    const kubeconfig = join(directory, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        'current-context': 'test',
        clusters: [{ name: 'test', cluster: { server: api.url, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'test', user: {} }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      }),
    );
    const readinessPort = await freePort();
    const flags = {
      '--cni-bin-dir': bin,
      '--node-cni-bin-dir': bin,
      '--cni-net-dir': net,
      '--node-cni-net-dir': net,
      '--token-file': join(account, 'token'),
      '--ca-file': join(account, 'token'),
      '--api-server': api.url,
      '--readiness-port': String(readinessPort),
      '--node-name': 'node-1',
      '--repair': 'label',
    };
    installer = startProgram(
      process.execPath,
      [`${REPOSITORY}bin/lateen-cni`, 'install', ...Object.entries(flags).flat()],
      {
        KUBECONFIG: kubeconfig,
      },
    );
    await waitUntil('the installation', async () => (await fetch(`http://127.0.0.1:${readinessPort}/readyz`)).ok);
  });
  afterAll(async () => {
    await installer?.stop();
    await cast?.close();
    await api?.stop();
    rmSync(directory, { recursive: true });
  });

  test('joins the network that is there', () => {
    expect(readList().plugins.map(({ type }) => type)).toEqual(['bridge', 'lateen-cni']);
  });

  test('leaves pods alone that are not injected', async () => {
    const { status, answer, stderr } = await call('ADD', 'plain');
    expect({ status, answer }).toEqual({ status: 0, answer: { ...PREVIOUS, cniVersion: '1.1.0' } });
    expect(stderr).toContain('shop/plain: not redirected: it has no container istio-proxy');
    expect(await cast.dial('outside', POD[4], 8080)).toBe('app');
  });

  test('redirects the traffic of injected pods, and hands the result of the others on', async () => {
    const { status, answer } = await call('ADD', 'injected');
    expect({ status, answer }).toEqual({ status: 0, answer: { ...PREVIOUS, cniVersion: '1.1.0' } });
    for (const family of [4, 6] as const) {
      expect(await cast.dial('app', VIP[family], 80)).toBe(`outbound ${at(VIP[family], 80)}`);
      expect(await cast.dial('outside', POD[family], 8080)).toBe(`inbound ${at(POD[family], 8080)}`);
    }
  });

  test('finds rules that are gone', async () => {
    expect(await call('CHECK', 'injected')).toMatchObject({ status: 0, answer: undefined });
    cast.pod.run('nft delete table inet lateen');
    expect(await call('CHECK', 'injected')).toMatchObject({
      status: 1,
      answer: { code: 100, msg: expect.stringContaining('holds 0 of') },
    });
  });

  test('answers the other commands of the specification', async () => {
    for (const command of ['DEL', 'GC', 'STATUS'])
      expect(await call(command, 'injected')).toMatchObject({ status: 0, answer: undefined });
    expect(await call('VERSION', '')).toMatchObject({
      status: 0,
      answer: { supportedVersions: expect.arrayContaining(['1.0.0', '1.1.0']) },
    });
    expect(await call('ADD', 'injected', { cniVersion: '9.0.0' })).toMatchObject({
      status: 1,
      answer: { cniVersion: '9.0.0', code: 1 },
    });
  });

  test('lets no pod start whose settings are wrong, or that nobody can tell of', async () => {
    expect((await call('ADD', 'wrong')).answer).toMatchObject({
      code: 100,
      msg: expect.stringContaining('annotation traffic.sidecar.istio.io/includeInboundPorts: "web" is not a port'),
    });
    expect((await call('ADD', 'unknown')).answer).toMatchObject({
      code: 11,
      msg: expect.stringContaining('does not know the pod'),
    });
    expect(await call('ADD', 'unknown', { exclude_namespaces: ['shop'] })).toMatchObject({ status: 0 });
  });

  test('comes back where another plugin has written its list anew, with the token of now', async () => {
    writeFileSync(network, JSON.stringify({ ...LIST, plugins: [{ type: 'bridge', mtu: 9000 }] }));
    writeFileSync(join(account, 'token'), 'second');
    await waitUntil('the entry', () => readList().plugins.length === 2);
    await waitUntil('the token', () => readFileSync(join(net, 'ZZZ-lateen-cni-kubeconfig'), 'utf8').includes('second'));
    expect(readList().plugins[0]).toEqual({ type: 'bridge', mtu: 9000 });
  });

  test('labels pods that started before it was there', async () => {
    const statuses = [{ name: 'istio-validation', state: { terminated: { exitCode: 126 } } }];
    api.put(resourceTypes.pods, pod('early', { status: { initContainerStatuses: statuses } }));
    const labels = () => api.get(resourceTypes.pods, 'shop', 'early')?.metadata.labels;
    await waitUntil('the label', () => labels()?.['cni.istio.io/uninitialized'] === 'true');
    expect(api.get(resourceTypes.pods, 'shop', 'injected')?.metadata.labels).toBeUndefined();
  });

  test('says that it is not ready while the API server is away', async () => {
    const { port } = api;
    await api.stop();
    expect((await call('STATUS', '')).answer).toMatchObject({ code: 50 });
    await api.listen(port);
  });

  test('leaves nothing behind', async () => {
    await installer.stop();
    expect(readList()).toEqual({ ...LIST, plugins: [{ type: 'bridge', mtu: 9000 }] });
    expect(readdirSync(net)).toEqual(['10-pods.conflist']);
    expect(existsSync(bin) ? readdirSync(bin) : []).toEqual([]);
  });
});
