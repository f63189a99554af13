// The mesh that the benchmark translates: services in four namespaces, two pods each, a tenth of them with rules, and
// pods with sidecars that have an address for each service, as local mode gives them.

const NAMESPACES = ['ns-0', 'ns-1', 'ns-2', 'ns-3'];
const RULES_EVERY = 10;

function serviceOf(index) {
  return {
    namespace: NAMESPACES[index % NAMESPACES.length],
    name: `service-${index}`,
    labels: {},
    annotations: {},
    selector: { app: `service-${index}` },
    ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol: '' }],
  };
}

function workload(name, namespace, labels, address, serviceAddresses) {
  return {
    name,
    namespace,
    labels,
    annotations: {},
    serviceAccount: labels.app,
    workloadName: labels.app,
    address,
    ports: [{ port: 8080, appPort: 20_000, name: 'http' }],
    ready: true,
    serviceAddresses,
    gateway: false,
    extraBindAddresses: {},
  };
}

function config(kind, { namespace, name }, spec) {
  const metadata = { name, namespace, labels: {}, annotations: {}, creationTimestamp: '2024-01-01T00:00:00Z' };
  return { apiVersion: 'networking.istio.io/v1', kind, metadata, spec, source: { file: 'mesh', line: 1, column: 1 } };
}

function rulesOf(service) {
  const host = service.name;
  const subsets = ['v1', 'v2'].map((name) => ({ name, labels: { version: name } }));
  const route = ['v1', 'v2'].map((subset) => ({ destination: { host, subset }, weight: 50 }));
  return [
    config('DestinationRule', service, { host, subsets }),
    config('VirtualService', service, { hosts: [host], http: [{ route }] }),
  ];
}

/** A snapshot input of new objects, as Pilot has them after each report. */
export function meshOf(serviceCount, proxyCount, bindsServices) {
  const services = Array.from({ length: serviceCount }, (_, index) => serviceOf(index));
  const pods = services.flatMap(({ name, namespace }, index) =>
    ['v1', 'v2'].map((version, replica) =>
      workload(
        `${name}-${version}`,
        namespace,
        { app: name, version },
        `10.${replica}.${index >> 8}.${index & 255}`,
        {},
      ),
    ),
  );
  const clients = Array.from({ length: proxyCount }, (_, proxy) => {
    const bound = bindsServices ? services : [];
    const addresses = bound.map(({ name, namespace }, index) => [
      `${name}.${namespace}.svc.cluster.local`,
      `127.${1 + proxy}.${index >> 8}.${index & 255}`,
    ]);
    const namespace = NAMESPACES[proxy % NAMESPACES.length];
    return workload(
      `client-${proxy}`,
      namespace,
      { app: 'client' },
      `10.9.${proxy >> 8}.${proxy & 255}`,
      Object.fromEntries(addresses),
    );
  });
  const configs = services.filter((_, index) => index % RULES_EVERY === 0).flatMap(rulesOf);
  return { namespaces: [], services, workloads: [...pods, ...clients], configs };
}

/** The nodes of the clients' sidecars. */
export function nodesOf({ workloads }) {
  return workloads
    .filter(({ workloadName }) => workloadName === 'client')
    .map(({ name, namespace, address }) => ({
      id: `sidecar~${address}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      metadata: { NAMESPACE: namespace, INTERCEPTION_MODE: 'NONE', LATEEN_VERSION: '0.1.0' },
    }));
}

/** One pod is no longer ready. */
export function withoutEndpoint(mesh) {
  const workloads = mesh.workloads.map((pod, index) => (index === 0 ? { ...pod, ready: false } : pod));
  return { ...mesh, workloads };
}

/** One object of a kind has another spec. */
export function withChangedConfig(mesh, kind, change) {
  const changed = mesh.configs.find((object) => object.kind === kind);
  const configs = mesh.configs.map((object) =>
    object === changed ? { ...object, spec: change(object.spec) } : object,
  );
  return { ...mesh, configs };
}
