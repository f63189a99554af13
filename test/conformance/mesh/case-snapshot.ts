// Conformance, step 2: a case as Galley and Pilot see it: its YAML parsed and validated, its pods as the registry has them.

import {
  type ConfigObject,
  isHttpProtocol,
  isIstioKind,
  type MeshConfig,
  parseDocuments,
  parseMeshConfig,
  protocolOfPort,
  readSecretValues,
} from '@lateen/istio-config';
import { buildSnapshot, type Credential, type MeshSnapshot, type Service, type Workload } from '@lateen/translate';
import { parse } from 'yaml';
import { type ConformanceCase, GATEWAY, type PodOfCase } from '../case-file.js';
import { LOG_FORMAT } from '../proxies/log-lines.js';

/** The mesh that cases are in unless they say otherwise: pods have no sidecars, so nobody speaks mutual TLS to them. */
const MESH = {
  enableAutoMtls: false,
  accessLogFile: '/dev/stdout',
  accessLogFormat: LOG_FORMAT,
};

/** Where everything of a case listens. */
export interface CaseAddresses {
  /** Of a pod: its own address. */
  pod(name: string): string;
  /** Of a client: the address that its sidecar binds for a service, by number. */
  service(client: string, index: number): string;
}

/** A port at which a pod answers. */
export interface PodPort {
  readonly pod: PodOfCase;
  readonly port: number;
  readonly protocol: 'http' | 'tcp' | 'any';
}

/** What is the same for all proxies of a case. */
export interface CaseConfig {
  readonly objects: readonly ConfigObject[];
  readonly meshConfig: MeshConfig;
  readonly services: readonly Service[];
  readonly credentials: readonly Credential[];
  /** Hosts that are called by an address of the client's own, as the supervisor gives them: of Services, then of ServiceEntries. */
  readonly hosts: readonly string[];
  /** Ports of the pods, the clients' applications included. */
  readonly podPorts: readonly PodPort[];
}

function meshConfigOf({ name, mesh }: ConformanceCase): MeshConfig {
  const content = JSON.stringify({ ...MESH, ...(parse(mesh) as object | null) });
  const { config, problems } = parseMeshConfig({ name: `${name}/mesh.yaml`, content });
  if (config === undefined) {
    throw new RefusedCaseError(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'));
  }
  return config;
}

/** Objects without a time are as old as their place in the file says. */
function withAges(objects: readonly ConfigObject[]): ConfigObject[] {
  return objects.map((object, index) => {
    const creationTimestamp =
      object.metadata.creationTimestamp ?? new Date(Date.UTC(2024, 0, 1) + index * 1000).toISOString();
    return { ...object, metadata: { ...object.metadata, creationTimestamp } } as ConfigObject;
  });
}

function credentialOf(secret: ConfigObject<'Secret'>): Credential {
  const { namespace, name } = secret.metadata;
  return { namespace, name, values: Object.fromEntries(readSecretValues(secret) ?? []) };
}

function serviceOf({ metadata, spec }: ConfigObject<'Service'>): Service {
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    labels: metadata.labels,
    annotations: metadata.annotations,
    selector: spec.selector ?? {},
    ports: (spec.ports ?? []).map(({ name = '', port, targetPort, appProtocol = '' }) => ({
      name,
      port,
      targetPort: typeof targetPort === 'number' ? targetPort : port,
      appProtocol,
    })),
    headless: spec.clusterIP === 'None',
    nodeLocal: spec.internalTrafficPolicy === 'Local',
    trafficDistribution: spec.trafficDistribution ?? '',
  };
}

const fullName = ({ name, namespace }: Service) => `${name}.${namespace}.svc.cluster.local`;

/** A wildcard has an address where requests, or handshakes, say which of its hosts they are for. */
function entryHosts(objects: readonly ConfigObject[]): string[] {
  const entries = objects.filter((object): object is ConfigObject<'ServiceEntry'> => object.kind === 'ServiceEntry');
  const hosts = entries.flatMap(({ spec: { hosts = [], ports = [] } }) =>
    hosts.filter((host) => !host.startsWith('*') || ports.some(({ protocol = 'TCP' }) => protocol !== 'TCP')),
  );
  return [...new Set(hosts)];
}

const selects = ({ namespace, selector }: Service, pod: PodOfCase) =>
  namespace === pod.namespace &&
  Object.keys(selector).length > 0 &&
  Object.entries(selector).every(([name, value]) => pod.labels[name] === value);

