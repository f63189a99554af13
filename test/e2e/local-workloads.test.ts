// End-to-end: how local mode starts proxies (ProxyConfig), and the pods of headless services by name.

import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProgram } from '../harness/app-process.js';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { LocalMesh, type PodSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;
const FORWARD_PROXY_PORT = 15_007;

const proxyConfig = (shelf: string, concurrency: number) => `apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  concurrency: ${concurrency}
  environmentVariables: {ISTIO_META_SHELF: ${shelf}, SHELF: ${shelf}}
`;

const HEADLESS = `apiVersion: v1
kind: Service
metadata: {name: echoes}
spec: {clusterIP: None, selector: {app: echo}, ports: [{port: 80, name: http, targetPort: http-echo}]}
`;

const group = (port: number) => `apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines}
spec:
  metadata: {labels: {app: machine}}
  template: {serviceAccount: machine}
  probe: {tcpSocket: {port: ${port}}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: machines}
spec: {selector: {app: machine}, ports: [{port: 80, name: http, targetPort: ${port}}]}
`;

/** The name of the pod that answers. */
function call(host: string, port: number, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path: url, headers: { host: new URL(url).host }, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('end', () =>
        resolve(response.statusCode === 200 ? JSON.parse(body).pod : `${response.statusCode}`),
      );
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('local mode: how proxies are started, and pods by name', { timeout: TIME_LIMIT_MS }, () => {
  const mesh = new LocalMesh();
  let pods: readonly PodSeen[] = [];

  beforeAll(async () => {
    mesh.write('workloads.yaml', `${HEADLESS}---\n${proxyConfig('top', 2)}`);
    await mesh.up('-f', 'echo.yaml', '-f', 'workloads.yaml');
    await mesh.ok('apply', '-f', mesh.write('two.yaml', echoOfTwo()));
    await waitUntil('two pods', async () => {
      pods = await mesh.pods();
      return pods.length === 2 && pods.every(({ ready }) => ready);
    });
  }, TIME_LIMIT_MS);
  afterAll(() => mesh.remove(), TIME_LIMIT_MS);

  const echoOfTwo = () => readFileSync(join(mesh.directory, 'echo.yaml'), 'utf8').replace('replicas: 1', 'replicas: 2');
  const metadataOf = async (pod: string) =>
    JSON.parse(await mesh.ok('proxy-config', 'bootstrap', pod, '-o', 'json')) as unknown;
  const variableOf = async (pod: string) => {
    const { processes } = await mesh.status();
    const { pid } = processes.find(({ name }) => name === `default/${pod}/sidecar`)!;
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return variables.find((each) => each.startsWith('SHELF='));
  };

  const processesOf = async (pod: PodSeen) => {
    const info = (await (await fetch(`http://${pod.address}:15000/server_info`)).json()) as {
      readonly command_line_options: { readonly concurrency: number };
      readonly workers?: readonly unknown[];
    };
    return [info.command_line_options.concurrency, info.workers?.length ?? 1];
  };

  it('a ProxyConfig that is applied with its pods is in their proxies and what these tell Pilot', async () => {
    const processes = Math.min(2, availableParallelism());
    for (const pod of pods) {
      const { name } = pod;
      await waitUntil(
        'all processes of a proxy',
        async () => `${await processesOf(pod)}` === `${processes},${processes}`,
      );
      expect(JSON.stringify(await metadataOf(name))).toContain('"SHELF":"top"');
      if (process.platform === 'linux') expect(await variableOf(name)).toBe('SHELF=top');
    }
  });

  it('a ProxyConfig that changes counts when a proxy starts again', async () => {
    const [pod] = pods as readonly [PodSeen];
    const { name } = pod;
    mesh.write('proxy-config.yaml', proxyConfig('bottom', 1));
    await mesh.ok('apply', '-f', 'proxy-config.yaml');
    expect(JSON.stringify(await metadataOf(name))).toContain('"SHELF":"top"');
    await mesh.ok('local', 'stop', `default/${name}/sidecar`);
    await mesh.ok('local', 'start', `default/${name}/sidecar`);
    await waitUntil('the new metadata', async () =>
      JSON.stringify(await metadataOf(name)).includes('"SHELF":"bottom"'),
    );
    await waitUntil('one process', async () => `${await processesOf(pod)}` === '1,1');
  });

  it('each pod of a headless service is called by its name, through the forward proxy and at an address of the caller', async () => {
    const [caller, other] = pods as readonly [PodSeen, PodSeen];
    for (const { name } of [caller, other]) {
      await waitUntil(`an answer of ${name}`, async () => {
        return (await call(caller.address, FORWARD_PROXY_PORT, `http://${name}.echoes/`).catch(() => '')) === name;
      });
      const address = caller.serviceAddresses[`${name}.echoes.default.svc.cluster.local`]!;
      expect(await call(address, 80, `http://${name}.echoes.default/`)).toBe(name);
    }
    const hosts = readFileSync(join(mesh.stateDir, 'pods', `default.${caller.name}`, 'hosts'), 'utf8');
    const address = caller.serviceAddresses[`${other.name}.echoes.default.svc.cluster.local`];
    expect(hosts).toContain(`${address} ${other.name}.echoes.default.svc.cluster.local `);
  });

  it('a process that no Deployment describes joins by its WorkloadGroup, and leaves', async () => {
    const port = await freePort();
    const application = createServer((_, answer) => answer.end(JSON.stringify({ pod: 'machine-1' })));
    await new Promise<void>((resolve) => application.listen(port, '127.0.0.1', resolve));
    mesh.write('group.yaml', group(port));
    await mesh.ok('apply', '-f', 'group.yaml');
    const told = await mesh.ok('workload', 'configure', 'machines', 'machine-1', '-d', 'machine', '-o', 'json');
    const { command, environment } = JSON.parse(told) as {
      readonly command: readonly [string, ...string[]];
      readonly environment: Record<string, string>;
    };
    expect(environment).toEqual({});
    const [program, ...args] = command;
    const sidecar = startProgram(program, args);
    const callMachine = () => call(pods[0]!.address, FORWARD_PROXY_PORT, 'http://machines/').catch(() => '');
    try {
      await waitUntil('an answer of the machine', async () => (await callMachine()) === 'machine-1', 60_000);
      await sidecar.stop();
      await waitUntil('nobody to answer', async () => (await callMachine()) === '503');
    } finally {
      await sidecar.stop('SIGKILL');
      application.close();
    }
    expect((await mesh.run('workload', 'configure', 'no-group', 'machine-1')).stderr).toContain(
      'there is no WorkloadGroup',
    );
  });
});
