// Reference: what `kubectl get` shows of a kind beside its name.
import type { IstioKind } from '../object.js';

/** A column of a table, as `apiextensions.k8s.io/v1` names it. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** 0: always shown; 1: with `-o wide` alone. */
  readonly priority?: number;
}

const column = (name: string, path: string, description: string): PrinterColumn => ({
  name,
  type: 'string',
  jsonPath: `.spec.${path}`,
  description,
});

const COLUMNS: Readonly<Record<IstioKind, readonly PrinterColumn[]>> = {
  VirtualService: [
    column('Gateways', 'gateways', 'Gateways and sidecars that route by it.'),
    column('Hosts', 'hosts', 'Hosts that requests are for.'),
  ],
  DestinationRule: [column('Host', 'host', 'The service that calls go to.')],
  Gateway: [],
  Sidecar: [],
  ServiceEntry: [
    column('Hosts', 'hosts', 'Names of the service.'),
    column('Location', 'location', 'Inside of the mesh or outside of it.'),
    column('Resolution', 'resolution', 'How its endpoints are found.'),
  ],
  WorkloadEntry: [column('Address', 'address', 'Address of the workload.')],
  WorkloadGroup: [],
  ProxyConfig: [],
  PeerAuthentication: [column('Mode', 'mtls.mode', 'Which connections are taken.')],
  RequestAuthentication: [],
  AuthorizationPolicy: [column('Action', 'action', 'What becomes of requests that a rule matches.')],
  Telemetry: [],
  WasmPlugin: [],
  EnvoyFilter: [],
  RateLimit: [],
  HealthCheck: [column('Host', 'host', 'The service whose endpoints are asked.')],
};

const AGE: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Since when it is there.',
};

/** The columns of a kind, its age the last. */
export function printerColumns(kind: IstioKind): readonly PrinterColumn[] {
  return [...COLUMNS[kind], AGE];
}
