// Debug API: mutual TLS of one proxy, both ways (`lateenctl authn tls-check`).

import {
  type MeshSnapshot,
  meshIndex,
  resolveProxyView,
  type Service,
  type TranslationCache,
  type Workload,
} from '@lateen/translate';
import { TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { ResourceSet } from '@lateen/xds-stream';
import { decidingPolicy } from './deciding-policy.js';
import { nodeOf } from './node-of-workload.js';
import { selects } from './registryz.js';
import { type ClientMode, clientMode, inboundPort, type ServerMode, serverMode } from './tls-modes.js';

/** One destination as the proxy calls it. */
export interface TlsCheckRow {
  readonly host: string;
  readonly port: number;
  /** Subset of a DestinationRule; empty for the service itself. */
  readonly subset: string;
  /** OK: calls work. CONFLICT: the server refuses what this client sends. UNKNOWN: no workload behind it. */
  readonly status: 'OK' | 'CONFLICT' | 'UNKNOWN';
  /** Modes of the workloads behind it; more than one where they differ. */
  readonly server: readonly ServerMode[];
  readonly client: ClientMode;
  /** NAMESPACE/NAME of the PeerAuthentication that decides the server's mode; empty where none does, or they differ. */
  readonly authnPolicy: string;
  /** NAMESPACE/NAME of the DestinationRule that applies; empty for none. */
  readonly destinationRule: string;
}

export interface TlsCheck {
  readonly proxyId: string;
  /** Whether the rows show what the proxy was sent, or what it would be sent if it connected. */
  readonly connected: boolean;
  /** The proxy's own ports. */
  readonly inbound: readonly { readonly port: number; readonly mode: ServerMode; readonly authnPolicy: string }[];
  readonly outbound: readonly TlsCheckRow[];
}

type Resources = ReadonlyMap<string, ResourceSet>;

/** Checks a workload's proxy against every destination that it knows. */
export function checkTls(
  workload: Workload,
  mesh: MeshSnapshot,
  cache: TranslationCache,
  /** What the proxy was sent, by type URL; undefined where it is not connected. */
  sent: Resources | undefined,
): TlsCheck {
  const own = sent ?? resourcesOf(workload, mesh, cache);
  // One listener takes the connections to all ports of an intercepted pod: there each port is shown as if it had its own.
  const inbound = workload.takesEveryPort === true ? portsOf(workload, mesh, cache) : own;
  const inboundModes = new Map<Workload, ReadonlyMap<number, ServerMode>>();
  const modesOf = (destination: Workload) => {
    const known = inboundModes.get(destination) ?? serverModes(portsOf(destination, mesh, cache));
    inboundModes.set(destination, known);
    return known;
  };
  return {
    proxyId: `${workload.name}.${workload.namespace}`,
    connected: sent !== undefined,
    inbound: [...serverModes(inbound)].map(([port, mode]) => ({
      port,
      mode,
      authnPolicy: decidingPolicy(mesh, workload, port, mode),
    })),
    outbound: outboundRows(own, mesh, modesOf),
  };
}

function resourcesOf(workload: Workload, mesh: MeshSnapshot, cache: TranslationCache): Resources {
  return cache.translate(resolveProxyView(mesh, nodeOf(workload, mesh), true)).resources;
}

/** With a listener for each port: what those of an intercepted pod have in chains of one. */
function portsOf(workload: Workload, mesh: MeshSnapshot, cache: TranslationCache): Resources {
  const node = { ...nodeOf(workload, mesh), interceptionMode: 'NONE' as const };
  return cache.translate(resolveProxyView(mesh, node, true)).resources;
}

function serverModes(resources: Resources): ReadonlyMap<number, ServerMode> {
  const modes = new Map<number, ServerMode>();
  for (const { any } of resources.get(TYPE_URL.listener)?.values() ?? []) {
    const listener = unpackAny(any, ListenerSchema);
    const port = inboundPort(listener);
    if (port !== undefined) modes.set(port, serverMode(listener));
  }
  return modes;
}

function outboundRows(
  resources: Resources,
  mesh: MeshSnapshot,
  modesOf: (workload: Workload) => ReadonlyMap<number, ServerMode>,
): TlsCheckRow[] {
  const services = new Map(
    mesh.services.map((service) => [`${service.name}.${service.namespace}.svc.${mesh.clusterDomain}`, service]),
  );
  const rows: TlsCheckRow[] = [];
  for (const [name, { any }] of resources.get(TYPE_URL.cluster) ?? []) {
    const [direction, portText, subset = '', host = ''] = name.split('|');
    const service = services.get(host);
    if (direction !== 'outbound' || service === undefined) continue;
    const cluster = unpackAny(any, ClusterSchema);
    const assignment = resources.get(TYPE_URL.endpoint)?.get(cluster.edsClusterConfig?.serviceName || name)?.any;
    const client = clientMode(cluster, assignment && unpackAny(assignment, ClusterLoadAssignmentSchema));
    const behind = workloadsBehind(service, Number(portText), mesh, modesOf);
    const server = [...new Set(behind.map(({ mode }) => mode))];
    const policies = new Set(behind.map(({ workload, port, mode }) => decidingPolicy(mesh, workload, port, mode)));
    rows.push({
      host,
      port: Number(portText),
      subset,
      status: statusOf(client, server),
      server,
      client,
      authnPolicy: policies.size === 1 ? [...policies][0]! : '',
      destinationRule: ruleOf(cluster),
    });
  }
  return rows.sort((a, b) => (a.host + a.port + a.subset < b.host + b.port + b.subset ? -1 : 1));
}

/** The workloads of a service port, with the port of their own and what it accepts. */
function workloadsBehind(
  service: Service,
  servicePort: number,
  mesh: MeshSnapshot,
  modesOf: (workload: Workload) => ReadonlyMap<number, ServerMode>,
): readonly { readonly workload: Workload; readonly port: number; readonly mode: ServerMode }[] {
  return answerers(service, servicePort, mesh).flatMap(({ workload, port }) => {
    // A pod without a sidecar takes what its application takes.
    const mode = workload.mutualTls === false && !workload.gateway ? 'DISABLE' : modesOf(workload).get(port);
    return mode === undefined ? [] : [{ workload, port, mode }];
  });
}

function answerers(
  service: Service,
  servicePort: number,
  mesh: MeshSnapshot,
): readonly { readonly workload: Workload; readonly port: number }[] {
  const declared = service.ports.find((candidate) => candidate.port === servicePort);
  if (declared === undefined) return [];
  const { targetPort, name } = declared;
  if (service.endpoints === undefined) {
    const selected = mesh.workloads.filter((workload) => selects(service, workload));
    return selected.map((workload) => ({ workload, port: targetPort }));
  }
  const { workloadByName } = meshIndex(mesh);
  return service.endpoints.flatMap(({ pod, ports }) => {
    const workload = workloadByName.get(pod);
    const port = ports[name];
    return workload === undefined || port === undefined ? [] : [{ workload, port }];
  });
}

function statusOf(client: ClientMode, server: readonly ServerMode[]): TlsCheckRow['status'] {
  if (server.length === 0) return 'UNKNOWN';
  // Each endpoint is called as it takes it: those without a sidecar in plain text.
  if (client === 'MIXED') return 'OK';
  if (client !== 'ISTIO_MUTUAL' && server.includes('STRICT')) return 'CONFLICT';
  // Automatic mutual TLS decides for each endpoint; DISABLE behind mutual TLS refuses.
  if (client === 'ISTIO_MUTUAL' && server.includes('DISABLE')) return 'CONFLICT';
  return 'OK';
}

/** From cluster metadata `istio.config`: `/apis/networking.istio.io/v1/namespaces/NS/destination-rule/NAME`. */
function ruleOf(cluster: { metadata?: { filterMetadata: Record<string, { config?: unknown }> } }): string {
  const config = cluster.metadata?.filterMetadata.istio?.config;
  const match = typeof config === 'string' ? /\/namespaces\/([^/]+)\/destination-rule\/([^/]+)$/.exec(config) : null;
  return match === null ? '' : `${match[1]}/${match[2]}`;
}
