// Resolve: what every view needs of a snapshot, worked out once: services with their ports' protocols and workloads.

import { type ConfigObject, isHttpProtocol, type PortProtocol, protocolOfPort } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, Workload } from '../model.js';
import { oncePerSnapshot } from '../once-per-snapshot.js';
import { compareText, stableHash } from '../stable-hash.js';
import { allocateAddresses } from './services/auto-addresses.js';
import { entryServices } from './services/entry-services.js';
import { entryWorkloads } from './services/entry-workloads.js';
import { aliasesByHost, registryServices } from './services/registry-services.js';
import { selectionsOf } from './services/selection.js';
import type { ServiceAlias, ServiceDeclaration } from './services/service-declaration.js';
import { whyUnusable } from './services/workload-entries.js';
import { takingPorts } from './sidecars.js';

/** A port of a mesh service with the protocol that its name says. */
export interface MeshPort {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number;
  /** The name of a pod's port, which says its target port there. */
  readonly targetPortName?: string;
  readonly protocol: PortProtocol;
  /** HTTP is spoken on it, of either version: declared HTTP, or nothing declared. */
  readonly http: boolean;
  /** Its bytes are passed on as they are: TCP, or TLS that is between the applications. */
  readonly tcp: boolean;
}

/** A service as translation sees it. */
export interface MeshService extends Omit<ServiceDeclaration, 'ports' | 'exportTo' | 'hash'> {
  readonly ports: readonly MeshPort[];
  /** Namespaces that see it: `*`, `.`, `~` or names. */
  readonly exportTo: readonly string[];
  /** Addresses that it has because it has no others; see {@link allocateAddresses}. */
  readonly autoAddresses: readonly string[];
  /** The service accounts of its workloads and entries, each once. */
  readonly accounts: readonly ServiceAccount[];
  /** Hash of the service as declared. */
  readonly declarationHash: string;
  /** Hash of the declaration and the accounts: what its clusters are made of. */
  readonly identityHash: string;
}

export interface ServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A service port that a workload serves. */
export interface ServedPort {
  readonly service: MeshService;
  readonly port: MeshPort;
}

export interface MeshIndex {
  /** By hostname; ServiceEntries of several namespaces may have the same one. */
  readonly services: readonly MeshService[];
  /** By `NAMESPACE/POD`. */
  readonly workloadByName: ReadonlyMap<string, Workload>;
  /** Workloads outside of the registry, by `NAMESPACE/ADDRESS`: those that WorkloadEntries stand for. */
  readonly workloadByEntry: ReadonlyMap<string, Workload>;
  /** Service ports by the workload that serves them, in hostname order. */
  readonly servedBy: ReadonlyMap<Workload, readonly ServedPort[]>;
  readonly problems: readonly Problem[];
}

export { oncePerSnapshot };

/** Whether something of `owner` namespace with this `exportTo` is seen from `client` namespace. */
export function isExportedTo(exportTo: readonly string[] | undefined, owner: string, client: string): boolean {
  if (exportTo === undefined || exportTo.length === 0) return true;
  return exportTo.some((target) => target === '*' || target === client || (target === '.' && owner === client));
}

/** The namespaces that see a rule: what it says, else MeshConfig's default for its kind; undefined: all. */
export function exportToOf(
  { meshConfig }: MeshSnapshot,
  { kind, spec }: ConfigObject<'VirtualService' | 'DestinationRule'>,
): readonly string[] | undefined {
  if (spec.exportTo !== undefined && spec.exportTo.length > 0) return spec.exportTo;
  return kind === 'VirtualService'
    ? meshConfig.defaultVirtualServiceExportTo
    : meshConfig.defaultDestinationRuleExportTo;
}

/** Whether a rule is seen from `client` namespace. */
export function isRuleExportedTo(
  snapshot: MeshSnapshot,
  rule: ConfigObject<'VirtualService' | 'DestinationRule'>,
  client: string,
): boolean {
  return isExportedTo(exportToOf(snapshot, rule), rule.metadata.namespace, client);
}

/** Whether connections of the protocol are passed on byte by byte. */
export function isTcpProtocol(protocol: PortProtocol): boolean {
  return protocol !== 'auto' && protocol !== 'udp' && !isHttpProtocol(protocol);
}

function meshPorts(service: ServiceDeclaration, problems: Problem[]): MeshPort[] {
  const ports: MeshPort[] = [];
  for (const { name, port, targetPort, targetPortName, appProtocol } of [...service.ports].sort(
    (a, b) => a.port - b.port,
  )) {
    const subject = `${service.kind}/${service.namespace}/${service.name}`;
    if (ports.at(-1)?.port === port) {
      const message = `port ${port} is declared twice; the second one (${name || 'unnamed'}) is ignored`;
      problems.push({ code: 'duplicate-port', severity: 'warning', subject, message });
      continue;
    }
    const protocol = protocolOfPort({ name, appProtocol, port });
    // Of a port that says nothing the first bytes tell which HTTP it is.
    const http = protocol === 'auto' || isHttpProtocol(protocol);
    const tcp = isTcpProtocol(protocol);
    if (!http && !tcp) {
      const message = `port ${port} (${name}) is ${protocol}: no listener is made for it, as UDP is not proxied`;
      problems.push({ code: 'unsupported-protocol', severity: 'warning', subject, message });
    }
    // 0 is what a registry says that sets none: the service's own port, as in Kubernetes.
    const target = { targetPort: targetPort || port, ...(targetPortName === undefined ? {} : { targetPortName }) };
    ports.push({ name, port, ...target, protocol, http, tcp });
  }
  return ports;
}

