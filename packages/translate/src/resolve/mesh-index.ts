// Resolve: what every view needs of a snapshot, worked out once: services with their ports' protocols and workloads.

import { isHttpProtocol, type PortProtocol, protocolOfPort, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, Service, Workload } from '../model.js';
import { compareText, contentHash, stableHash } from '../stable-hash.js';

/** A port of a mesh service with the protocol that its name says. */
export interface MeshPort {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number;
  readonly protocol: PortProtocol;
  /** HTTP/1.1 can be spoken on it: declared HTTP, or nothing declared. */
  readonly http: boolean;
  /** Its bytes are passed on as they are: TCP, or TLS that is between the applications. */
  readonly tcp: boolean;
}

/** A service as translation sees it. */
export interface MeshService {
  /** `NAME.NAMESPACE.svc.cluster.local`. */
  readonly hostname: string;
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly MeshPort[];
  /** Namespaces that see it: `*`, `.`, `~` or names. */
  readonly exportTo: readonly string[];
  /** All selected workloads, ready or not, in the snapshot's order. */
  readonly workloads: readonly Workload[];
  /** The service accounts of its workloads, each once. */
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
  /** By hostname. */
  readonly services: readonly MeshService[];
  readonly serviceByHost: ReadonlyMap<string, MeshService>;
  /** By `NAMESPACE/POD`. */
  readonly workloadByName: ReadonlyMap<string, Workload>;
  /** Service ports by the workload that serves them, in hostname order. */
  readonly servedBy: ReadonlyMap<Workload, readonly ServedPort[]>;
  readonly problems: readonly Problem[];
}

/** Remembers one result for each snapshot: snapshots are immutable, so this changes nothing but the time it takes. */
export function oncePerSnapshot<T>(compute: (snapshot: MeshSnapshot) => T): (snapshot: MeshSnapshot) => T {
  const results = new WeakMap<MeshSnapshot, { readonly value: T }>();
  return (snapshot) => {
    let result = results.get(snapshot);
    if (result === undefined) {
      result = { value: compute(snapshot) };
      results.set(snapshot, result);
    }
    return result.value;
  };
}

/** The full host name of a registry service. */
export function serviceHostname(service: { name: string; namespace: string }, clusterDomain: string): string {
  return `${service.name}.${service.namespace}.svc.${clusterDomain}`;
}

/** Whether something of `owner` namespace with this `exportTo` is seen from `client` namespace. */
export function isExportedTo(exportTo: readonly string[] | undefined, owner: string, client: string): boolean {
  if (exportTo === undefined || exportTo.length === 0) return true;
  return exportTo.some((target) => target === '*' || target === client || (target === '.' && owner === client));
}

const EXPORT_TO_ANNOTATION = 'networking.istio.io/exportTo';

/** Whether connections of the protocol are passed on byte by byte. */
export function isTcpProtocol(protocol: PortProtocol): boolean {
  return protocol !== 'auto' && protocol !== 'udp' && !isHttpProtocol(protocol);
}

function meshPorts(service: Service, problems: Problem[]): MeshPort[] {
  const ports: MeshPort[] = [];
  for (const { name, port, targetPort, appProtocol } of [...service.ports].sort((a, b) => a.port - b.port)) {
    const subject = `Service/${service.namespace}/${service.name}`;
    if (ports.at(-1)?.port === port) {
      const message = `port ${port} is declared twice; the second one (${name || 'unnamed'}) is ignored`;
      problems.push({ code: 'duplicate-port', severity: 'warning', subject, message });
      continue;
    }
    const protocol = protocolOfPort({ name, appProtocol, port });
    // HTTP/2 and gRPC need an HTTP/2 upstream; a port that says nothing is taken as HTTP/1.1.
    const http = protocol === 'http' || protocol === 'auto';
    const tcp = isTcpProtocol(protocol);
    if (!http && !tcp) {
      const what = protocol === 'udp' ? 'UDP is not proxied' : 'HTTP/2 is not served yet';
      const message = `port ${port} (${name}) is ${protocol}: no listener is made for it, as ${what}; name it http… if it speaks HTTP/1.1`;
      problems.push({ code: 'unsupported-protocol', severity: 'warning', subject, message });
    }
    // 0 is what a registry says that sets none: the service's own port, as in Kubernetes.
    ports.push({ name, port, targetPort: targetPort || port, protocol, http, tcp });
  }
  return ports;
}

