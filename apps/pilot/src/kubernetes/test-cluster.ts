// Kubernetes: tests' objects of a cluster, as its controllers would make them.

import { type Pod, resourceTypes } from '@lateen/kubernetes';
import type { FakeApiServer } from '@lateen/kubernetes/testing';
import { SERVICE_OF_SLICE } from './service-of-cluster.js';

export interface TestPod {
  readonly name: string;
  readonly namespace?: string;
  readonly ip: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  /** Arguments of its proxy. */
  readonly proxy?: readonly string[];
  readonly ready?: boolean;
}

export const SIDECAR = ['lateen-sidecar', '--pod', 'sidecar'];
export const GATEWAY = ['lateen-sidecar', '--pod', 'router'];

/** Runs a pod; one with a sidecar has the label that the injector gives it. */
export function putPod(api: FakeApiServer, pod: TestPod): void {
  const { name, namespace = 'shop', ip, labels = {}, serviceAccount = 'default', proxy, ready = true } = pod;
  const object: Pod = {
    metadata: {
      name,
      namespace,
      labels: { ...labels, ...(proxy === SIDECAR && { 'security.istio.io/tlsMode': 'istio' }) },
    },
    spec: {
      serviceAccountName: serviceAccount,
      nodeName: 'node-1',
      containers: [{ name: 'app' }, ...(proxy === undefined ? [] : [{ name: 'istio-proxy', args: proxy }])],
    },
    status: { phase: 'Running', podIPs: [{ ip }], conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
  api.put(resourceTypes.pods, object);
}

export function putService(api: FakeApiServer, name: string, namespace = 'shop', port = 80, targetPort = 8080): void {
  api.put(resourceTypes.services, {
    metadata: { name, namespace },
    spec: {
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10'],
      selector: { app: name },
      ports: [{ name: 'http', port, targetPort }],
    },
  });
}

/** Who answers for a service: pods by name and address. */
export function putSlice(
  api: FakeApiServer,
  service: string,
  pods: readonly Pick<TestPod, 'name' | 'ip' | 'ready'>[],
  namespace = 'shop',
): void {
  api.put(resourceTypes.endpointSlices, {
    metadata: { name: `${service}-x`, namespace, labels: { [SERVICE_OF_SLICE]: service } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: pods.map(({ name, ip, ready = true }) => ({
      addresses: [ip],
      conditions: { ready },
      targetRef: { kind: 'Pod', namespace, name },
    })),
  });
}

export function putSecret(
  api: FakeApiServer,
  name: string,
  values: Readonly<Record<string, string>>,
  namespace = 'istio-system',
): void {
  const data = Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  api.put(resourceTypes.secrets, { metadata: { name, namespace }, type: 'kubernetes.io/tls', data });
}
