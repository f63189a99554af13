// Build: the addresses and ports at which an intercepted proxy expects its application's connections to services, and what it
// does with them. Several services may share an address: HTTP does, by the Host that requests name, and of TCP what server
// names or subnets tell apart.

import { isHttpProtocol } from '@lateen/istio-config';
import type { Problem } from '../../../model.js';
import type { ProxyView } from '../../../proxy-view.js';
import type { ClientScope } from '../../../resolve/client-scope.js';
import { chosenAddresses } from '../../../resolve/interception/endpoint-addresses.js';
import {
  familyOf,
  INBOUND_PORT,
  type Interception,
  OUTBOUND_PORT,
  serviceAddresses,
  wildcardsOf,
} from '../../../resolve/interception/interception.js';
import type { MeshPort, MeshService } from '../../../resolve/mesh-index.js';
import { goesWhereRequestsSay } from '../../clusters/forward-hosts.js';
import { listenerName } from '../../names.js';
import { type ConnectionTarget, outboundTargets, withoutRepeats } from '../../routes/tcp-destinations.js';

/** An address and port, and what is done with connections to it. */
export interface CapturedListener {
  readonly ip: string;
  readonly alsoAt: readonly string[];
  readonly port: number;
  /** Route configuration for HTTP; undefined: none is looked for. */
  rds: string | undefined;
  grpcWeb: boolean;
  targets: readonly ConnectionTarget[];
  /** The service that `rds` is for alone; undefined: all of the port. */
  readonly service: MeshService | undefined;
  /** The services that have a share in it, with their ports. */
  readonly parts: { readonly service: MeshService; readonly port: MeshPort }[];
}

export interface CapturedOutbound {
  /** By name. */
  readonly listeners: ReadonlyMap<string, CapturedListener>;
  readonly problems: readonly Problem[];
}

/** Ports that HTTP for any address is not taken at: the proxy's own, as in Istio. */
const OWN_PORTS: ReadonlySet<number> = new Set([OUTBOUND_PORT, INBOUND_PORT, 15_021, 15_090]);

/** Their servers speak first, so that nobody may wait for the first bytes of their clients. */
const SERVERS_FIRST: ReadonlySet<string> = new Set(['mongo', 'mysql']);

function isTls({ protocol }: MeshPort): boolean {
  return protocol === 'tls' || protocol === 'https';
}

/** `HOST:PORT`: route configuration of a service that is known by the address that was called, whatever requests name. */
export function addressedRouteName(host: string, port: number): string {
  return `${host}:${port}`;
}

/** Where the addresses of several families mean the same, one listener has them; others have one each. */
function groupsOf(service: MeshService, addresses: readonly string[]): readonly (readonly string[])[] {
  const families = new Set(addresses.map(familyOf));
  const isOne = addresses.length === families.size && (service.kind === 'Service' || service.addresses.length === 0);
  return isOne ? [addresses] : addresses.map((address) => [address]);
}

class CapturedBuilder {
  readonly listeners = new Map<string, CapturedListener>();
  readonly problems: Problem[] = [];
  private readonly wildcards: readonly string[];

  constructor(
    private readonly scope: ClientScope,
    private readonly interception: Interception,
  ) {
    this.wildcards = wildcardsOf(interception);
  }

  add(service: MeshService, port: MeshPort): void {
    if (isHttpProtocol(port.protocol)) {
      if (!OWN_PORTS.has(port.port)) this.put(this.wildcards, service, port, [], undefined);
      return;
    }
    // Nothing in plain bytes says which host of a wildcard they are for.
    if (port.tcp && !isTls(port) && goesWhereRequestsSay(service, true)) return;
    // Connections to one pod of a headless service are those of the service.
    if (service.memberOf !== undefined) return;
    const targets = outboundTargets(this.scope, service, port, this.problems, true);
    const { subnets = [] } = service;
    const addresses = serviceAddresses(service, this.interception);
    if (addresses.length + subnets.length === 0) this.addWithoutAddress(service, port, targets);
    for (const group of groupsOf(service, addresses)) this.put(group, service, port, targets, service);
    for (const subnet of subnets.filter((each) => this.interception.families.includes(familyOf(each)))) {
      const within = targets.map((target) => (target.subnets.length > 0 ? target : { ...target, subnets: [subnet] }));
      this.put(this.wildcards, service, port, named(service, port, within), undefined);
    }
  }