function accountsOf({ workloads, entries }: ServiceDeclaration): readonly ServiceAccount[] {
  const accounts = new Map<string, ServiceAccount>();
  const named = entries.filter(({ serviceAccount }) => serviceAccount !== '');
  for (const { namespace, serviceAccount } of [...workloads, ...named]) {
    accounts.set(`${namespace}/${serviceAccount}`, { namespace, serviceAccount });
  }
  return [...accounts].sort(([a], [b]) => compareText(a, b)).map(([, account]) => account);
}

/** Whether calls to this port find something: without interception a sidecar listens only on the ports that its pod, or its Sidecar, declares. */
export function listensOn(snapshot: MeshSnapshot, workload: Workload, port: number): boolean {
  return (
    workload.gateway ||
    workload.takesEveryPort === true ||
    takingPorts(snapshot, workload).some((candidate) => candidate.port === port)
  );
}

function undeclaredPorts(
  snapshot: MeshSnapshot,
  { kind, hostname, namespace, name, ports, workloads }: MeshService,
): Problem[] {
  return ports.flatMap(({ port, targetPort }) => {
    const silent = workloads.filter((workload) => !listensOn(snapshot, workload, targetPort));
    if (silent.length === 0) return [];
    const pods = `${silent.length} of ${workloads.length} pods (${silent[0]!.name}, …)`;
    const message = `${hostname}:${port} leads to port ${targetPort}, which ${pods} do not declare; they get no calls for it. Add it to the container's ports, or correct targetPort`;
    return [
      { code: 'undeclared-port', severity: 'warning' as const, subject: `${kind}/${namespace}/${name}`, message },
    ];
  });
}

/** Endpoints that the client cannot be told of, with what is wrong with them. */
function unusableEntries({ kind, hostname, namespace, name, resolution, entries }: MeshService): Problem[] {
  return entries.flatMap((entry) => {
    const why = whyUnusable(entry.address, resolution === 'EDS');
    if (why === undefined) return [];
    const message = `endpoint ${entry.namespace}/${entry.name} of ${hostname} gets no calls: ${why}`;
    return [
      { code: 'unusable-endpoint', severity: 'warning' as const, subject: `${kind}/${namespace}/${name}`, message },
    ];
  });
}

function meshService(
  snapshot: MeshSnapshot,
  declaration: ServiceDeclaration,
  autoAddresses: readonly string[],
  problems: Problem[],
): MeshService {
  const { hash, exportTo, resolution, entries, ...service } = declaration;
  const accounts = accountsOf(declaration);
  // Names are resolved by the client: they stand in the cluster, not in a load assignment.
  const inCluster = resolution === 'EDS' ? [] : entries;
  return {
    ...service,
    resolution,
    entries,
    ports: meshPorts(declaration, problems),
    exportTo: exportTo ?? snapshot.meshConfig.defaultServiceExportTo ?? ['*'],
    autoAddresses,
    accounts,
    declarationHash: hash,
    identityHash: stableHash([hash, accounts, inCluster]),
  };
}

function withAliases(
  service: ServiceDeclaration,
  aliases: ReadonlyMap<string, readonly ServiceAlias[]>,
): ServiceDeclaration {
  const own = aliases.get(service.hostname);
  return own === undefined ? service : { ...service, aliases: own, hash: stableHash([service.hash, own]) };
}

function declarationsOf(snapshot: MeshSnapshot, problems: Problem[]): ServiceDeclaration[] {
  const selections = selectionsOf(snapshot);
  const registry = registryServices(snapshot, selections);
  const hosts = new Set(registry.map(({ hostname }) => hostname));
  const declarations = [...registry, ...entryServices(snapshot, selections, hosts, problems)];
  const aliases = aliasesByHost(snapshot);
  return aliases.size === 0 ? declarations : declarations.map((service) => withAliases(service, aliases));
}

/** A service port as it is on one workload; the same object where that does not matter. */
function portOn({ ports }: Workload, port: MeshPort): MeshPort {
  const named = port.targetPortName && ports.find(({ name }) => name === port.targetPortName);
  return named ? { ...port, targetPort: named.port } : port;
}

/** The index of a snapshot. */
export const meshIndex = oncePerSnapshot((snapshot: MeshSnapshot): MeshIndex => {
  const problems: Problem[] = [];
  const declarations = declarationsOf(snapshot, problems);
  const allocated = allocateAddresses(declarations);
  const services = declarations.map((declaration) =>
    meshService(snapshot, declaration, allocated.get(declaration) ?? [], problems),
  );
  // Of one host the registry's service is first, then the oldest: sorting is stable.
  services.sort((a, b) => compareText(a.hostname, b.hostname));
  problems.push(
    ...services.flatMap((service) => (service.memberOf ? [] : undeclaredPorts(snapshot, service))),
    ...services.flatMap(unusableEntries),
  );

  const servedBy = new Map<Workload, ServedPort[]>();
  for (const service of services) {
    // Its pods are called at the same ports under their own names.
    if (service.memberOf !== undefined) continue;
    for (const workload of service.workloads) {
      // Whoever may write EndpointSlices can name anybody's pods; how these take calls is for their own namespace to say.
      if (service.kind === 'Service' && workload.namespace !== service.namespace) continue;
      const served = servedBy.get(workload) ?? [];
      for (const port of service.ports) served.push({ service, port: portOn(workload, port) });
      servedBy.set(workload, served);
    }
  }
  const workloadByEntry = entryWorkloads(snapshot, services, servedBy);
  return {
    services,
    workloadByEntry,
    workloadByName: new Map(snapshot.workloads.map((workload) => [`${workload.namespace}/${workload.name}`, workload])),
    servedBy,
    problems,
  };
});
