// Fuzzing of configuration: a small mesh for it to act on: three services in two namespaces, a client, a gateway.

import { type ProxyNode, parseProxyNode, type Service, type SnapshotInput, type Workload } from '@lateen/translate';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';

const SERVICES: readonly Pick<Service, 'namespace' | 'name' | 'ports'>[] = [
  { namespace: 'default', name: 'reviews', ports: [{ name: 'http', port: 9080, targetPort: 9080, appProtocol: '' }] },
  { namespace: 'default', name: 'ratings', ports: [{ name: 'http', port: 9080, targetPort: 9080, appProtocol: '' }] },
  { namespace: 'other', name: 'db', ports: [{ name: 'tcp-db', port: 3306, targetPort: 3306, appProtocol: '' }] },
];

const HOSTS = SERVICES.map(({ name, namespace }) => `${name}.${namespace}.svc.cluster.local`);

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
  services: SERVICES.map((service) => ({ ...service, labels: {}, annotations: {}, selector: { app: service.name } })),
  workloads: [
    workload(1, 'reviews', 'default', 'v1', 9080),
    workload(2, 'reviews', 'default', 'v2', 9080),
    workload(3, 'ratings', 'default', 'v1', 9080),
    workload(4, 'db', 'other', 'v1', 3306),
    workload(5, 'client', 'default', 'v1', 0),
    gateway,
  ],
};

function proxyOf({ name, namespace, address, labels, gateway: isGateway }: Workload): ProxyNode {
  const result = parseProxyNode(
    fromEnvoyJson(NodeSchema, {
      id: `${isGateway ? 'router' : 'sidecar'}~${address}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      metadata: { NAMESPACE: namespace, LABELS: labels, INTERCEPTION_MODE: 'NONE', LATEEN_VERSION: '0.1.0' },
    }),
  );
  if (!result.ok) throw new Error(result.errors.join('\n'));
  return result.proxy;
}

/** Those whose view differs: a client, a server, the gateway. */
export const FUZZ_PROXIES: readonly ProxyNode[] = FUZZ_MESH.workloads
  .filter(({ name }) => ['client-v1-0', 'reviews-v1-0', 'gateway-v1-0'].includes(name))
  .map(proxyOf);
