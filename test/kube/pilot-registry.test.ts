// Kubernetes tests: Pilot's registry is a real API server, with the rights that it is installed with and no others.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Client } from '@grpc/grpc-js';
import { grpcChannelCredentials, MtlsAgent, mtlsFetch } from '@lateen/identity';
import { grpcService, TYPE_URL } from '@lateen/xds-proto';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import { DeltaDiscoveryRequestSchema } from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ControlPlaneProcesses, systemId } from '../harness/control-plane-processes.js';
import { freePort } from '../harness/free-port.js';
import { MeshOperator } from '../harness/mesh-operator.js';
import { REPOSITORY } from '../harness/repository.js';
import { type AuditEvent, type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();
/** Less than the test's own time, so that it says what did not come. */
const EVENTUALLY = { timeout: 20_000 };

interface RegistryService {
  readonly name: string;
  readonly namespace: string;
  readonly endpoints: readonly { readonly address: string; readonly ready: boolean }[];
}

function manifest(path: string): string {
  return readFileSync(join(REPOSITORY, 'deploy', path), 'utf8');
}

/** Pods of nodes that are not there are no endpoints to Kubernetes. */
const WEB = `
apiVersion: v1
kind: Node
metadata: { name: somewhere, labels: { topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-1 } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: web }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web, security.istio.io/tlsMode: istio } }
    spec: { nodeName: somewhere, containers: [{ name: app, image: app, ports: [{ name: web, containerPort: 8080 }] }] }
`;

/** A gateway's pod, and a Secret in each of two namespaces, in one of which Pilot may read. */
const EDGE = (namespace: string) => `
apiVersion: v1
kind: Pod
metadata: { name: edge, namespace: ${namespace}, labels: { istio: ${namespace} } }
spec: { containers: [{ name: istio-proxy, image: lateen/sidecar, args: [lateen-sidecar, --pod, router] }] }
---
apiVersion: v1
kind: Secret
metadata: { name: shop, namespace: ${namespace} }
stringData: { tls.crt: certificate, tls.key: key }
---
apiVersion: v1
kind: Secret
metadata: { name: unnamed, namespace: ${namespace} }
stringData: { tls.crt: certificate, tls.key: key }
`;

const GATEWAY = (namespace: string) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: ${namespace} }
spec:
  selector: { istio: ${namespace} }
  servers:
    - port: { number: 8443, name: https, protocol: HTTPS }
      hosts: [shop.example.com]
      tls: { mode: SIMPLE, credentialName: shop }
`;

const GROUP = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: vms, namespace: shop }
spec: { metadata: { labels: { app: vm } }, template: { serviceAccount: vm } }
`;

