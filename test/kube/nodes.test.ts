// Kubernetes tests: the nodes of the test cluster run pods as nodes do: what tests of the mesh rely on is proven here.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../harness/wait-until.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();

const ECHO = `
  const server = require('http').createServer((request, response) => response.end('from ' + require('os').hostname()));
  server.listen(8080, '::', () => console.log('listening'));
  process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });`;

const RESTRICTED = `
      securityContext:
        runAsUser: 1337
        runAsGroup: 1337
        runAsNonRoot: true
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
        seccompProfile: { type: RuntimeDefault }`;

const PODS = `
apiVersion: v1
kind: Pod
metadata: { name: echo, labels: { app: echo } }
spec:
  nodeName: node-2
  initContainers:
    - { name: first, image: host, command: [sh, -c, 'echo first >> /shared/order'], volumeMounts: [{ name: shared, mountPath: /shared }] }
    - name: sidecar
      image: host
      restartPolicy: Always
      command: [sh, -c, 'echo sidecar >> /shared/order; trap "exit 0" TERM; while true; do sleep 1 & wait $!; done']
      startupProbe: { exec: { command: [grep, -q, sidecar, /shared/order] }, periodSeconds: 1 }
      volumeMounts: [{ name: shared, mountPath: /shared }]
    - { name: last, image: host, command: [sh, -c, 'echo last >> /shared/order'], volumeMounts: [{ name: shared, mountPath: /shared }] }
  containers:
    - name: echo
      image: node
      args: ['-e', ${JSON.stringify(ECHO)}]
      ports: [{ containerPort: 8080 }]
      readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
      volumeMounts: [{ name: shared, mountPath: /shared, readOnly: true }]
  volumes: [{ name: shared, emptyDir: {} }]
---
apiVersion: v1
kind: Service
metadata: { name: echo }
spec: { ipFamilyPolicy: RequireDualStack, selector: { app: echo }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client, version: v1 }, annotations: { note: kept } }
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers:
    - name: client
      image: host
      command: [sleep, '100000']
      env: [{ name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]
      volumeMounts: [{ name: tokens, mountPath: /var/run/secrets/tokens }, { name: pod, mountPath: /etc/istio/pod }, { name: own, mountPath: /var/run/own }]${RESTRICTED}
  securityContext: { fsGroup: 1337 }
  volumes:
    - { name: tokens, projected: { sources: [{ serviceAccountToken: { path: istio-token, audience: istio-ca, expirationSeconds: 3600 } }] } }
    - { name: pod, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }] } }
    - { name: own, emptyDir: { medium: Memory } }
---
apiVersion: v1
kind: Pod
metadata: { name: network-admin }
spec:
  nodeName: node-1
  restartPolicy: Never
  containers:
    - name: rules
      image: host
      command: [nft, add table inet mesh]
      securityContext: { runAsUser: 0, capabilities: { drop: [ALL], add: [NET_ADMIN, NET_RAW] } }
---
apiVersion: v1
kind: Pod
metadata: { name: failing }
spec:
  nodeName: node-2
  restartPolicy: Never
  containers: [{ name: failing, image: host, command: [sh, -c, 'echo because > /dev/termination-log; exit 3'] }]
---
apiVersion: v1
kind: Pod
metadata: { name: unknown }
spec:
  nodeName: node-2
  containers: [{ name: unknown, image: 'nobody/has:this' }]
`;

interface Pod {
  readonly status: {
    readonly phase: string;
    readonly podIPs: readonly { readonly ip: string }[];
    readonly containerStatuses: readonly {
      readonly state: {
        readonly waiting?: { readonly reason: string };
        readonly terminated?: { readonly exitCode: number; readonly message?: string };
      };
    }[];
  };
}

