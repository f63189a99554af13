// Workload groups: the WorkloadEntry that stands for a workload which registered itself, made of its group's template.

import type { ConfigObject, ObjectMetadata } from '@lateen/istio-config';
import { HEALTHY_ANNOTATION } from '@lateen/translate';

export type WorkloadGroup = ConfigObject<'WorkloadGroup'>;
export type WorkloadEntry = ConfigObject<'WorkloadEntry'>;

/** In a cluster: the pod of Pilot that a workload is connected to (Istio's annotation). */
export const CONTROLLER_ANNOTATION = 'istio.io/workloadController';

export function isWorkloadEntry(config: ConfigObject): config is WorkloadEntry {
  return config.kind === 'WorkloadEntry';
}

/** A workload that connected, and what it said of itself; its namespace and service account are its certificate's. */
export interface Registration {
  readonly group: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `REGION/ZONE/SUBZONE`, or empty. */
  readonly locality: string;
  /** Its proxy probes the application and tells how it is; until it has, the workload gets no calls. */
  readonly probed: boolean;
  readonly connectedAtMs: number;
}

/** As in Istio: the group and the address, as a name of Kubernetes. */
export function entryNameOf({ group, address }: Registration): string {
  return `${group}-${address.replaceAll(':', '-')}`.toLowerCase().slice(-253);
}

/** The account that workloads of a group have. */
export function accountOf({ spec }: WorkloadGroup): string {
  return spec.template?.serviceAccount || 'default';
}

/** Istio's order: what the workload says counts before the group's metadata, and that before the template. */
export function entryOf(group: WorkloadGroup, registration: Registration, isHealthy: boolean): WorkloadEntry {
  const { template, metadata: given } = group.spec;
  const { namespace, address, serviceAccount, locality, probed, connectedAtMs } = registration;
  const connectedAt = new Date(connectedAtMs).toISOString();
  const labels = { ...template?.labels, ...given?.labels, ...registration.labels };
  const metadata: ObjectMetadata = {
    name: entryNameOf(registration),
    namespace,
    labels,
    annotations: {
      ...given?.annotations,
      'istio.io/autoRegistrationGroup': group.metadata.name,
      'istio.io/connectedAt': connectedAt,
      ...(probed ? { 'proxy.istio.io/health-checks-enabled': 'true' } : {}),
      [HEALTHY_ANNOTATION]: String(isHealthy),
    },
    creationTimestamp: connectedAt,
  };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata,
    spec: { ...template, address, labels, serviceAccount, locality: locality || template?.locality },
    source: group.source,
  };
}
