// Resolve: the servers that a gateway proxy runs, from the Gateway resources that select it.

import type { Server } from '@lateen/istio-config';
import { isHttpProtocol, protocolFromName, selectorMatches, splitNamespacedHost } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, ProxyNode, StringMap, Workload } from '../model.js';
import { configsOf } from '../snapshot.js';
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
  readonly hosts: readonly ServerHost[];
  readonly httpsRedirect: boolean;
}

/** All HTTP servers that share a listener. */
export interface GatewayListener {
  /** The port that is listened on. */
  readonly port: number;
  readonly servers: readonly GatewayServer[];
}

/** Ports that need no privilege, in place of those that do (CONTRACTS "Ports"). */
const UNPRIVILEGED: Readonly<Record<number, number>> = { 80: 8080, 443: 8443 };

/**
 * The port that a server listens on: the target port of the gateway's Service for that port, else the port itself; a
 * proxy that nobody redirects to cannot bind a privileged port and takes the well-known one in its place.
 */
function listenPort(snapshot: MeshSnapshot, proxy: ProxyNode, workload: Workload | undefined, port: number): number {
  const served = workload === undefined ? [] : (meshIndex(snapshot).servedBy.get(workload) ?? []);
  const target = served.find((candidate) => candidate.port.port === port)?.port.targetPort ?? port;
  return proxy.interceptionMode === 'NONE' ? (UNPRIVILEGED[target] ?? target) : target;
}

function serverHosts(server: Server, gatewayNamespace: string): readonly ServerHost[] {
  return server.hosts.map((text) => {
    const { namespace, host } = splitNamespacedHost(text);
    const own = namespace === '.' ? gatewayNamespace : (namespace ?? '*');
    return { namespace: own, host: host.toLowerCase() };
  });
}

/** Both versions of HTTP are spoken on a port of either. */
function isServedHere(server: Server): boolean {
  const protocol = protocolFromName(server.port.protocol ?? 'HTTP');
  return protocol !== undefined && isHttpProtocol(protocol);
}

/** The listeners of a gateway proxy, by port; what cannot be served is told. */
export function resolveGateways(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  labels: StringMap,
  workload: Workload | undefined,
): { readonly listeners: readonly GatewayListener[]; readonly problems: readonly Problem[] } {
  const byPort = new Map<number, GatewayServer[]>();
  const problems: Problem[] = [];
  for (const { metadata, spec } of configsOf(snapshot, 'Gateway')) {
    if (!selectorMatches(spec.selector, labels)) continue;
    const { namespace, name } = metadata;
    for (const server of spec.servers ?? []) {
      if (!isServedHere(server)) {
        problems.push({
          code: 'unsupported-gateway-server',
          severity: 'warning',
          subject: `Gateway/${namespace}/${name}`,
          message: `the server of port ${server.port.number} (${server.port.protocol}) is not served yet, only HTTP is; calls to it find no listener`,
        });
        continue;
      }
      const port = listenPort(snapshot, proxy, workload, server.port.number);
      const servers = byPort.get(port) ?? [];
      byPort.set(port, servers);
      servers.push({
        gateway: `${namespace}/${name}`,
        port: server.port.number,
        hosts: serverHosts(server, namespace),
        httpsRedirect: server.tls?.httpsRedirect === true,
      });
    }
  }
  const listeners = [...byPort].sort(([a], [b]) => a - b).map(([port, servers]) => ({ port, servers }));
  return { listeners, problems };
}
