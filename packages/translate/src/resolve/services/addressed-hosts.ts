// Resolve: the hosts of ServiceEntries that pods without interception need addresses for, as they do for services.

import type { MeshSnapshot } from '../../model.js';
import { compareText } from '../../stable-hash.js';
import { type MeshService, meshIndex } from '../mesh-index.js';

/** A host that is called by an address of the pod's own. */
export interface AddressedHost {
  readonly host: string;
  /** Namespaces whose pods see it; empty: all. */
  readonly namespaces: readonly string[];
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

/** Empty: all; undefined: none. */
function namespacesOf({ exportTo, namespace }: MeshService): readonly string[] | undefined {
  if (exportTo.length === 0 || exportTo.includes('*')) return [];
  const names = exportTo.filter((target) => target !== '~').map((target) => (target === '.' ? namespace : target));
  return names.length === 0 ? undefined : names;
}

function join(before: AddressedHost | undefined, service: MeshService, namespaces: readonly string[]): AddressedHost {
  const ports = new Map([...(before?.ports ?? []), ...service.ports].map(({ name, port }) => [port, { name, port }]));
  const everywhere = namespaces.length === 0 || before?.namespaces.length === 0;
  return {
    host: service.hostname,
    namespaces: everywhere ? [] : [...new Set([...(before?.namespaces ?? []), ...namespaces])].sort(compareText),
    ports: [...ports.values()].sort((a, b) => a.port - b.port),
  };
}

/** By host. A wildcard has no address: it is called by name, through the forward proxy. */
export function addressedHosts(snapshot: MeshSnapshot): readonly AddressedHost[] {
  const byHost = new Map<string, AddressedHost>();
  for (const service of meshIndex(snapshot).services) {
    if (service.kind !== 'ServiceEntry' || service.hostname.startsWith('*') || service.ports.length === 0) continue;
    const namespaces = namespacesOf(service);
    if (namespaces === undefined) continue;
    byHost.set(service.hostname, join(byHost.get(service.hostname), service, namespaces));
  }
  return [...byHost.values()];
}
