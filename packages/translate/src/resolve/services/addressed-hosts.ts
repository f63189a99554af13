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

/**
 * The ports that an address is of use for. Of a wildcard that nobody resolved the ClientHello, or the request, says the
 * host: plain bytes do not.
 */
function calledPorts({ hostname, resolution, ports }: MeshService): MeshService['ports'] {
  const byName = hostname.startsWith('*') && (resolution === 'FORWARD' || resolution === 'PASSTHROUGH');
  return byName ? ports.filter(({ http, protocol }) => http || protocol === 'tls' || protocol === 'https') : ports;
}

function join(before: AddressedHost | undefined, service: MeshService, namespaces: readonly string[]): AddressedHost {
  const ports = new Map(
    [...(before?.ports ?? []), ...calledPorts(service)].map(({ name, port }) => [port, { name, port }]),
  );
  const everywhere = namespaces.length === 0 || before?.namespaces.length === 0;
  return {
    host: service.hostname,
    namespaces: everywhere ? [] : [...new Set([...(before?.namespaces ?? []), ...namespaces])].sort(compareText),
    ports: [...ports.values()].sort((a, b) => a.port - b.port),
  };
}

/** By host. All hosts of a wildcard are called at one address. */
export function addressedHosts(snapshot: MeshSnapshot): readonly AddressedHost[] {
  const byHost = new Map<string, AddressedHost>();
  for (const service of meshIndex(snapshot).services) {
    if (service.kind !== 'ServiceEntry' || calledPorts(service).length === 0) continue;
    const namespaces = namespacesOf(service);
    if (namespaces === undefined) continue;
    byHost.set(service.hostname, join(byHost.get(service.hostname), service, namespaces));
  }
  return [...byHost.values()];
}