function podPortsOf(pods: readonly PodOfCase[], services: readonly Service[]): PodPort[] {
  const found = new Map<string, PodPort>();
  for (const pod of pods.filter(({ name }) => name !== GATEWAY)) {
    for (const service of services.filter((each) => selects(each, pod))) {
      for (const port of service.ports) {
        const protocol = protocolOfPort(port);
        const kind = protocol === 'auto' ? 'any' : isHttpProtocol(protocol) ? 'http' : 'tcp';
        const place = `${pod.name}:${port.targetPort}`;
        // One Service can say what another leaves open.
        if (kind === 'any' && found.has(place)) continue;
        found.set(place, { pod, port: port.targetPort, protocol: kind });
      }
    }
    for (const port of pod.listens) {
      const place = `${pod.name}:${port}`;
      if (!found.has(place)) found.set(place, { pod, port, protocol: 'http' });
    }
  }
  return [...found.values()];
}

/** A case whose documents Galley would refuse. */
export class RefusedCaseError extends Error {}

/** Parses and validates a case as Galley does. @throws RefusedCaseError with everything that is wrong */
export function readCaseConfig(conformanceCase: ConformanceCase): CaseConfig {
  const { name, config, pods, clients } = conformanceCase;
  const file = { name: `${name}/config.yaml`, content: config };
  const { objects, problems } = parseDocuments([file], { defaultNamespace: 'default' });
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    throw new RefusedCaseError(
      errors.map(({ line, path, message }) => `${file.name}:${line} ${path}: ${message}`).join('\n'),
    );
  }
  const services = objects
    .filter((object): object is ConfigObject<'Service'> => object.kind === 'Service')
    .map(serviceOf);
  return {
    objects: withAges(objects),
    meshConfig: meshConfigOf(conformanceCase),
    services,
    credentials: objects
      .filter((object): object is ConfigObject<'Secret'> => object.kind === 'Secret')
      .map(credentialOf),
    hosts: [...services.map(fullName), ...entryHosts(objects)],
    podPorts: podPortsOf([...pods, ...clients], services),
  };
}

/** @param appPort the port of loopback where the application behind a client's sidecar listens */
function workloadOf(
  pod: PodOfCase,
  { hosts, podPorts }: CaseConfig,
  addresses: CaseAddresses,
  isClient: boolean,
  appPort: (pod: string, port: number) => number,
): Workload {
  const { name, namespace, labels, serviceAccount, ready } = pod;
  const gateway = name === GATEWAY;
  const bound = hosts.map((host, index) => [host, addresses.service(name, index)]);
  const ports = podPorts.filter((each) => each.pod.name === name);
  return {
    name,
    namespace,
    labels,
    annotations: {},
    serviceAccount,
    workloadName: name,
    address: addresses.pod(name),
    ports: ports.map(({ port }) => ({ port, appPort: isClient ? appPort(name, port) : port, name: '' })),
    ready,
    serviceAddresses: isClient && !gateway ? Object.fromEntries(bound) : {},
    gateway,
    extraBindAddresses: {},
  };
}

/** The mesh of a case at the given addresses. @param members the WorkloadEntries of who has registered itself */
export function snapshotOf(
  { pods, clients }: ConformanceCase,
  config: CaseConfig,
  addresses: CaseAddresses,
  appPort: (pod: string, port: number) => number,
  members: readonly ConfigObject[] = [],
): MeshSnapshot {
  const namespaces = new Set([...pods, ...clients].map(({ namespace }) => namespace));
  for (const { namespace } of config.services) namespaces.add(namespace);
  const declared = config.objects.filter(({ kind }) => kind === 'Namespace');
  const labelsOf = (name: string) => declared.find(({ metadata }) => metadata.name === name)?.metadata.labels ?? {};
  return buildSnapshot({
    meshConfig: config.meshConfig,
    namespaces: [...namespaces].map((name) => ({ name, labels: labelsOf(name) })),
    services: config.services,
    credentials: config.credentials,
    workloads: [
      ...pods
        .filter(({ loopback, group }) => !loopback && group === undefined)
        .map((pod) => workloadOf(pod, config, addresses, false, appPort)),
      ...clients.map((pod) => workloadOf(pod, config, addresses, true, appPort)),
    ],
    configs: [...config.objects.filter(({ kind }) => isIstioKind(kind)), ...members],
  });
}
