// Translate: what one proxy sees of the mesh. The only step that knows the proxy; the builders read nothing but the view.

import { PROXY_CONFIG_ANNOTATION, type ProxyConfig, parseProxyConfig } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, ProxyNode, ProxyType, StringMap, Workload } from './model.js';
import { once } from './once.js';
import { type ProxyHeaders, resolveProxyHeaders } from './proxy-headers.js';
import { type ClientScope, resolveClientScope } from './resolve/client-scope.js';
import { type Credentials, NO_CREDENTIALS, resolveCredentials } from './resolve/credentials.js';
import { delegation } from './resolve/delegation/delegation.js';
import { type GatewayListener, resolveGateways } from './resolve/gateways.js';
import { type InboundPort, resolveInboundPorts } from './resolve/inbound-ports.js';
import { chosenAddresses } from './resolve/interception/endpoint-addresses.js';
import { type Interception, resolveInterception } from './resolve/interception/interception.js';
import { type PassthroughPort, resolvePassthroughPorts } from './resolve/interception/passthrough-ports.js';
import { type ClientPlace, resolveClientPlace } from './resolve/locality/client-place.js';
import { localityOfLabels } from './resolve/locality/locality.js';
import { type MeshIndex, type MeshPort, type MeshService, meshIndex } from './resolve/mesh-index.js';
import { type OwnOutbound, resolveOwnOutbound } from './resolve/own-listeners.js';
import { contentHash, stableHash } from './stable-hash.js';

/** An address that the sidecar binds for calls to a service port. */
export interface OutboundAddress {
  readonly address: string;
  readonly service: MeshService;
  readonly port: MeshPort;
}

export interface OutboundAddresses {
  /** Sorted by address and port. */
  readonly addresses: readonly OutboundAddress[];
  readonly problems: readonly Problem[];
}

/** What stands between a gateway and its clients. */
export type GatewayTopology = NonNullable<ProxyConfig['gatewayTopology']>;

/** What one proxy sees; made by {@link resolveProxyView}, read by the builders. */
export interface ProxyView {
  readonly snapshot: MeshSnapshot;
  readonly type: ProxyType;
  readonly namespace: string;
  /** The address that its listeners are bound to. */
  readonly address: string;
  /** Undefined where its application has to call it by itself, and of gateways. */
  readonly interception: Interception | undefined;
  /** It may be sent `istio.*` filters. */
  readonly understandsIstioFilters: boolean;
  /** The headers that it sets by itself. */
  readonly proxyHeaders: ProxyHeaders;
  /** A gRPC client without a proxy: nobody listens for it, nor calls it through us. */
  readonly proxyless: boolean;
  /** Shared by all proxies that see the same as clients. */
  readonly scope: ClientScope;
  /** Which endpoints are near. */
  readonly place: ClientPlace;
  readonly inboundPorts: readonly InboundPort[];
  /** How it takes calls to all other ports; none where nothing leads them to it. */
  readonly passthroughPorts: readonly PassthroughPort[];
  /** The addresses that it binds for services; worked out when first asked for. */
  outbound(): OutboundAddresses;
  /** Egress listeners that a Sidecar has at addresses of their own. */
  readonly ownOutbound: readonly OwnOutbound[];
  /** Hash of what `outbound` is worked out from. */
  outboundHash(): string;
  readonly gatewayListeners: readonly GatewayListener[];
  /** What stands before it, of a gateway; of others nothing. */
  readonly gatewayTopology: GatewayTopology;
  /** Connections to its gateway listeners begin with a header of the PROXY protocol. */
  readonly proxyProtocol: boolean;
  /** The Secrets that it may use. */
  readonly credentials: Credentials;
  /** Further addresses of gateway listeners, `IP:PORT` lists by listener port. */
  readonly extraBindAddresses: StringMap;
  /** Warnings about configuration as this proxy sees it, and about the snapshot. */
  readonly problems: readonly Problem[];
}

