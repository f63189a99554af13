// Build: the domains of virtual hosts: the forms in which a host may be named, each given to one virtual host only.

import type { Problem } from '../../model.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import type { ServiceAlias } from '../../resolve/services/service-declaration.js';

/**
 * The names of a service without port, most specific first: short forms of the registry's services count from the
 * caller's namespace; a ServiceEntry has its host. Addresses, and the names of those that are aliases, come last.
 */
export function serviceNames(service: MeshService, clientNamespace: string): string[] {
  const { hostname } = service;
  const aliases = (service.aliases ?? []).flatMap((alias) => namesInMesh(alias, clientNamespace));
  const addresses = service.addresses.map(hostForm);
  if (service.kind === 'ServiceEntry') return [hostname, ...addresses, ...aliases];
  return [...namesInMesh(service, clientNamespace), ...addresses, ...aliases];
}

function namesInMesh({ hostname, name, namespace }: ServiceAlias, clientNamespace: string): string[] {
  const names = [hostname, `${name}.${namespace}.svc`, `${name}.${namespace}`];
  return namespace === clientNamespace ? [...names, name] : names;
}

/** The forms of names in a Host header; also without port where the port is known from the listener, or is HTTP's own. */
export function domainsOf(names: readonly string[], port: number, withoutPort: boolean): string[] {
  return names.flatMap((name) => {
    const withPort = name === '*' ? [] : [`${name}:${port}`];
    return withoutPort ? [name, ...withPort] : withPort;
  });
}

/** IPv6 addresses stand in brackets in a Host header. */
export function hostForm(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Gives each domain to the first virtual host that asks for it, and reports the others. Case does not matter. */
export class DomainOwners {
  private readonly owners = new Map<string, string>();

  /** @param before domains that are given already, and stay as they are */
  constructor(private readonly before?: DomainOwners) {}

  /** Those of the domains that the virtual host gets. */
  claim(domains: readonly string[], virtualHost: string, problems: Problem[]): string[] {
    return domains.filter((domain) => {
      const key = domain.toLowerCase();
      const owner = this.before?.owners.get(key) ?? this.owners.get(key);
      if (owner === undefined) {
        this.owners.set(key, virtualHost);
        return true;
      }
      if (owner !== virtualHost) {
        problems.push({
          code: 'conflict-domain',
          severity: 'warning',
          metric: 'pilot_vservice_dup_domain',
          subject: `VirtualHost/${virtualHost}`,
          message: `${domain} already means ${owner}; it does not lead to ${virtualHost}`,
        });
      }
      return false;
    });
  }

  has(domain: string): boolean {
    return this.owners.has(domain);
  }
}
