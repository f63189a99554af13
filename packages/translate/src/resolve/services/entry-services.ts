// Resolve: the services that ServiceEntries declare: one for each of their hosts.

import type { ConfigObject } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, ServicePort } from '../../model.js';
import { configHash, configsOf, takesAutoAddresses } from '../../snapshot.js';
import { stableHash } from '../../stable-hash.js';
import { preferredPlace } from '../locality/preferred-place.js';
import type { Selections } from './selection.js';
import type { EntryEndpoint, Resolution, ServiceDeclaration } from './service-declaration.js';
import { entryEndpoint } from './workload-entries.js';

type Entry = ConfigObject<'ServiceEntry'>;

const RESOLUTIONS: Readonly<Record<string, Resolution>> = {
  NONE: 'PASSTHROUGH',
  STATIC: 'EDS',
  DNS: 'STRICT_DNS',
  DNS_ROUND_ROBIN: 'LOGICAL_DNS',
  DYNAMIC_DNS: 'FORWARD',
};

function subjectOf({ metadata }: Entry): string {
  return `ServiceEntry/${metadata.namespace}/${metadata.name}`;
}

function portsOf({ spec }: Entry): ServicePort[] {
  return (spec.ports ?? []).map(({ number, name, protocol = '', targetPort = 0 }) => ({
    name,
    port: number,
    // What goes where the client was going goes to the port that was dialled.
    targetPort: (spec.resolution ?? 'NONE') === 'NONE' ? number : targetPort || number,
    appProtocol: protocol.toLowerCase(),
  }));
}

/** A subnet of one address is that address. */
function isSubnet(address: string): boolean {
  return address.includes('/') && !/^[^:]+\/32$|:.*\/128$/.test(address);
}

function wholeAddress(address: string): string {
  return address.replace(/\/\d+$/, '');
}

/** What a ServiceEntry says of all its hosts. */
function declare(entry: Entry, selections: Selections): Omit<ServiceDeclaration, 'hostname'> {
  const { spec, metadata } = entry;
  const { namespace, name } = metadata;
  const resolution = RESOLUTIONS[spec.resolution ?? 'NONE'] ?? 'PASSTHROUGH';
  const selector = spec.workloadSelector?.labels ?? {};
  const addresses = spec.addresses ?? [];
  const named = (spec.endpoints ?? []).map((endpoint, index) => entryEndpoint(endpoint, namespace, `${name}-${index}`));
  return {
    kind: 'ServiceEntry',
    namespace,
    name,
    ports: portsOf(entry),
    exportTo: spec.exportTo,
    resolution,
    external: spec.location !== 'MESH_INTERNAL',
    addresses: addresses.filter((address) => !isSubnet(address)).map(wholeAddress),
    subnets: addresses.filter(isSubnet),
    // Where a call goes is known of none of the others.
    takesAutoAddresses: addresses.length === 0 && resolution !== 'PASSTHROUGH' && takesAutoAddresses(metadata.labels),
    subjectAltNames: spec.subjectAltNames ?? [],
    // Pods have addresses, and nobody asks DNS for them.
    workloads: resolution === 'EDS' ? selections.workloads(namespace, selector) : [],
    entries: [...named, ...selections.entries(namespace, selector)],
    prefers: preferredPlace(undefined, metadata.annotations),
    hash: configHash(entry),
  };
}

function isWildcard({ hostname }: ServiceDeclaration): boolean {
  return hostname.startsWith('*');
}

/** A name is its own endpoint where none is given. What goes where requests say needs that only where there is one name. */
function withOwnName(service: ServiceDeclaration): ServiceDeclaration {
  const { resolution } = service;
  if (isWildcard(service)) return service;
  const named = resolution === 'FORWARD' ? { ...service, resolution: 'STRICT_DNS' as const } : service;
  if (resolution === 'EDS' || service.entries.length > 0) return named;
  const own: EntryEndpoint = {
    name: service.name,
    namespace: service.namespace,
    address: service.hostname,
    ports: {},
    labels: {},
    weight: 1,
    locality: '',
    serviceAccount: '',
    mutualTls: false,
    ready: true,
  };
  return { ...named, entries: [own] };
}

/** Endpoints that answer at the ports of their own ServiceEntry only. */
function boundToPorts({ entries, ports }: ServiceDeclaration): EntryEndpoint[] {
  const servesOnly = ports.map(({ port }) => port);
  return entries.map((entry) => ({ servesOnly, ...entry }));
}

/** Two ServiceEntries of a namespace for one host are one service: ports of both, and at each port the endpoints of both. */
function merge(older: ServiceDeclaration, newer: ServiceDeclaration): ServiceDeclaration {
  const known = new Set(older.ports.map(({ port }) => port));
  return {
    ...older,
    ports: [...older.ports, ...newer.ports.filter(({ port }) => !known.has(port))],
    addresses: [...new Set([...older.addresses, ...newer.addresses])],
    subnets: [...new Set([...(older.subnets ?? []), ...(newer.subnets ?? [])])],
    takesAutoAddresses: older.takesAutoAddresses === true && newer.takesAutoAddresses === true,
    subjectAltNames: [...new Set([...older.subjectAltNames, ...newer.subjectAltNames])],
    workloads: [...new Set([...older.workloads, ...newer.workloads])],
    entries: [...boundToPorts(older), ...boundToPorts(newer)],
    hash: stableHash([older.hash, newer.hash]),
  };
}

function conflict(entry: Entry, host: string, owner: string): Problem {
  return {
    code: 'conflict-service-entry-host',
    severity: 'warning',
    subject: subjectOf(entry),
    message: `host ${host} belongs to ${owner}; calls follow that one. Remove the host here, or there`,
  };
}

/**
 * One declaration for each host and namespace, oldest first.
 *
 * @param registryHosts hosts of the registry's services: these come before a ServiceEntry's
 */
export function entryServices(
  snapshot: MeshSnapshot,
  selections: Selections,
  registryHosts: ReadonlySet<string>,
  problems: Problem[],
): ServiceDeclaration[] {
  const services = new Map<string, ServiceDeclaration>();
  for (const entry of configsOf(snapshot, 'ServiceEntry')) {
    const common = declare(entry, selections);
    for (const host of entry.spec.hosts ?? []) {
      const hostname = host.toLowerCase();
      if (registryHosts.has(hostname)) {
        problems.push(conflict(entry, hostname, 'a Service'));
        continue;
      }
      const key = `${common.namespace}/${hostname}`;
      const older = services.get(key);
      if (older === undefined) services.set(key, { ...common, hostname });
      else if (older.resolution === common.resolution) services.set(key, merge(older, { ...common, hostname }));
      else problems.push(conflict(entry, hostname, `the older ServiceEntry ${older.namespace}/${older.name}`));
    }
  }
  return [...services.values()].map(withOwnName);
}