describe.skipIf(programs === undefined)("a cluster as Pilot's registry", () => {
  let cluster: Cluster;
  let plane: ControlPlaneProcesses;
  let operator: MeshOperator;
  let agent: MtlsAgent;
  let adminPort: number;

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs! });
    await cluster.kubectl(['create', 'namespace', 'istio-system']);
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await cluster.apply(manifest('pilot/rbac.yaml'));
    await cluster.apply(manifest('gateway/rbac.yaml'));
    // As its service account: the rights are those of the manifests alone.
    const user = 'system:serviceaccount:istio-system:pilot';
    const kubeconfig = await cluster.kubeconfigFor(user, ['system:serviceaccounts', 'system:authenticated']);
    await cluster.apply(manifest('crds/workloadentries.networking.istio.io.yaml'));
    adminPort = await freePort();
    // Which pod it is.
    Object.assign(process.env, { POD_NAME: 'pilot-1', POD_NAMESPACE: 'istio-system' });
    plane = await ControlPlaneProcesses.start([
      ...['--kubeconfig', kubeconfig, '--admin-port', String(adminPort), '--workload-grace-ms', '100'],
    ]);
    operator = await MeshOperator.connect(plane);
    agent = new MtlsAgent({ source: await plane.identity('lateen-viewer'), expectedSpiffeIds: [systemId('pilot')] });
  });
  afterAll(async () => {
    agent?.destroy();
    operator?.close();
    await plane?.stop();
    await cluster?.stop();
  });

  async function debug<T>(page: string): Promise<T> {
    const response = await mtlsFetch(agent)(`https://127.0.0.1:${adminPort}/debug/${page}`);
    return (await response.json()) as T;
  }

  /** `10.0.0.1`, or `not 10.0.0.1` of one that is not ready; undefined where the service is not known. */
  async function answerers(name: string): Promise<string[] | undefined> {
    const { services = [] } = await debug<{ services?: readonly RegistryService[] }>('registryz');
    const service = services.find((each) => each.name === name && each.namespace === 'shop');
    return service?.endpoints.map(({ address, ready }) => `${ready ? '' : 'not '}${address}`).sort();
  }

  /** What Pilot asked for. */
  function requests(): AuditEvent[] {
    return cluster.auditEvents().filter(({ user }) => user.username.endsWith(':pilot'));
  }

  /** What a kubelet would say of a pod. */
  async function say(namespace: string, pod: string, ip: string, ready: boolean): Promise<void> {
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
    const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions };
    const patch = ['patch', 'pod', pod, '-n', namespace, '--subresource=status', '--type=merge'];
    await cluster.kubectl([...patch, '-p', JSON.stringify({ status })]);
  }

  async function pods(): Promise<string[]> {
    const names = await cluster.kubectl(['get', 'pods', '-n', 'shop', '-l', 'app=web', '-o', 'name']);
    return names.split('\n').flatMap((line) => (line === '' ? [] : [line.replace('pod/', '')]));
  }

  test('shows services and pods as they appear, change and vanish', async () => {
    await cluster.apply(WEB);
    await expect.poll(() => answerers('web'), EVENTUALLY).toEqual([]);
    await expect.poll(async () => (await pods()).length, EVENTUALLY).toBe(2);
    const [first = '', second = ''] = await pods();
    await say('shop', first, '10.200.0.1', true);
    await say('shop', second, '10.200.0.2', true);
    await expect.poll(() => answerers('web'), EVENTUALLY).toEqual(['10.200.0.1', '10.200.0.2']);
    const { workloads } = await debug<{ workloads: readonly { workloadName: string; ports: readonly unknown[] }[] }>(
      'registryz',
    );
    expect(workloads).toMatchObject([
      { workloadName: 'web', ports: [{ name: 'web', port: 8080 }] },
      { workloadName: 'web', ports: [{ name: 'web', port: 8080 }] },
    ]);
    await say('shop', second, '10.200.0.2', false);
    await expect.poll(() => answerers('web'), EVENTUALLY).toEqual(['10.200.0.1', 'not 10.200.0.2']);
    await cluster.kubectl(['delete', 'service', 'web', '-n', 'shop']);
    await expect.poll(() => answerers('web'), EVENTUALLY).toBeUndefined();
    // Later ones may be: an API server that has just started does not know its roles yet.
    expect(requests().filter(({ responseStatus }) => responseStatus?.code === 403)).toEqual([]);
  });

  test('follows what is done after the API server was restarted, and shows what was known while it is away', async () => {
    await cluster.apply(WEB);
    await expect.poll(() => answerers('web'), EVENTUALLY).toEqual(['10.200.0.1', 'not 10.200.0.2']);
    await cluster.stopApiServer();
    expect(await answerers('web')).toEqual(['10.200.0.1', 'not 10.200.0.2']);
    await cluster.startApiServer();
    const [, second = ''] = await pods();
    await say('shop', second, '10.200.0.2', true);
    await expect.poll(() => answerers('web'), EVENTUALLY).toEqual(['10.200.0.1', '10.200.0.2']);
  });

  test("asks for the Secrets that a gateway's servers name, by name, where it may; elsewhere it says what is missing", async () => {
    await cluster.apply(EDGE('istio-system'));
    await cluster.apply(EDGE('shop'));
    await say('istio-system', 'edge', '10.200.0.8', true);
    await say('shop', 'edge', '10.200.0.9', true);
    await operator.apply('edge.yaml', GATEWAY('istio-system'));
    await operator.apply('shop.yaml', GATEWAY('shop'));
    await expect
      .poll(() => debug('secrets'))
      .toMatchObject([
        { namespace: 'istio-system', name: 'shop', state: 'found', namedBy: ['Gateway/istio-system/edge'] },
        {
          namespace: 'shop',
          name: 'shop',
          state: 'refused',
          message: expect.stringContaining('Role in namespace shop'),
        },
      ]);
    const asked = requests().filter(({ objectRef }) => objectRef?.resource === 'secrets');
    expect(asked.length).toBeGreaterThan(0);
    for (const { requestURI } of asked) expect(requestURI).toMatch(/fieldSelector=metadata.name%3Dshop(&|$)/);
    await cluster.apply(
      manifest('gateway/rbac.yaml').replaceAll('  namespace: istio-system\n  labels', '  namespace: shop\n  labels'),
    );
    await expect.poll(() => debug('secrets')).toMatchObject([{ state: 'found' }, { state: 'found', message: '' }]);
  });

  test('writes a WorkloadEntry for a workload that registers itself, and deletes it when that has gone', async () => {
    await operator.apply('group.yaml', GROUP);
    const identity = await plane.identity('vm', 'shop');
    const credentials = grpcChannelCredentials(identity, { expectedSpiffeIds: [systemId('pilot')] });
    const client = new Client(`127.0.0.1:${plane.pilotPort}`, credentials);
    const method = grpcService(AggregatedDiscoveryService).deltaAggregatedResources!;
    const open = () => {
      const stream = client.makeBidiStreamRequest(
        method.path,
        method.requestSerialize as never,
        method.responseDeserialize as never,
      );
      stream.on('error', () => undefined); // refused until Pilot knows the group, and cancelled below
      const metadata = { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'vm', AUTO_REGISTER_GROUP: 'vms' };
      const node = { id: 'sidecar~10.250.0.1~vm-1.shop~shop.svc.cluster.local', metadata };
      stream.write(create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URL.cluster, node }));
      return stream;
    };
    const entries = () => cluster.kubectl(['get', 'workloadentries', '-n', 'shop', '-o', 'name']);
    let stream = open();
    await expect
      .poll(async () => {
        if (stream.destroyed || stream.closed) stream = open();
        return entries();
      }, EVENTUALLY)
      .toBe('workloadentry.networking.istio.io/vms-10.250.0.1\n');
    stream.cancel();
    await expect.poll(entries, EVENTUALLY).toBe('');
    client.close();
    const used = new Set(requests().map(({ verb, objectRef }) => `${verb} ${objectRef?.resource}`));
    expect([...used].filter((each) => each.endsWith('workloadentries')).sort()).toEqual([
      'delete workloadentries',
      'get workloadentries',
      'patch workloadentries',
    ]);
  });

  test('uses all rights that it has to read', () => {
    const used = new Set(requests().map(({ verb, objectRef }) => `${verb} ${objectRef?.resource}`));
    const kinds = ['namespaces', 'nodes', 'pods', 'services', 'endpointslices'];
    const rights = kinds.flatMap((kind) => [`list ${kind}`, `watch ${kind}`]);
    expect(rights.filter((right) => !used.has(right))).toEqual([]);
  });
});