  /** At the addresses of who answers, where clients choose; else at any address. */
  private addWithoutAddress(service: MeshService, port: MeshPort, targets: readonly ConnectionTarget[]): void {
    const addresses = chosenAddresses(service, this.interception);
    for (const address of addresses) this.put([address], service, port, targets, service);
    // Without endpoints nobody can be called. A listener for any address would be in the way of others.
    if (addresses.length > 0 || service.kind === 'Service') return;
    this.put(this.wildcards, service, port, named(service, port, targets), undefined);
  }

  /** @param owner the service alone that the address stands for */
  private put(
    addresses: readonly string[],
    service: MeshService,
    port: MeshPort,
    targets: readonly ConnectionTarget[],
    owner: MeshService | undefined,
  ): void {
    const [ip, ...alsoAt] = addresses;
    if (ip === undefined) return;
    const name = listenerName(ip, port.port);
    const routes = owner === undefined ? String(port.port) : addressedRouteName(service.hostname, port.port);
    const rds = port.http ? routes : undefined;
    const grpcWeb = port.protocol === 'grpc-web';
    const part = { service, port };
    const before = this.listeners.get(name);
    if (before === undefined) {
      const listener = { ip, alsoAt, port: port.port, rds, grpcWeb, targets, service: owner, parts: [part] };
      this.listeners.set(name, listener);
      return;
    }
    const clashing = before.parts.find((each) => !mayShare(each.port, port));
    if (clashing !== undefined) {
      this.conflict(name, part, clashing.service);
      return;
    }
    const joined = withoutRepeats([...before.targets, ...targets]);
    const lost = before.targets.length + targets.length - joined.length;
    if (lost > 0)
      this.conflict(name, part, before.parts.find((each) => each.port.tcp || each.port.protocol === 'auto')?.service);
    before.targets = joined;
    before.rds ??= rds;
    before.grpcWeb ||= grpcWeb;
    before.parts.push(part);
  }

  private conflict(
    name: string,
    { service, port }: CapturedListener['parts'][number],
    other: MeshService | undefined,
  ): void {
    this.problems.push({
      code: 'conflict-outbound-listener',
      severity: 'warning',
      metric: 'pilot_conflict_outbound_listener_tcp_over_current_tcp',
      subject: `${service.kind}/${service.namespace}/${service.name}`,
      message: `nothing tells connections to ${service.hostname}:${port.port} (${name}) from those to ${other?.hostname ?? 'another service'}, which get them. Give the service an address of its own, or another port`,
    });
  }
}

/** At an address that stands for others too, the server name tells TLS of a service from other TLS. */
function named(
  service: MeshService,
  port: MeshPort,
  targets: readonly ConnectionTarget[],
): readonly ConnectionTarget[] {
  if (!isTls(port)) return targets;
  return targets.map((target) =>
    target.serverNames.length > 0 ? target : { ...target, serverNames: [service.hostname] },
  );
}

function mayShare(one: MeshPort, other: MeshPort): boolean {
  const isFirst = SERVERS_FIRST.has(one.protocol) || SERVERS_FIRST.has(other.protocol);
  return !isFirst || one.protocol === other.protocol;
}

function resolveCaptured(scope: ClientScope, interception: Interception): CapturedOutbound {
  const builder = new CapturedBuilder(scope, interception);
  const { ownListeners = [], isAddressed } = scope.sidecar ?? {};
  const ownPorts = new Set(ownListeners.filter(({ forwardProxy }) => !forwardProxy).map(({ port }) => port));
  for (const service of scope.services) {
    for (const port of service.ports.filter(({ http, tcp }) => http || tcp)) {
      // Called by a listener of its own, and not at the addresses of services.
      if (ownPorts.has(port.port) || isAddressed?.(service, port.port) === false) continue;
      builder.add(service, port);
    }
  }
  return builder;
}

const known = new WeakMap<ClientScope, Map<string, CapturedOutbound>>();

/** Worked out once for all proxies of a scope whose addresses are of the same families. */
export function capturedOutbound({ scope, interception }: ProxyView): CapturedOutbound {
  if (interception === undefined) return NOTHING;
  const ofScope = known.get(scope) ?? new Map<string, CapturedOutbound>();
  known.set(scope, ofScope);
  const captured = ofScope.get(interception.key) ?? resolveCaptured(scope, interception);
  ofScope.set(interception.key, captured);
  return captured;
}

const NOTHING: CapturedOutbound = { listeners: new Map(), problems: [] };
