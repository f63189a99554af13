// Fuzzing of configuration: a small mesh for it to act on: services of all protocols, a client, a gateway, and proxies of every kind.

import { type ProxyNode, parseProxyNode, type Service, type SnapshotInput, type Workload } from '@lateen/translate';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';

type DeclaredService = Pick<Service, 'namespace' | 'name' | 'ports'>;

const SERVICES: readonly DeclaredService[] = [
  { namespace: 'default', name: 'reviews', ports: [{ name: 'http', port: 9080, targetPort: 9080, appProtocol: '' }] },
  { namespace: 'default', name: 'ratings', ports: [{ name: 'http', port: 9080, targetPort: 9080, appProtocol: '' }] },
  { namespace: 'other', name: 'db', ports: [{ name: 'tcp-db', port: 3306, targetPort: 3306, appProtocol: '' }] },
];

/** What the cases of translation and conformance mostly call, so that changed ones of them act on something. */
const CALLED: readonly DeclaredService[] = [
  {
    namespace: 'default',
    name: 'web',
    ports: [
      { name: 'http', port: 80, targetPort: 8080, appProtocol: '' },
      { name: 'grpc', port: 50051, targetPort: 8080, appProtocol: '' },
      { name: 'unnamed', port: 9000, targetPort: 8080, appProtocol: '' },
    ],
  },
  { namespace: 'default', name: 'shadow', ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol: '' }] },
  { namespace: 'default', name: 'store', ports: [{ name: 'tls', port: 8443, targetPort: 8443, appProtocol: '' }] },
];

const ALL_SERVICES = [...SERVICES, ...CALLED];

const HOSTS = ALL_SERVICES.map(({ name, namespace }) => `${name}.${namespace}.svc.cluster.local`);

function workload(index: number, app: string, namespace: string, version: string, port: number): Workload {
  return {
    name: `${app}-${version}-0`,
    namespace,
    labels: { app, version },
    annotations: {},
    serviceAccount: app,
    workloadName: `${app}-${version}`,
    address: `127.1.0.${index}`,
    ports: port === 0 ? [] : [{ port, appPort: 20_000 + index, name: 'http' }],
    ready: true,
    serviceAddresses: Object.fromEntries(HOSTS.map((host, at) => [host, `127.1.${index}.${at + 1}`])),
    gateway: false,
    extraBindAddresses: {},
  };
}

const gateway: Workload = {
  ...workload(9, 'gateway', 'istio-system', 'v1', 0),
  labels: { istio: 'ingressgateway' },
  serviceAddresses: {},
  gateway: true,
};

export const FUZZ_MESH: Omit<SnapshotInput, 'configs'> = {
  namespaces: [
    { name: 'default', labels: {} },
    { name: 'other', labels: {} },
    { name: 'istio-system', labels: {} },
  ],
  services: ALL_SERVICES.map((service) => ({
    ...service,
    labels: {},
    annotations: {},
    selector: { app: service.name },
  })),
  workloads: [
    workload(1, 'reviews', 'default', 'v1', 9080),
    workload(2, 'reviews', 'default', 'v2', 9080),
    workload(3, 'ratings', 'default', 'v1', 9080),
    workload(4, 'db', 'other', 'v1', 3306),
    workload(5, 'client', 'default', 'v1', 0),
    workload(6, 'web', 'default', 'v1', 8080),
    workload(7, 'web', 'default', 'v2', 8080),
    workload(8, 'store', 'default', 'v1', 8443),
    workload(10, 'shadow', 'default', 'v1', 8080),
    gateway,
  ],
};

type Metadata = Readonly<Record<string, string>>;

function proxyOf(
  workload: Workload,
  metadata: Metadata = { INTERCEPTION_MODE: 'NONE', LATEEN_VERSION: '0.1.0' },
): ProxyNode {
  const { name, namespace, address, labels, gateway: isGateway } = workload;
  const result = parseProxyNode(
    fromEnvoyJson(NodeSchema, {
      id: `${isGateway ? 'router' : 'sidecar'}~${address}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      metadata: { NAMESPACE: namespace, LABELS: labels, ...metadata },
    }),
  );
  if (!result.ok) throw new Error(result.errors.join('\n'));
  return result.proxy;
}

const pod = (name: string) => FUZZ_MESH.workloads.find((each) => each.name === name) as Workload;

/** Those whose view differs: a client, servers, the gateway; intercepted, a stock Envoy, a gRPC client without a proxy. */
export const FUZZ_PROXIES: readonly ProxyNode[] = [
  proxyOf(pod('client-v1-0')),
  proxyOf(pod('reviews-v1-0')),
  proxyOf(pod('web-v1-0')),
  proxyOf(gateway),
  proxyOf(pod('client-v1-0'), { INTERCEPTION_MODE: 'REDIRECT', LATEEN_VERSION: '0.1.0' }),
  proxyOf(pod('web-v2-0'), { INTERCEPTION_MODE: 'NONE' }),
  proxyOf(gateway, { INTERCEPTION_MODE: 'NONE' }),
  proxyOf(pod('client-v1-0'), { INTERCEPTION_MODE: 'NONE', GENERATOR: 'grpc' }),
];
