// Resolve: which Sidecar resource holds for a proxy, and what it lets the proxy see of the mesh.

import type { ConfigObject } from '@lateen/istio-config';
import {
  hostsOverlap,
  isForwardProxy,
  type PortProtocol,
  protocolFromName,
  resolveShortHost,
  splitNamespacedHost,
} from '@lateen/istio-config';
import type { MeshSnapshot, Problem, StringMap } from '../model.js';
import { once } from '../once.js';
import { configsOf } from '../snapshot.js';
import { stableHash } from '../stable-hash.js';
import { type MeshPort, type MeshService, meshIndex, oncePerSnapshot } from './mesh-index.js';
import { sidecarConflicts, sidecarFor } from './sidecars.js';
import { boundGateways, MESH_GATEWAY } from './virtual-services.js';

type Sidecar = ConfigObject<'Sidecar'>;
type EgressListener = NonNullable<Sidecar['spec']['egress']>[number];

/** What happens to calls of hosts that a proxy does not know. */
export type OutboundMode = 'ALLOW_ANY' | 'REGISTRY_ONLY';

/** An egress listener that the application calls itself, in place of the addresses of the services. */
export interface OwnListener {
  readonly port: number;
  /** As written; empty: the loopback address. */
  readonly bind: string;
  readonly protocol: PortProtocol;
  /** Requests name hosts of any port: it is a forward proxy. */
  readonly forwardProxy: boolean;
  /** Where connections are intercepted, those to its address come by that. */
  readonly captured: boolean;
}

/** A service, or a subset of it, that takes calls of any host. */
export interface EgressProxy {
  /** The full host name. */
  readonly host: string;
  readonly port: number;
  /** Empty for the whole service. */
  readonly subset: string;
}

/** A Sidecar resource as it holds for the proxies of one namespace. */
export interface SidecarScope {
  /** `NAMESPACE/NAME` of the resource. */
  readonly name: string;
  /** Equal hashes mean that the same is seen of the same mesh. */
  readonly hash: string;
  /** Undefined where the mesh's setting counts. */
  readonly outboundMode: OutboundMode | undefined;
  /** Where calls of unknown hosts go. */
  readonly egressProxy: EgressProxy | undefined;
  /** Ports that have an egress listener of their own; all others share the one without a port. */
  readonly ownPorts: ReadonlySet<number>;
  /** Those of them that are listened on at an address of their own. */
  readonly ownListeners: readonly OwnListener[];
  /** Whether a service is called at addresses of services on a port; undefined: all that are seen are. */
  readonly isAddressed: ((service: MeshService, port: number) => boolean) | undefined;
  /** Whether a forward proxy of its own, by port, takes in a service. */
  takesThrough(proxyPort: number, service: MeshService): boolean;
  /** The ports of a service that may be called. */
  visiblePorts(service: MeshService): readonly MeshPort[];
  /**
   * Whether a host of a VirtualService is taken in.
   *
   * @param host the full host name, or a wildcard
   * @param namespace of the VirtualService
   * @param port of the call; undefined: whether any listener takes it in
   */
  takesInHost(host: string, namespace: string, port?: number): boolean;
  problems(): readonly Problem[];
}

/** A host of an egress listener, with `.` resolved. */
interface EgressHost {
  readonly text: string;
  /** `*` for any. */
  readonly namespace: string;
  readonly host: string;
}

function egressHosts(listener: EgressListener, clientNamespace: string): EgressHost[] {
  return listener.hosts.flatMap((text) => {
    const { namespace, host } = splitNamespacedHost(text);
    if (namespace === undefined || namespace === '~') return [];
    return [{ text, namespace: namespace === '.' ? clientNamespace : namespace, host }];
  });
}

/** A short name means the service of that name in those namespaces: Lateen's reading; Istio takes it literally. */
function takesIn(entry: EgressHost, host: string, owner: string, serviceNamespace: string, domain: string): boolean {
  if (entry.namespace !== '*' && entry.namespace !== owner) return false;
  return hostsOverlap(resolveShortHost(entry.host, serviceNamespace, domain), host);
}

/** The namespace in a service's host name; a VirtualService may stand in another one. */
function namespaceOfHost(host: string, fallback: string, domain: string): string {
  const suffix = `.svc.${domain}`;
  if (!host.endsWith(suffix)) return fallback;
  return host.slice(0, -suffix.length).split('.').at(-1) ?? fallback;
}

interface Listener {
  readonly port: number | undefined;
  /** Its own address, where it has one. */
  readonly own: OwnListener | undefined;
  readonly hosts: readonly EgressHost[];
}

/** As in Istio: with an address, or where nothing is to be captured, the application calls the listener by its port. */
function ownListener({ port, bind = '', captureMode }: EgressListener): OwnListener | undefined {
  if (!port?.number) return undefined;
  // Nothing is captured on its way to a forward proxy.
  if (isForwardProxy(port.protocol))
    return { port: port.number, bind, protocol: 'http', forwardProxy: true, captured: false };
  if (bind === '' && captureMode !== 'NONE') return undefined;
  const protocol = protocolFromName(port.protocol ?? '') ?? 'auto';
  return { port: port.number, bind, protocol, forwardProxy: false, captured: captureMode !== 'NONE' };
}

/** Without `egress` a Sidecar lets everything through, as in Istio. */
function listenersOf({ spec }: Sidecar, clientNamespace: string): Listener[] {
  const declared = spec.egress ?? [];
  const all = { text: '*/*', namespace: '*', host: '*' };
  if (declared.length === 0) return [{ port: undefined, own: undefined, hosts: [all] }];
  return declared.map((listener) => ({
    port: listener.port?.number,
    own: ownListener(listener),
    hosts: egressHosts(listener, clientNamespace),
  }));
}