function resolveOutboundAddresses(scope: ClientScope, serviceAddresses: StringMap, podKey: string): OutboundAddresses {
  const byListener = new Map<string, OutboundAddress>();
  const problems: Problem[] = [];
  const own = scope.sidecar?.ownListeners.filter(({ forwardProxy }) => !forwardProxy);
  const ownPorts = new Set(own?.map(({ port }) => port));
  const isAddressed = scope.sidecar?.isAddressed;
  for (const service of scope.services) {
    const address = serviceAddresses[service.hostname];
    if (address === undefined) continue;
    for (const port of service.ports.filter(({ http, tcp }) => http || tcp)) {
      // Called by a listener of its own, and not at the addresses of services.
      if (ownPorts.has(port.port) || isAddressed?.(service, port.port) === false) continue;
      const name = `${address}_${port.port}`;
      const before = byListener.get(name);
      if (before === undefined) {
        byListener.set(name, { address, service, port });
        continue;
      }
      problems.push({
        code: 'conflict-outbound-listener',
        severity: 'warning',
        metric: 'pilot_conflict_outbound_listener_tcp_over_current_tcp',
        subject: `Workload/${podKey}`,
        message: `${address}:${port.port} is given to ${before.service.hostname} and to ${service.hostname}; the first has it. The registry must give each service an address of its own`,
      });
    }
  }
  const names = [...byListener.keys()].sort();
  return { addresses: names.map((name) => byListener.get(name)!), problems };
}

const capturedHashes = new WeakMap<ClientScope, Map<string, string>>();

/** What is captured depends on which addresses services have, and headless ones the pods. The same for all of a scope. */
function capturedHash(scope: ClientScope, interception: Interception | undefined): string {
  if (interception === undefined) return 'none';
  const ofScope = capturedHashes.get(scope) ?? new Map<string, string>();
  capturedHashes.set(scope, ofScope);
  let hash = ofScope.get(interception.key);
  if (hash === undefined) {
    const { services, hashes, sidecar } = scope;
    const addresses = services.map((service) => [service.autoAddresses, chosenAddresses(service, interception)]);
    hash = stableHash([hashes().declarations, sidecar?.hash, interception.key, addresses]);
    ofScope.set(interception.key, hash);
  }
  return hash;
}

/** The gateway's own settings count before those of the mesh, as in Istio. */
function topologyOf({ meshConfig }: MeshSnapshot, workload: Workload | undefined): GatewayTopology {
  const own = parseProxyConfig(workload?.annotations[PROXY_CONFIG_ANNOTATION])?.gatewayTopology;
  return own ?? meshConfig.defaultConfig?.gatewayTopology ?? NO_TOPOLOGY;
}

const NO_TOPOLOGY: GatewayTopology = {};
const NO_ADDRESSES: StringMap = {};
const NO_PORTS = { ports: [], problems: [] };
const NO_LISTENERS = { listeners: [], problems: [] };

/** It calls, and that is all. */
function proxylessView(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  workload: Workload | undefined,
  scope: ClientScope,
  place: ClientPlace,
): ProxyView {
  return {
    snapshot,
    type: proxy.type,
    namespace: proxy.namespace,
    address: workload?.address ?? proxy.ipAddress,
    interception: undefined,
    understandsIstioFilters: false,
    proxyHeaders: {},
    proxyless: true,
    scope,
    place,
    inboundPorts: [],
    passthroughPorts: [],
    outbound: () => ({ addresses: [], problems: [] }),
    ownOutbound: [],
    outboundHash: () => 'none',
    gatewayListeners: [],
    credentials: NO_CREDENTIALS,
    gatewayTopology: NO_TOPOLOGY,
    proxyProtocol: false,
    extraBindAddresses: {},
    problems: [
      ...snapshot.problems,
      ...meshIndex(snapshot).problems,
      ...delegation(snapshot).problems,
      ...scope.problems,
    ],
  };
}

/** The machine of a proxy, as the registry knows it, else as Istio's nodes say it; empty where there is only one. */
function nodeOf({ metadata }: ProxyNode, workload: Workload | undefined): string {
  const said = metadata.NODE_NAME;
  return workload?.node || (typeof said === 'string' && workload === undefined ? said : '');
}

/** The sidecar of a WorkloadEntry is known by its address, and by its service account where the entry says one. */
function workloadOfEntry({ workloadByEntry }: MeshIndex, proxy: ProxyNode): Workload | undefined {
  if (proxy.type !== 'sidecar') return undefined;
  const workload = workloadByEntry.get(`${proxy.namespace}/${proxy.ipAddress}`);
  const isSame = workload?.serviceAccount === '' || workload?.serviceAccount === proxy.serviceAccount;
  return isSame ? workload : undefined;
}

