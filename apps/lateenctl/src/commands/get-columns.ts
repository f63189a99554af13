// Commands: the columns of `get KIND`, as kubectl shows them for the kinds' CRDs.

import type { PodStatus } from '../control/control-api.js';
import type { KnownPod } from '../mesh/known-pods.js';
import { formatAge } from '../output/table.js';

/** An object as `get` shows it. */
export interface ShownObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly creationTimestamp?: string;
    readonly [other: string]: unknown;
  };
  readonly spec: unknown;
  readonly status?: unknown;
  /** For pods: what the columns are made of; not printed in YAML and JSON. */
  readonly row?: KnownPod & Partial<PodStatus>;
}

export interface Column {
  readonly title: string;
  readonly cell: (object: ShownObject) => string;
}

const AGE: Column = {
  title: 'AGE',
  cell: ({ metadata }) =>
    metadata.creationTimestamp === undefined ? '' : formatAge(Date.parse(metadata.creationTimestamp), Date.now()),
};

/** A column with the value at a field path of the spec. */
function field(title: string, ...path: readonly string[]): Column {
  return {
    title,
    cell: ({ spec }) => {
      let value: unknown = spec;
      for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key];
      if (value === undefined) return '';
      return typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value);
    },
  };
}

function podColumn(title: string, cell: (pod: KnownPod & Partial<PodStatus>) => string): Column {
  return { title, cell: ({ row }) => (row === undefined ? '' : cell(row)) };
}

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  VirtualService: [field('GATEWAYS', 'gateways'), field('HOSTS', 'hosts'), AGE],
  DestinationRule: [field('HOST', 'host'), AGE],
  Gateway: [field('SELECTOR', 'selector'), AGE],
  PeerAuthentication: [field('MODE', 'mtls', 'mode'), AGE],
  ServiceEntry: [field('HOSTS', 'hosts'), field('LOCATION', 'location'), field('RESOLUTION', 'resolution'), AGE],
  Service: [
    { title: 'PORTS', cell: ({ spec }) => servicePorts(spec as { ports?: { port: number }[] }) },
    field('SELECTOR', 'selector'),
  ],
  Deployment: [field('REPLICAS', 'replicas')],
  Namespace: [],
  ServiceAccount: [],
  Pod: [
    podColumn('READY', (pod) => (pod.containers === undefined ? '-' : `${pod.containersReady}/${pod.containers}`)),
    podColumn('STATUS', (pod) => pod.status ?? (pod.ready ? 'Ready' : 'NotReady')),
    podColumn('RESTARTS', (pod) => String(pod.restarts ?? '-')),
    AGE,
    podColumn('IP', (pod) => pod.podIp ?? pod.address),
  ],
};

/** The columns after NAME. */
export function columnsOf(kind: string): readonly Column[] {
  return COLUMNS[kind] ?? [AGE];
}

function servicePorts(spec: { readonly ports?: readonly { readonly port: number }[] }): string {
  return (spec.ports ?? []).map(({ port }) => `${port}/TCP`).join(',');
}
