// Resolve: the servers that a gateway proxy runs, from the Gateway resources that select it.

import type { ConfigObject, Server } from '@lateen/istio-config';
import { protocolFromName, selectorMatches, splitNamespacedHost } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, ProxyNode, StringMap, Workload } from '../model.js';
import { configsOf } from '../snapshot.js';
import { compareText } from '../stable-hash.js';
import type { Credentials } from './credentials.js';
import {
  faultOfCredentials,
  type ServerKind,
  serverKind,
  type TerminatedTls,
  takesTls,
  terminatedTls,
} from './gateway-tls.js';
import { meshIndex } from './mesh-index.js';

/** A host of a server: which namespaces' VirtualServices may bind to it. */
export interface ServerHost {
  /** A namespace, or `*`. */
  readonly namespace: string;
  readonly host: string;
}

export interface GatewayServer {
  /** `NAMESPACE/NAME` of the Gateway. */
  readonly gateway: string;
  /** As the Gateway says it. */
  readonly port: number;
  readonly portName: string;
  readonly hosts: readonly ServerHost[];
  readonly kind: ServerKind;
  /** Its protocol is GRPC-WEB. */
  readonly grpcWeb: boolean;
  readonly httpsRedirect: boolean;
  /** TLS that is terminated here. */
  readonly tls: TerminatedTls | undefined;
}

/** Which servers share a port: those of plain HTTP by host, those with TLS by server name; plain TCP has it alone. */
export type GatewayLayer = 'http' | 'tls' | 'tcp';

/** All servers that share a listener. */
export interface GatewayListener {
  /** The port that is listened on. */
  readonly port: number;
  /** The address that is listened on, as the servers say it; empty: the gateway's own. */
  readonly bind: string;
  readonly layer: GatewayLayer;
  readonly servers: readonly GatewayServer[];
}

/** Ports that need no privilege, in place of those that do (CONTRACTS "Ports"). */
const UNPRIVILEGED: Readonly<Record<number, number>> = { 80: 8080, 443: 8443 };

/**
 * The port that a server listens on: the target port of the gateway's Service for that port, else the port itself; a
 * proxy that nobody redirects to cannot bind a privileged port and takes the well-known one in its place. In a cluster the
 * Service is believed: that is where connections come, and pods may be allowed to bind any port.
 */
function listenPort(snapshot: MeshSnapshot, proxy: ProxyNode, workload: Workload | undefined, port: number): number {
  const served = workload === undefined ? [] : (meshIndex(snapshot).servedBy.get(workload) ?? []);
  const led = served.find((candidate) => candidate.port.port === port)?.port.targetPort;
  if (led !== undefined && workload?.takesEveryPort === true) return led;
  const target = led ?? port;
  return proxy.interceptionMode === 'NONE' ? (UNPRIVILEGED[target] ?? target) : target;
}

function serverHosts(server: Server, gatewayNamespace: string): readonly ServerHost[] {
  return server.hosts.map((text) => {
    const { namespace, host } = splitNamespacedHost(text);
    const own = namespace === '.' ? gatewayNamespace : (namespace ?? '*');
    return { namespace: own, host: host.toLowerCase() };
  });
}

function layerOf(server: Server, kind: ServerKind): GatewayLayer {
  if (takesTls(server)) return 'tls';
  return kind === 'http' ? 'http' : 'tcp';
}

/** Every address, which servers may also write, is that of the gateway: several of them may share a machine. */
const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** Gathers servers by address and port; what cannot be served is told and left out, the others are served. */
class ListenerCollector {
  private readonly byPort = new Map<string, GatewayListener & { readonly servers: GatewayServer[] }>();
  readonly problems: Problem[] = [];

  constructor(private readonly credentials: Credentials) {}

  add({ metadata }: ConfigObject<'Gateway'>, server: Server, port: number): void {
    const { namespace, name } = metadata;
    const at = `the server of port ${server.port.number} (${server.port.name || server.port.protocol})`;
    const refuse = (code: string, why: string) => {
      const message = `${at} is not served: ${why}. Other servers are not touched`;
      this.problems.push({ code, severity: 'warning', subject: `Gateway/${namespace}/${name}`, message });
    };
    const kind = serverKind(server);
    if (kind === undefined) {
      refuse('unsupported-gateway-server', `gateways do not know the protocol ${server.port.protocol}`);
      return;
    }
    const layer = layerOf(server, kind);
    const bind = EVERY_ADDRESS.has(server.bind ?? '') ? '' : (server.bind ?? '');
    const place = `${bind} ${port}`;
    const listener = this.byPort.get(place);
    if (listener !== undefined && (listener.layer !== layer || layer === 'tcp')) {
      const what = { http: 'HTTP', tls: 'TLS', tcp: 'TCP' }[listener.layer];
      refuse('conflict-gateway-port', `a server before it has the port for ${what}; choose another port`);
      return;
    }
    const tls = terminatedTls(server);
    const fault = tls === undefined ? undefined : faultOfCredentials(tls, this.credentials);
    if (fault !== undefined) {
      refuse('missing-credential', fault);
      return;
    }
    const servers = listener?.servers ?? [];
    this.byPort.set(place, { port, bind, layer, servers });
    servers.push({
      gateway: `${namespace}/${name}`,
      port: server.port.number,
      portName: server.port.name ?? '',
      hosts: serverHosts(server, namespace),
      kind,
      grpcWeb: protocolFromName(server.port.protocol ?? '') === 'grpc-web',
      httpsRedirect: server.tls?.httpsRedirect === true && layer === 'http',
      tls,
    });
  }

  listeners(): readonly GatewayListener[] {
    return [...this.byPort.values()].sort((a, b) => a.port - b.port || compareText(a.bind, b.bind));
  }
}

/** The listeners of a gateway proxy, by port; what cannot be served is told. */
export function resolveGateways(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  labels: StringMap,
  workload: Workload | undefined,
  credentials: Credentials,
): { readonly listeners: readonly GatewayListener[]; readonly problems: readonly Problem[] } {
  const collector = new ListenerCollector(credentials);
  for (const gateway of configsOf(snapshot, 'Gateway')) {
    if (!selectorMatches(gateway.spec.selector, labels)) continue;
    for (const server of gateway.spec.servers ?? []) {
      collector.add(gateway, server, listenPort(snapshot, proxy, workload, server.port.number));
    }
  }
  return { listeners: collector.listeners(), problems: collector.problems };
}