describe.skipIf(programs === undefined)('a node', () => {
  let cluster: Cluster;
  const pod = (name: string) => cluster.get<Pod>(['get', 'pod', name]);
  const inClient = (...command: string[]) => cluster.tryKubectl(['exec', 'client', '--', ...command]);
  beforeAll(async () => {
    cluster = await startCluster({ programs: programs!, nodes: 2, outsideNames: { 'shop.example.com': '172.30.0.1' } });
    await waitUntil(
      'the service account',
      async () => (await cluster.tryKubectl(['get', 'sa', 'default'])).exitCode === 0,
    );
    await cluster.apply(PODS);
    await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/echo', 'pod/client', '--timeout=60s']);
  });
  afterAll(() => cluster?.stop());

  test('starts init containers and native sidecars in order, and shares a volume among them', async () => {
    const order = await cluster.kubectl(['exec', 'echo', '-c', 'echo', '--', 'cat', '/shared/order']);
    expect(order).toBe('first\nsidecar\nlast\n');
    const refused = await cluster.tryKubectl(['exec', 'echo', '-c', 'echo', '--', 'touch', '/shared/mine']);
    expect(refused.stderr).toContain('Read-only file system');
  });

  test('gives pods addresses of both families, and joins them across nodes', async () => {
    const { status } = await pod('echo');
    expect(status.podIPs.map(({ ip }) => ip)).toEqual([
      expect.stringMatching(/^10\.244\.2\.\d+$/),
      expect.stringMatching(/^fd00:244:0:2::/),
    ]);
    for (const { ip } of status.podIPs) {
      const host = ip.includes(':') ? `[${ip}]` : ip;
      expect(await inClient('curl', '-s', '-m', '5', `http://${host}:8080/`)).toMatchObject({ stdout: 'from echo' });
    }
  });

  test('takes a Service to its pods on both addresses, from a pod, from the pod itself and from a node', async () => {
    const service = await cluster.get<{ spec: { clusterIPs: string[] } }>(['get', 'service', 'echo']);
    expect(service.spec.clusterIPs).toHaveLength(2);
    for (const ip of service.spec.clusterIPs) {
      const host = ip.includes(':') ? `[${ip}]` : ip;
      await expect
        .poll(() => inClient('curl', '-s', '-m', '5', `http://${host}/`))
        .toMatchObject({ stdout: 'from echo' });
      // The API server calls webhooks so.
      expect(await (await fetch(`http://${host}/`)).text()).toBe('from echo');
      const itself = ['exec', 'echo', '-c', 'echo', '--', 'curl', '-s', '-m', '5', `http://${host}/`];
      expect(await cluster.tryKubectl(itself)).toMatchObject({ stdout: 'from echo' });
    }
  });

  test('finds Services by their names, and names outside that it was told', async () => {
    for (const name of ['echo', 'echo.default.svc', 'echo.default.svc.cluster.local']) {
      expect(await inClient('curl', '-s', '-m', '5', `http://${name}/`)).toMatchObject({ stdout: 'from echo' });
    }
    expect(await inClient('getent', 'hosts', 'shop.example.com')).toMatchObject({
      stdout: expect.stringMatching(/^172\.30\.0\.1 /),
    });
    expect(await inClient('getent', 'hosts', 'nowhere.example.com')).toMatchObject({ exitCode: 2 });
  });

  test('shows what a container says, and forwards a port', async () => {
    expect(await cluster.kubectl(['logs', 'echo', '-c', 'echo'])).toBe('listening\n');
    const forward = spawn(programs!.kubectl, ['port-forward', 'pod/echo', '18080:8080'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      stdio: 'ignore',
    });
    try {
      const ask = async () => (await fetch('http://127.0.0.1:18080/')).text();
      expect(await waitUntil('the forwarded port', ask)).toBe('from echo');
    } finally {
      forward.kill();
    }
  });

  test('runs a command with input, and ends as it does', async () => {
    const exec = ['exec', '-i', 'client', '--', 'sh', '-c', 'tr a-z A-Z; exit 7'];
    expect(await cluster.tryKubectl(exec, { input: 'shout' })).toMatchObject({ stdout: 'SHOUT', exitCode: 7 });
  });

  test('keeps a restricted container restricted', async () => {
    expect(await inClient('id')).toMatchObject({ stdout: 'uid=1337 gid=1337 groups=1337\n' });
    expect(await inClient('grep', 'CapBnd', '/proc/self/status')).toMatchObject({
      stdout: 'CapBnd:\t0000000000000000\n',
    });
    expect(await inClient('grep', 'NoNewPrivs', '/proc/self/status')).toMatchObject({ stdout: 'NoNewPrivs:\t1\n' });
    expect((await inClient('nft', 'add', 'table', 'inet', 'mesh')).stderr).toContain('Operation not permitted');
    expect((await inClient('touch', '/etc/mine')).stderr).toContain('Read-only file system');
    expect((await inClient('touch', '/tmp/mine')).stderr).toContain('Read-only file system');
    expect(await inClient('touch', '/var/run/own/mine')).toMatchObject({ exitCode: 0 });
  });

  test('lets a container with NET_ADMIN change the rules of its own pod', async () => {
    await expect.poll(async () => (await pod('network-admin')).status.phase).toBe('Succeeded');
  });

  test('projects tokens for an audience, and what the downward API knows', async () => {
    const token = (await inClient('cat', '/var/run/secrets/tokens/istio-token')).stdout;
    const asked = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: ['istio-ca'] },
    };
    const { body } = await cluster.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', asked);
    expect(body.status).toMatchObject({
      authenticated: true,
      user: {
        username: 'system:serviceaccount:default:default',
        extra: {
          'authentication.kubernetes.io/pod-name': ['client'],
          'authentication.kubernetes.io/node-name': ['node-1'],
        },
      },
    });
    expect((await inClient('cat', '/etc/istio/pod/labels')).stdout).toBe('app="client"\nversion="v1"');
    expect((await inClient('printenv', 'POD_NAME')).stdout).toBe('client\n');
  });

  test('says why a container does not run', async () => {
    const [failed] = (await pod('failing')).status.containerStatuses;
    expect(failed!.state.terminated).toMatchObject({ exitCode: 3, message: 'because\n' });
    await expect
      .poll(async () => (await pod('unknown')).status.containerStatuses[0]!.state.waiting?.reason)
      .toMatch(/^(ErrImagePull|ImagePullBackOff)$/);
  });

  test('lets pods run on while the API server is away', async () => {
    const [address] = (await pod('echo')).status.podIPs;
    await cluster.stopApiServer();
    expect(await (await fetch(`http://${address!.ip}:8080/`)).text()).toBe('from echo');
    await cluster.startApiServer();
    await expect.poll(() => inClient('true')).toMatchObject({ exitCode: 0 });
  });

  test('ends a pod with grace', async () => {
    const log = spawn(programs!.kubectl, ['logs', '-f', 'echo', '-c', 'echo'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let said = '';
    log.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await expect.poll(() => said).toContain('listening');
    await cluster.kubectl(['delete', 'pod', 'echo']);
    await expect.poll(() => said).toContain('bye');
    log.kill();
  });
});
