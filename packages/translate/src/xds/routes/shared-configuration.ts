// Build: a sidecar's route configuration: nearly all of it is the same for all sidecars that see the same, and is built
// and encoded once; a sidecar's own are the domains of the addresses that it binds for services.

import { create, toBinary } from '@bufbuild/protobuf';
import { type VirtualHost, VirtualHostSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { type ExtensibleRouteFacts, type RouteFacts, routeFacts } from '../../consistency.js';
import type { Problem } from '../../model.js';
import { once } from '../../once.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import { compareText } from '../../stable-hash.js';
import { virtualHostName } from '../names.js';
import { DomainOwners, domainsOf, hostForm, serviceNames } from './domains.js';
import { encodeWithDomains } from './encode-configuration.js';
import type { HostRoutes } from './host-routes.js';

/** A virtual host with the domains that it has for all sidecars; a sidecar may add some. */
export interface SharedVirtualHost {
  /** Undefined for a host that is no service. */
  readonly service: MeshService | undefined;
  readonly port: number;
  readonly withoutPort: boolean;
  /** Without domains it is served only with those that a sidecar adds. */
  readonly message: VirtualHost;
  /** The message's bytes. */
  readonly bytes: () => Uint8Array;
}

/** A route configuration but for a sidecar's own domains. */
export interface SharedConfiguration {
  /** Without virtual hosts. */
  readonly message: RouteConfiguration;
  /** In the order of names, the last resort last. */
  readonly virtualHosts: readonly SharedVirtualHost[];
  readonly owners: DomainOwners;
  readonly facts: () => ExtensibleRouteFacts;
}

export interface SharedConfigurationInput {
  readonly name: string;
  readonly clientNamespace: string;
  readonly hosts: readonly HostRoutes[];
  /** Whether the hosts of a port are also known by their names alone. */
  readonly withoutPort: (port: number) => boolean;
  readonly lastResort: VirtualHost;
  /** Whether requests say how often they were tried. */
  readonly includeRequestAttemptCount: boolean;
}

function sharedVirtualHost(
  message: VirtualHost,
  service: MeshService | undefined,
  port: number,
  withoutPort: boolean,
): SharedVirtualHost {
  return { message, service, port, withoutPort, bytes: once(() => toBinary(VirtualHostSchema, message)) };
}

/** Builds what sidecars share. A service's full name is its own whatever a VirtualService's host is. */
export function shareConfiguration(input: SharedConfigurationInput, problems: Problem[]): SharedConfiguration {
  const { name, clientNamespace, hosts, lastResort, includeRequestAttemptCount } = input;
  const owners = new DomainOwners();
  // Hosts of VirtualServices first: they were written on purpose, a service's short names were not.
  const ordered = [...hosts.filter(({ service }) => !service), ...hosts.filter(({ service }) => service)];
  const virtualHosts = ordered.map(({ host, port, service, routes }) => {
    const withoutPort = input.withoutPort(port);
    const names = service === undefined ? [host] : serviceNames(service, clientNamespace);
    const hostName = virtualHostName(host, port);
    const domains = owners.claim(domainsOf(names, port, withoutPort), hostName, problems);
    const message = create(VirtualHostSchema, {
      name: hostName,
      domains,
      routes: [...routes],
      includeRequestAttemptCount,
    });
    return sharedVirtualHost(message, service, port, withoutPort);
  });
  virtualHosts.sort((a, b) => compareText(a.message.name, b.message.name));
  // A VirtualService for `*` takes the place of the last resort.
  if (!owners.has('*')) virtualHosts.push(sharedVirtualHost(lastResort, undefined, 0, true));
  const message = create(RouteConfigurationSchema, { name, maxDirectResponseBodySizeBytes: 1_048_576 });
  const all = () => ({ ...message, virtualHosts: virtualHosts.map((virtualHost) => virtualHost.message) });
  return { message, virtualHosts, owners, facts: once(() => routeFacts(all())) };
}

/** A sidecar's route configuration: the shared one, and the domains that it adds, by virtual host. */
export class OwnConfiguration {
  private readonly added = new Map<SharedVirtualHost, readonly string[]>();

  /** @param addresses the addresses that stand for services at this sidecar */
  constructor(
    private readonly shared: SharedConfiguration,
    addresses: ReadonlyMap<MeshService, readonly string[]>,
    problems: Problem[],
  ) {
    const owners = new DomainOwners(shared.owners);
    for (const virtualHost of shared.virtualHosts) {
      const { service, port, withoutPort, message } = virtualHost;
      const own = service && addresses.get(service);
      // The address of a wildcard names none of its hosts.
      if (own === undefined || service?.hostname.startsWith('*')) continue;
      const domains = owners.claim(domainsOf(own.map(hostForm), port, withoutPort), message.name, problems);
      if (domains.length > 0) this.added.set(virtualHost, domains);
    }
  }

  get name(): string {
    return this.shared.message.name;
  }

  build(): RouteConfiguration {
    const virtualHosts = this.served().map((virtualHost) => {
      const added = this.added.get(virtualHost);
      const { message } = virtualHost;
      return added === undefined ? message : { ...message, domains: [...message.domains, ...added] };
    });
    return { ...this.shared.message, virtualHosts };
  }

  /** The bytes of `build()` (a field's place in a message does not matter), for much less. */
  encode(): Uint8Array {
    const head = toBinary(RouteConfigurationSchema, this.shared.message);
    const hosts = this.served().map((virtualHost) => ({
      bytes: virtualHost.bytes(),
      added: this.added.get(virtualHost) ?? [],
    }));
    return encodeWithDomains(head, hosts);
  }

  /** What the check before serving asks of `build()`. */
  facts(): RouteFacts {
    const { clusters, domains, duplicates } = this.shared.facts();
    const own = new Map<string, string>();
    const found = [...duplicates];
    for (const [{ message }, added] of this.added) {
      for (const text of added) {
        const domain = text.toLowerCase();
        const owner = domains.get(domain) ?? own.get(domain);
        own.set(domain, message.name);
        if (owner !== undefined) {
          found.push({ code: 'duplicate-domain', message: `${domain} is in ${owner} and in ${message.name}` });
        }
      }
    }
    return { clusters, duplicates: found };
  }

  private served(): readonly SharedVirtualHost[] {
    return this.shared.virtualHosts.filter(
      (virtualHost) => virtualHost.message.domains.length > 0 || this.added.has(virtualHost),
    );
  }
}
