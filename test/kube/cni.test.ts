// Kubernetes tests: the CNI plugin of deploy/cni on a real cluster, with the rights that it is installed with.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { waitUntil } from '../harness/wait-until.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();
const PATIENCE_MS = 120_000;

/** Stands for the proxy: says so to whoever comes. */
const PROXY = `
  for (const port of [15001, 15006])
    require('net').createServer((socket) => socket.on('error', () => {}).end('proxy ' + port)).listen(port, '::');`;
/** Says who answers at an address that nobody has, again and again. */
const APP = `
  const dial = () => {
    const socket = require('net').connect(80, '10.96.99.99');
    const again = (text) => { console.log(text); socket.destroy(); setTimeout(dial, 500); };
    socket.setTimeout(2000, () => again('nobody')).once('data', (data) => again(String(data))).once('error', () => again('nobody'));
  };
  dial();`;

const RESTRICTED = `
      securityContext: { runAsUser: 1337, runAsGroup: 1337, runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }`;

/** As injection makes it where the plugin writes the rules. */
const pod = (name: string, injected: boolean) => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  annotations: { ${injected ? `sidecar.istio.io/status: '{}'` : ''} }
spec:
  # From the first node the API server has no address but its own: it stands for the world outside.
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  initContainers:
    - name: istio-validation
      image: lateen/sidecar
      args: [${injected ? 'lateen-redirect, --run-validation, --skip-rule-apply, --probe-timeout, 2s' : '"true"'}]${RESTRICTED}
    - name: istio-proxy
      image: node
      restartPolicy: Always
      args: ['-e', ${JSON.stringify(PROXY)}]${RESTRICTED}
  containers:
    - name: app
      image: node
      args: ['-e', ${JSON.stringify(APP)}]
`;

interface PodView {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
  readonly status: {
    readonly initContainerStatuses?: readonly {
      readonly lastState?: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

describe.skipIf(programs === undefined)('the CNI plugin on a cluster', { timeout: 2 * PATIENCE_MS }, () => {
  let cluster: Cluster;
  const logs = (name: string) => cluster.tryKubectl(['logs', name, '-c', 'app', '--tail', '1']);
  const create = (name: string, injected: boolean) =>
    waitUntil('the pod to be taken', () => cluster.apply(pod(name, injected)).then(() => true), PATIENCE_MS);

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs!, nodes: 2 });
    await create('early', true);
  });
  afterAll(() => cluster?.stop());

  test('keeps a pod from running whose rules nobody has written', async () => {
    const exitCode = async () =>
      (await cluster.get<PodView>(['get', 'pod', 'early'])).status.initContainerStatuses?.[0]?.lastState?.terminated
        ?.exitCode;
    await waitUntil('the validation to fail', async () => (await exitCode()) === 126, PATIENCE_MS);
    expect((await logs('early')).exitCode).not.toBe(0);
  });

  test('is installed on every node by deploy/cni', async () => {
    await cluster.kubectl(['apply', '-k', join(REPOSITORY, 'deploy', 'cni')]);
    await cluster.kubectl(['rollout', 'status', 'daemonset/lateen-cni-node', '-n', 'kube-system', '--timeout', '120s']);
  });

  test('labels the pod that came before it', async () => {
    const labels = async () => (await cluster.get<PodView>(['get', 'pod', 'early'])).metadata.labels;
    await waitUntil('the label', async () => (await labels())?.['cni.istio.io/uninitialized'] === 'true', PATIENCE_MS);
  });

  test('redirects injected pods, and no others', async () => {
    await create('injected', true);
    await create('plain', false);
    await waitUntil(
      'the proxy to be reached',
      async () => (await logs('injected')).stdout === 'proxy 15001\n',
      PATIENCE_MS,
    );
    await waitUntil('nobody to be reached', async () => (await logs('plain')).stdout === 'nobody\n', PATIENCE_MS);
  });

  test('goes when it is deleted, and pods start without it', async () => {
    await cluster.kubectl(['delete', '-k', join(REPOSITORY, 'deploy', 'cni'), '--wait']);
    await create('later', false);
    await waitUntil('nobody to be reached', async () => (await logs('later')).stdout === 'nobody\n', PATIENCE_MS);
  });
});
