// Test support: reads a case's in.yaml and proxy.yaml into a snapshot input and a proxy.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ConfigObject, isIstioKind, type MeshConfig, objectsOfKind } from '@lateen/istio-config';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { parseAllDocuments } from 'yaml';
import {
  type Credential,
  type Namespace,
  type ProxyNode,
  parseProxyNode,
  type Service,
  type ServiceEndpoint,
  type SnapshotInput,
  type Workload,
} from '../src/index.js';

export const TEST_ROOT = dirname(fileURLToPath(import.meta.url));
const REPOSITORY = join(TEST_ROOT, '../../..');

interface TestPort {
  readonly name?: string;
  readonly port: number;
  /** A name of a pod's port, or its number. */
  readonly targetPort?: number | string;
  readonly appProtocol?: string;
  readonly appPort?: number;
}

/** The fields of Service, Deployment and Pod (a workload in short) that a case may set. */
interface TestSpec {
  readonly selector?: Record<string, string>;
  readonly ports?: readonly (number | TestPort)[];
  readonly replicas?: number;
  readonly template?: {
    readonly metadata: { readonly labels?: Record<string, string> };
    readonly spec: {
      readonly serviceAccountName?: string;
      readonly containers: readonly { readonly ports?: readonly { readonly containerPort: number }[] }[];
    };
  };
  readonly serviceAccount?: string;
  readonly workload?: string;
  /** Of a Pod: its machine. */
  readonly node?: string;
  /** Of a Service. */
  readonly clusterIP?: string;
  readonly internalTrafficPolicy?: string;
  readonly trafficDistribution?: string;
  readonly clusterIPs?: readonly string[];
  readonly externalName?: string;
  /** As a cluster's registry has them. */
  readonly endpoints?: readonly (Pick<ServiceEndpoint, 'addresses' | 'ports'> & Partial<ServiceEndpoint>)[];
  /** Of a Pod of a cluster: whether it has a sidecar. Calls to any port reach it. */
  readonly mutualTls?: boolean;
  readonly address?: string;
  readonly ready?: boolean;
  readonly serviceAddresses?: Record<string, string>;
  readonly gateway?: boolean;
  readonly extraBindAddresses?: Record<string, string>;
}

interface Document {
  readonly kind: string;
  readonly apiVersion?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly creationTimestamp?: string;
  };
  readonly spec?: TestSpec;
  /** Of a Secret. */
  readonly stringData?: Record<string, string>;
  /** Kind Include: files relative to the repository, with the namespace of documents that name none. */
  readonly files?: readonly string[];
  readonly namespace?: string;
}

function readDocuments(text: string): Document[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    const value = document.toJS() as Document | null;
    return value === null ? [] : [value];
  });
}

function asPort(port: number | TestPort): TestPort {
  return typeof port === 'number' ? { port } : port;
}

class FixtureBuilder {
  readonly namespaces: Namespace[] = [];
  readonly services: Service[] = [];
  readonly workloads: Workload[] = [];
  readonly configs: ConfigObject[] = [];
  readonly credentials: Credential[] = [];
  meshConfig: MeshConfig | undefined;
  private podCount = 0;

  add(document: Document, defaultNamespace: string): void {
    const { kind, metadata, spec } = document;
    if (kind === 'Include') {
      for (const file of document.files ?? [])
        this.addText(readFileSync(join(REPOSITORY, file), 'utf8'), document.namespace ?? 'default');
      return;
    }
    if (kind === 'MeshConfig') {
      this.meshConfig = spec as MeshConfig;
      return;
    }
    const namespace = metadata.namespace ?? defaultNamespace;
    const labels = metadata.labels ?? {};
    const annotations = metadata.annotations ?? {};
    if (kind === 'Namespace') this.namespaces.push({ name: metadata.name, labels });
    else if (kind === 'Service') this.addService(document, namespace);
    else if (kind === 'Secret') {
      this.credentials.push({ namespace, name: metadata.name, values: document.stringData ?? {} });
    } else if (kind === 'Deployment') this.addDeployment(document, namespace);
    else if (kind === 'Pod') {
      this.addPod(metadata.name, metadata.name, namespace, labels, spec ?? {});
    } else if (isIstioKind(kind)) {
      this.configs.push({
        apiVersion: document.apiVersion ?? '',
        kind,
        metadata: {
          name: metadata.name,
          namespace,
          labels,
          annotations,
          creationTimestamp: metadata.creationTimestamp,
        },
        spec: spec ?? {},
        source: { file: 'in.yaml', line: 1, column: 1 },
      } as unknown as ConfigObject);
    } else if (kind !== 'ServiceAccount') throw new Error(`a case cannot hold a ${kind}`);
  }

  private addService({ metadata, spec }: Document, namespace: string): void {
    const ports = (spec?.ports ?? []).map(asPort).map((port) => ({
      name: port.name ?? '',
      port: port.port,
      ...(typeof port.targetPort === 'string'
        ? { targetPort: 0, targetPortName: port.targetPort }
        : { targetPort: port.targetPort ?? port.port }),
      appProtocol: port.appProtocol ?? '',
    }));
    this.services.push({
      namespace,
      name: metadata.name,
      labels: metadata.labels ?? {},
      annotations: metadata.annotations ?? {},
      selector: spec?.selector ?? {},
      ports,
      headless: spec?.clusterIP === 'None',
      nodeLocal: spec?.internalTrafficPolicy === 'Local',
      trafficDistribution: spec?.trafficDistribution ?? '',
      ...(spec?.clusterIPs === undefined ? {} : { clusterIps: spec.clusterIPs }),
      ...(spec?.externalName === undefined ? {} : { externalName: spec.externalName }),
      ...(spec?.endpoints === undefined
        ? {}
        : {
            endpoints: spec.endpoints.map((each) => ({ ready: true, pod: '', hostname: '', node: '', ...each })),
          }),
    });
  }

