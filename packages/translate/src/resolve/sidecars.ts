// Resolve: which Sidecar resource holds for a workload, and the ports at which the workload takes calls by it.

import type { ConfigObject, ConnectionPoolSettings, ServerTlsSettings } from '@lateen/istio-config';
import { selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, StringMap, Workload } from '../model.js';
import { oncePerSnapshot } from '../once-per-snapshot.js';
import { configsOf } from '../snapshot.js';

type Sidecar = ConfigObject<'Sidecar'>;

interface NamespaceSidecars {
  /** Oldest first. */
  readonly selecting: readonly Sidecar[];
  /** The oldest without a selector. */
  readonly general: Sidecar | undefined;
  readonly conflicts: readonly Problem[];
}

const sidecarsByNamespace = oncePerSnapshot((snapshot): ReadonlyMap<string, NamespaceSidecars> => {
  const byNamespace = new Map<string, Sidecar[]>();
  for (const sidecar of configsOf(snapshot, 'Sidecar')) {
    const group = byNamespace.get(sidecar.metadata.namespace);
    if (group) group.push(sidecar);
    else byNamespace.set(sidecar.metadata.namespace, [sidecar]);
  }
  return new Map([...byNamespace].map(([namespace, sidecars]) => [namespace, sortSidecars(sidecars)]));
});

function sortSidecars(sidecars: readonly Sidecar[]): NamespaceSidecars {
  const selecting = sidecars.filter(({ spec }) => spec.workloadSelector !== undefined);
  const [general, ...ignored] = sidecars.filter(({ spec }) => spec.workloadSelector === undefined);
  const conflicts = ignored.map(({ metadata }) => ({
    code: 'conflict-sidecar',
    severity: 'warning' as const,
    subject: `Sidecar/${metadata.namespace}/${metadata.name}`,
    message: `the older Sidecar ${general!.metadata.name} is for all workloads of the namespace too, and counts alone. Merge the two, or give this one a workloadSelector`,
  }));
  return { selecting, general, conflicts };
}

/** The one that selects the workload, else the namespace's, else the root namespace's; the oldest of several. */
export function sidecarFor(snapshot: MeshSnapshot, namespace: string, labels: StringMap): Sidecar | undefined {
  const byNamespace = sidecarsByNamespace(snapshot);
  const own = byNamespace.get(namespace);
  return (
    own?.selecting.find(({ spec }) => selectorMatches(spec.workloadSelector?.labels, labels)) ??
    own?.general ??
    byNamespace.get(snapshot.rootNamespace)?.general
  );
}

/** Sidecars of a namespace that do not count, with why. */
export function sidecarConflicts(snapshot: MeshSnapshot, namespace: string): readonly Problem[] {
  return sidecarsByNamespace(snapshot).get(namespace)?.conflicts ?? [];
}

/** A port at which a workload takes calls. */
export interface TakingPort {
  /** Port at the pod's address. */
  readonly port: number;
  /** Where the application listens: an address of its host, `POD`, or a socket, whose port is 0. */
  readonly appAddress: string;
  readonly appPort: number;
  readonly name: string;
  /** What a Sidecar says that it speaks; empty where the services that lead here decide. */
  readonly appProtocol: string;
  /** Limits for calls to the application. */
  readonly pool: ConnectionPoolSettings | undefined;
  /** The address that a Sidecar has it listen on, as written; empty: the pod's. */
  readonly bind: string;
  /** The application is reached at another address than the one that was called, by the word of a Sidecar. */
  readonly redirected: boolean;
  /** Connections come to it by themselves: nothing leads them. */
  readonly uncaptured: boolean;
  /** TLS of the outside that a Sidecar has it end. */
  readonly tls: ServerTlsSettings | undefined;
}

type IngressListener = NonNullable<Sidecar['spec']['ingress']>[number];

/** The TLS of a port where it is ended here, and not passed on to the application. */
function endedTls({ tls }: IngressListener): ServerTlsSettings | undefined {
  return tls?.mode === 'SIMPLE' || tls?.mode === 'MUTUAL' || tls?.mode === 'OPTIONAL_MUTUAL' ? tls : undefined;
}

/** The port in `127.0.0.1:8080` and its like; without an endpoint the application listens at the port itself. */
function portBehind({ port, defaultEndpoint }: IngressListener): number {
  const digits = /:(\d+)$/.exec(defaultEndpoint ?? '')?.[1];
  return digits === undefined ? (port.number ?? 0) : Number(digits);
}

const LOOPBACK = '127.0.0.1';
const SOCKET = 'unix://';

/** Of the pod itself, whichever address it has. */
export const POD = 'pod';

/** `0.0.0.0:8080`, `[::]:8080`. */
function isOfPod({ defaultEndpoint = '' }: IngressListener): boolean {
  return /^(?:0\.0\.0\.0|\[?::\]?):\d+$/.test(defaultEndpoint);
}

/** The socket that the application listens on: its path, or its name after `@`. */
function socketBehind({ defaultEndpoint = '' }: IngressListener): string | undefined {
  return defaultEndpoint.startsWith(SOCKET) ? defaultEndpoint.slice(SOCKET.length) : undefined;
}

/** The ports of a workload: those of its pod, or, where its Sidecar has `ingress`, these and no others. */
export function takingPorts(snapshot: MeshSnapshot, workload: Workload): readonly TakingPort[] {
  const { ports, namespace, labels, gateway } = workload;
  const sidecar = gateway ? undefined : sidecarFor(snapshot, namespace, labels);
  const { ingress = [], inboundConnectionPool } = sidecar?.spec ?? {};
  if (ingress.length === 0) {
    return ports.map((port) => ({
      ...port,
      appProtocol: '',
      pool: inboundConnectionPool,
      bind: '',
      appAddress: LOOPBACK,
      redirected: false,
      uncaptured: false,
      tls: undefined,
    }));
  }
  return ingress.map((listener) => {
    const { port, connectionPool } = listener;
    const socket = socketBehind(listener);
    const behind = portBehind(listener);
    return {
      port: port.number ?? 0,
      // An application that was told another port than its container declares listens there.
      appPort: socket !== undefined ? 0 : (ports.find((declared) => declared.port === behind)?.appPort ?? behind),
      appAddress: socket ?? (isOfPod(listener) ? POD : LOOPBACK),
      name: port.name ?? '',
      appProtocol: (port.protocol ?? '').toLowerCase(),
      pool: connectionPool ?? inboundConnectionPool,
      bind: listener.bind ?? '',
      redirected: (listener.defaultEndpoint ?? '') !== '',
      uncaptured: listener.captureMode === 'NONE',
      tls: endedTls(listener),
    };
  });
}