/** Finds the workloads that a service selects, by one label of the selector instead of one after another. */
function workloadSelection(snapshot: MeshSnapshot): (service: Service) => readonly Workload[] {
  const byLabel = new Map<string, Workload[]>();
  for (const workload of snapshot.workloads) {
    for (const [label, value] of Object.entries(workload.labels)) {
      const key = JSON.stringify([workload.namespace, label, value]);
      const group = byLabel.get(key);
      if (group) group.push(workload);
      else byLabel.set(key, [workload]);
    }
  }
  return ({ namespace, selector }) => {
    const [first] = Object.entries(selector);
    if (first === undefined) return [];
    const candidates = byLabel.get(JSON.stringify([namespace, ...first])) ?? [];
    return candidates.filter((workload) => selectorMatches(selector, workload.labels));
  };
}

function accountsOf(workloads: readonly Workload[]): readonly ServiceAccount[] {
  const accounts = new Map<string, ServiceAccount>();
  for (const { namespace, serviceAccount } of workloads) {
    accounts.set(`${namespace}/${serviceAccount}`, { namespace, serviceAccount });
  }
  return [...accounts].sort(([a], [b]) => compareText(a, b)).map(([, account]) => account);
}

/** Whether calls to this port find something: a sidecar listens only on the ports that its pod declares. */
export function listensOn(workload: Workload, port: number): boolean {
  return workload.gateway || workload.ports.some((candidate) => candidate.port === port);
}

function undeclaredPorts({ hostname, namespace, name, ports, workloads }: MeshService): Problem[] {
  return ports.flatMap(({ port, targetPort }) => {
    const silent = workloads.filter((workload) => !listensOn(workload, targetPort));
    if (silent.length === 0) return [];
    const pods = `${silent.length} of ${workloads.length} pods (${silent[0]!.name}, …)`;
    const message = `${hostname}:${port} leads to port ${targetPort}, which ${pods} do not declare; they get no calls for it. Add it to the container's ports, or correct targetPort`;
    return [
      { code: 'undeclared-port', severity: 'warning' as const, subject: `Service/${namespace}/${name}`, message },
    ];
  });
}

/** The index of a snapshot. */
export const meshIndex = oncePerSnapshot((snapshot: MeshSnapshot): MeshIndex => {
  const problems: Problem[] = [];
  const selectedBy = workloadSelection(snapshot);
  const services = snapshot.services.map((service): MeshService => {
    const workloads = selectedBy(service);
    const accounts = accountsOf(workloads);
    const exportTo = service.annotations[EXPORT_TO_ANNOTATION];
    return {
      hostname: serviceHostname(service, snapshot.clusterDomain),
      namespace: service.namespace,
      name: service.name,
      ports: meshPorts(service, problems),
      exportTo: exportTo === undefined ? ['*'] : exportTo.split(',').map((target) => target.trim()),
      workloads,
      accounts,
      declarationHash: contentHash(service),
      identityHash: stableHash([contentHash(service), accounts]),
    };
  });
  services.sort((a, b) => compareText(a.hostname, b.hostname));
  problems.push(...services.flatMap(undeclaredPorts));

  const servedBy = new Map<Workload, ServedPort[]>();
  for (const service of services) {
    for (const workload of service.workloads) {
      const served = servedBy.get(workload) ?? [];
      for (const port of service.ports) served.push({ service, port });
      servedBy.set(workload, served);
    }
  }
  return {
    services,
    serviceByHost: new Map(services.map((service) => [service.hostname, service])),
    workloadByName: new Map(snapshot.workloads.map((workload) => [`${workload.namespace}/${workload.name}`, workload])),
    servedBy,
    problems,
  };
});