  private addDeployment({ metadata, spec }: Document, namespace: string): void {
    const { template, replicas = 1 } = spec ?? {};
    if (template === undefined) throw new Error(`Deployment ${metadata.name} has no template`);
    const containerPorts = template.spec.containers.flatMap((container) => container.ports ?? []);
    for (let index = 0; index < replicas; index += 1) {
      this.addPod(`${metadata.name}-${index}`, metadata.name, namespace, template.metadata.labels ?? {}, {
        serviceAccount: template.spec.serviceAccountName,
        ports: containerPorts.map((port) => port.containerPort),
      });
    }
  }

  private addPod(
    name: string,
    workloadName: string,
    namespace: string,
    labels: Record<string, string>,
    spec: TestSpec,
  ): void {
    this.podCount += 1;
    const pod = this.podCount;
    this.workloads.push({
      name,
      namespace,
      labels,
      annotations: {},
      serviceAccount: spec.serviceAccount ?? 'default',
      workloadName: spec.workload ?? workloadName,
      address: spec.address ?? `127.1.0.${pod}`,
      ports: (spec.ports ?? []).map(asPort).map(({ port, appPort, name }) => ({
        port,
        appPort: appPort ?? 20_000 + pod,
        name: name ?? '',
      })),
      ready: spec.ready ?? true,
      // `auto` (the default) gives an address to each service, below.
      serviceAddresses: spec.serviceAddresses ?? {},
      gateway: spec.gateway ?? false,
      extraBindAddresses: spec.extraBindAddresses ?? {},
      node: spec.node ?? '',
      ...(spec.mutualTls === undefined ? {} : { mutualTls: spec.mutualTls, takesEveryPort: true }),
    });
  }

  addText(text: string, defaultNamespace = 'default'): void {
    for (const document of readDocuments(text)) this.add(document, defaultNamespace);
  }

  /** As the supervisor does: an address for each service and host of a ServiceEntry, in each pod that names none itself. */
  input(): SnapshotInput {
    const entries = objectsOfKind(this.configs, 'ServiceEntry');
    const isNamed = (protocol = 'TCP') => protocol !== 'TCP';
    const entryHosts = entries.flatMap(({ spec: { hosts, ports = [] } }) =>
      hosts.filter((host) => !host.startsWith('*') || ports.some(({ protocol }) => isNamed(protocol))),
    );
    const hosts = [
      ...this.services.map(({ name, namespace }) => `${name}.${namespace}.svc.cluster.local`).sort(),
      ...[...new Set(entryHosts)].sort(),
    ];
    const workloads = this.workloads.map((workload, pod) => {
      if (workload.gateway || Object.keys(workload.serviceAddresses).length > 0) return workload;
      const addresses = hosts.map((host, index) => [host, `127.1.${pod + 1}.${index + 1}`]);
      return { ...workload, serviceAddresses: Object.fromEntries(addresses) };
    });
    const { meshConfig, namespaces, services, credentials, configs } = this;
    const settings = meshConfig === undefined ? {} : { meshConfig };
    return { ...settings, namespaces, services, workloads, credentials, configs };
  }
}

/** Reads the documents of a case. */
export function readMesh(text: string): SnapshotInput {
  const builder = new FixtureBuilder();
  builder.addText(text);
  return builder.input();
}

/** What to show of the result: names, or prefixes that end in `*`; a type that is left out is not shown. */
export interface Shown {
  readonly clusters?: readonly string[];
  readonly endpoints?: readonly string[];
  readonly listeners?: readonly string[];
  readonly routes?: readonly string[];
  readonly names?: readonly string[];
}

/** Reads proxy.yaml: `pod: NAME.NAMESPACE` and overrides of the node; what the sidecar of that pod would send. */
export function readProxy(text: string, input: SnapshotInput): { readonly proxy: ProxyNode; readonly show: Shown } {
  const [document] = readDocuments(text) as unknown as {
    pod: string;
    type?: string;
    metadata?: Record<string, unknown>;
    show: Shown;
  }[];
  if (document === undefined) throw new Error('proxy.yaml is empty');
  return { proxy: proxyOf(input, document.pod, document.metadata, document.type), show: document.show ?? {} };
}

/** The node of a pod (`NAME.NAMESPACE`) of the input. */
export function proxyOf(
  input: SnapshotInput,
  pod: string,
  metadata: Record<string, unknown> = {},
  type?: string,
): ProxyNode {
  const workload = input.workloads.find(({ name, namespace }) => `${name}.${namespace}` === pod);
  const namespace = pod.slice(pod.lastIndexOf('.') + 1);
  const kind = type ?? (workload?.gateway ? 'router' : 'sidecar');
  const node = fromEnvoyJson(NodeSchema, {
    id: `${kind}~${workload?.address ?? '127.1.9.9'}~${pod}~${namespace}.svc.cluster.local`,
    metadata: {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: workload?.serviceAccount ?? 'default',
      LABELS: workload?.labels ?? {},
      INTERCEPTION_MODE: 'NONE',
      LATEEN_VERSION: '0.1.0',
      ...metadata,
    },
  });
  const result = parseProxyNode(node);
  if (!result.ok) throw new Error(result.errors.join('\n'));
  return result.proxy;
}