/**
 * Resolves what a proxy sees: its namespace, labels and addresses as the registry knows them (the node's own word
 * counts where the registry does not know the pod). The builders see only the result.
 *
 * @param authenticated whether a certificate has proved that the proxy is what its node says; without, it gets no Secrets
 */
export function resolveProxyView(snapshot: MeshSnapshot, proxy: ProxyNode, authenticated = false): ProxyView {
  const index = meshIndex(snapshot);
  const podKey = `${proxy.namespace}/${proxy.podName}`;
  const workload = index.workloadByName.get(podKey) ?? workloadOfEntry(index, proxy);
  const labels = workload?.labels ?? proxy.labels;
  const scope = resolveClientScope(snapshot, {
    type: proxy.type,
    namespace: proxy.namespace,
    labels,
    node: nodeOf(proxy, workload),
  });
  // As in Istio: the registry's word counts before the node's own.
  const locality = workload?.locality || localityOfLabels(labels) || proxy.locality;
  const place = resolveClientPlace(snapshot, locality, labels, nodeOf(proxy, workload));
  const isSidecar = proxy.type === 'sidecar';
  if (proxy.proxyless) return proxylessView(snapshot, proxy, workload, scope, place);
  const address = workload?.address ?? proxy.ipAddress;
  const interception = resolveInterception(proxy, [address, ...(workload?.otherAddresses ?? [])]);
  const intercepted = interception !== undefined;
  const inbound = isSidecar && workload !== undefined ? resolveInboundPorts(snapshot, workload, intercepted) : NO_PORTS;
  const credentials = resolveCredentials(snapshot, proxy, workload, authenticated);
  // Of a namespace that is left out the policies are not known, so that what they refuse would be let in.
  const listens = !isSidecar && snapshot.discovers(proxy.namespace);
  const gateways = !listens ? NO_LISTENERS : resolveGateways(snapshot, proxy, labels, workload, credentials);
  const bindsServices = isSidecar && !intercepted && Object.keys(workload?.serviceAddresses ?? {}).length > 0;
  const serviceAddresses = bindsServices ? workload!.serviceAddresses : NO_ADDRESSES;
  const ownOutbound = resolveOwnOutbound(scope.sidecar, scope.services, address);
  const own: Problem[] = [...inbound.problems, ...gateways.problems, ...ownOutbound.problems];
  if (workload === undefined) {
    own.push({
      code: 'unknown-workload',
      severity: 'warning',
      subject: `Workload/${podKey}`,
      message: snapshot.discovers(proxy.namespace)
        ? `the registry does not know this pod: it gets no inbound listeners and no service addresses until it does`
        : `discoverySelectors leave out namespace ${proxy.namespace}: its pods get no inbound listeners and no service addresses. Give the namespace a label that one of the selectors asks for`,
    });
  }
  const gatewayTopology = isSidecar ? NO_TOPOLOGY : topologyOf(snapshot, workload);
  return {
    snapshot,
    type: proxy.type,
    namespace: proxy.namespace,
    address,
    interception,
    understandsIstioFilters: proxy.understandsIstioFilters,
    proxyHeaders: resolveProxyHeaders(snapshot, workload),
    proxyless: false,
    scope,
    place,
    inboundPorts: inbound.ports,
    passthroughPorts:
      intercepted && snapshot.discovers(proxy.namespace)
        ? resolvePassthroughPorts(snapshot, { namespace: proxy.namespace, labels }, inbound.ports)
        : [],
    outbound: once(() => resolveOutboundAddresses(scope, serviceAddresses, podKey)),
    ownOutbound: ownOutbound.listeners,
    outboundHash: once(() =>
      serviceAddresses === NO_ADDRESSES
        ? capturedHash(scope, interception)
        : stableHash([podKey, scope.hashes().declarations, scope.sidecar?.hash, contentHash(serviceAddresses)]),
    ),
    gatewayListeners: gateways.listeners,
    credentials,
    gatewayTopology,
    proxyProtocol: gatewayTopology.proxyProtocol !== undefined,
    extraBindAddresses: workload?.extraBindAddresses ?? {},
    problems: [...snapshot.problems, ...index.problems, ...delegation(snapshot).problems, ...scope.problems, ...own],
  };
}
