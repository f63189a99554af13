// Test support: a mesh of YAML documents with lines, and questions about it.

import { type ConfigObject, objectsOfKind, parseDocuments } from '@lateen/istio-config';
import { buildSnapshot, type MeshSnapshot, type Service, type Workload } from '@lateen/translate';
import { type Because, type Explanation, explain, findCaller, parseRequest } from '../src/index.js';

export const FILE = 'mesh.yaml';

/** A gateway that answers everything itself. */
export const EDGE = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec:
  hosts: ["*"]
  gateways: [istio-system/edge]
  http: [{directResponse: {status: 200}}]
`;

/** Two workloads, `web` in three versions and `client`, and a gateway. */
export const REGISTRY = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: tcp-data, port: 9000}
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: other}
spec:
  selector: {app: stock}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
${['v1', 'v2', 'v3'].map((version) => deployment(`web-${version}`, 'default', `app: web, version: ${version}`)).join('')}${deployment('stock', 'other', 'app: stock')}${deployment('client', 'default', 'app: client, version: v1, tier: front')}apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec:
  host: web
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - name: v3
    labels: {version: v3}
    trafficPolicy:
      loadBalancer: {simple: RANDOM}
---
`;

function deployment(name: string, namespace: string, labels: string): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {matchLabels: {${labels}}}
  template:
    metadata: {labels: {${labels}}}
    spec: {containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
`;
}

export interface ExplainedMesh {
  readonly text: string;
  readonly objects: readonly ConfigObject[];
  readonly snapshot: MeshSnapshot;
  ask(request: string, headers?: readonly string[], from?: string): Explanation;
  /** The text of a reason's line. */
  line(reason: Because): string;
}

/** @param rules Istio documents, appended to those of the registry */
export function explainedMesh(rules: string, registry = REGISTRY): ExplainedMesh {
  const text = registry + rules;
  const { objects, problems } = parseDocuments([{ name: FILE, content: text }], { defaultNamespace: 'default' });
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(errors.map(({ line, message }) => `${line}: ${message}`).join('\n'));
  const snapshot = meshOf(objects);
  const lines = text.split('\n');
  return {
    text,
    objects,
    snapshot,
    ask: (request, headers = [], from = 'client') =>
      explain({
        snapshot,
        documents: objects,
        caller: findCaller(snapshot, from, undefined),
        request: parseRequest(request, headers),
      }),
    line: ({ line }) => lines[line - 1] ?? '',
  };
}

function meshOf(objects: readonly ConfigObject[]): MeshSnapshot {
  const services = objectsOfKind(objects, 'Service').map(({ metadata, spec }): Service => {
    const ports = (spec.ports ?? []).map(({ name = '', port, targetPort }) => ({
      name,
      port,
      targetPort: typeof targetPort === 'number' ? targetPort : port,
      appProtocol: '',
    }));
    const { name, namespace, labels, annotations } = metadata;
    return { name, namespace, labels, annotations, selector: spec.selector ?? {}, ports };
  });
  const serviceAddresses = Object.fromEntries(
    [
      ...services.map(({ name, namespace }) => `${name}.${namespace}.svc.cluster.local`),
      ...objectsOfKind(objects, 'ServiceEntry').flatMap(({ spec }) => spec.hosts ?? []),
    ].map((host, index) => [host, `127.2.0.${index + 1}`]),
  );
  const pod = (name: string, namespace: string, index: number): Workload => ({
    name: `${name}-0`,
    namespace,
    labels: {},
    annotations: {},
    serviceAccount: 'default',
    workloadName: name,
    address: `127.1.0.${index + 1}`,
    ports: [],
    ready: true,
    serviceAddresses,
    gateway: false,
    extraBindAddresses: {},
  });
  const pods = objectsOfKind(objects, 'Deployment').map(({ metadata, spec }, index) => ({
    ...pod(metadata.name, metadata.namespace, index),
    labels: spec.template.metadata?.labels ?? {},
    ports: spec.template.spec.containers.flatMap(({ ports = [] }) =>
      ports.map(({ containerPort: port, name = '' }) => ({ port, name, appPort: port })),
    ),
  }));
  const gateway: Workload = {
    ...pod('istio-ingressgateway', 'istio-system', 99),
    labels: { istio: 'ingressgateway' },
    serviceAddresses: {},
    gateway: true,
  };
  return buildSnapshot({
    namespaces: [],
    services,
    workloads: [...pods, gateway],
    configs: objects.filter(({ kind }) => kind !== 'Service' && kind !== 'Deployment'),
  });
}

/** Whether a reason's line has what the last step of its path would look like: a key, or the start of a list item. */
export function fitsLine(mesh: ExplainedMesh, reason: Because): boolean {
  const { path } = reason;
  const line = mesh.line(reason);
  if (path === '') return line.startsWith('apiVersion:');
  if (/\[\d+\]$/.test(path)) return /- |[[{]/.test(line);
  const quoted = /\["((?:[^"\\]|\\.)*)"\]$/.exec(path)?.[1];
  return line.includes(`${quoted ?? path.slice(path.lastIndexOf('.') + 1)}:`);
}

/** Every reason of an answer, those for what was not chosen too. */
export function reasonsOf({ because, notMatched }: Explanation): Because[] {
  return [...because, ...notMatched.flatMap((each) => each.because ?? [])];
}