/** As in Istio only where unknown hosts may be called. */
function egressProxyOf({ metadata, spec }: Sidecar, domain: string): EgressProxy | undefined {
  const { mode, egressProxy } = spec.outboundTrafficPolicy ?? {};
  if (mode !== 'ALLOW_ANY' || egressProxy === undefined) return undefined;
  const host = resolveShortHost(egressProxy.host, metadata.namespace, domain);
  return { host, port: egressProxy.port?.number ?? 0, subset: egressProxy.subset ?? '' };
}

function createScope(snapshot: MeshSnapshot, sidecar: Sidecar, clientNamespace: string): SidecarScope {
  const { clusterDomain } = snapshot;
  const listeners = listenersOf(sidecar, clientNamespace);
  const proxies = listeners.filter(({ own }) => own?.forwardProxy === true);
  const byPort = new Map(
    listeners.flatMap((each) =>
      each.port === undefined || proxies.includes(each) ? [] : [[each.port, each] as const],
    ),
  );
  const shared = listeners.find(({ port }) => port === undefined);
  const listenerFor = (port: number) => byPort.get(port) ?? shared;
  const takesService = (listener: Listener | undefined, { hostname, namespace }: MeshService) =>
    listener?.hosts.some((entry) => takesIn(entry, hostname, namespace, namespace, clusterDomain)) === true;
  const takesHost = (listener: Listener | undefined, host: string, owner: string) => {
    const namespace = namespaceOfHost(host, owner, clusterDomain);
    return listener?.hosts.some((entry) => takesIn(entry, host, owner, namespace, clusterDomain)) === true;
  };
  const { namespace, name } = sidecar.metadata;
  const outboundMode = sidecar.spec.outboundTrafficPolicy?.mode;
  const egressProxy = egressProxyOf(sidecar, clusterDomain);
  return {
    name: `${namespace}/${name}`,
    hash: stableHash([namespace, name, listeners, outboundMode, ...(egressProxy === undefined ? [] : [egressProxy])]),
    outboundMode,
    egressProxy,
    ownPorts: new Set(byPort.keys()),
    ownListeners: [...byPort.values(), ...proxies].flatMap(({ own }) => own ?? []),
    isAddressed: proxies.length === 0 ? undefined : (service, port) => takesService(listenerFor(port), service),
    takesThrough: (proxyPort, service) =>
      proxies.some((proxy) => proxy.port === proxyPort && takesService(proxy, service)),
    visiblePorts: (service) =>
      service.ports.filter(({ port }) =>
        [listenerFor(port), ...proxies].some((listener) => takesService(listener, service)),
      ),
    takesInHost: (host, owner, port) =>
      port === undefined
        ? listeners.some((listener) => takesHost(listener, host, owner))
        : [listenerFor(port), ...proxies].some((listener) => takesHost(listener, host, owner)),
    problems: once(() => [
      ...sidecarConflicts(snapshot, namespace),
      ...hostsOfNothing(snapshot, sidecar, listeners, clientNamespace),
    ]),
  };
}

/** Hosts that are no service and no host of the mesh's VirtualServices: most often a misspelt name, or a short one without its namespace. */
function hostsOfNothing(
  snapshot: MeshSnapshot,
  { metadata }: Sidecar,
  listeners: readonly Listener[],
  clientNamespace: string,
): Problem[] {
  const { clusterDomain: domain } = snapshot;
  const { services } = meshIndex(snapshot);
  const ruleHosts = configsOf(snapshot, 'VirtualService').flatMap((rule) => {
    const owner = rule.metadata.namespace;
    // Sidecars do not follow rules of other gateways, and `*` names nothing that could be called.
    if (!boundGateways(rule).includes(MESH_GATEWAY)) return [];
    const hosts = (rule.spec.hosts ?? []).filter((host) => host !== '*');
    return hosts.map((host) => ({ host: resolveShortHost(host, owner, domain), owner }));
  });
  const leadsNowhere = (entry: EgressHost) =>
    entry.host !== '*' &&
    !services.some(({ hostname, namespace }) => takesIn(entry, hostname, namespace, namespace, domain)) &&
    !ruleHosts.some(({ host, owner }) => takesIn(entry, host, owner, namespaceOfHost(host, owner, domain), domain));
  const entries = new Set(listeners.flatMap(({ hosts }) => hosts.filter(leadsNowhere).map(({ text }) => text)));
  return [...entries].map((text) => ({
    code: 'unknown-egress-host',
    severity: 'warning' as const,
    subject: `Sidecar/${metadata.namespace}/${metadata.name}`,
    message: `egress host ${text} is no service and no host of a VirtualService; workloads of namespace ${clientNamespace} can call nothing by it. Correct it, or remove it`,
  }));
}

const knownScopes = oncePerSnapshot(() => new Map<string, SidecarScope>());

/**
 * The Sidecar that holds for a proxy; undefined where none does, and the proxy sees all that is exported to it. The same
 * object for all proxies of a namespace for which it is the same resource.
 */
export function resolveSidecarScope(
  snapshot: MeshSnapshot,
  namespace: string,
  labels: StringMap,
): SidecarScope | undefined {
  const sidecar = sidecarFor(snapshot, namespace, labels);
  if (sidecar === undefined) return undefined;
  const scopes = knownScopes(snapshot);
  const key = `${namespace}/${sidecar.metadata.namespace}/${sidecar.metadata.name}`;
  const scope = scopes.get(key) ?? createScope(snapshot, sidecar, namespace);
  scopes.set(key, scope);
  return scope;
}
