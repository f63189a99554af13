// Control: what the command line and the supervisor say to each other over the control socket (HTTP with JSON bodies).

import type { Problem } from '@lateen/istio-config';

export const CONTROL_PATH = {
  status: '/v1/status',
  apply: '/v1/apply',
  delete: '/v1/delete',
  objects: '/v1/objects',
  stop: '/v1/stop',
  start: '/v1/start',
  environment: '/v1/environment',
  join: '/v1/join',
  settle: '/v1/settle',
  shutdown: '/v1/shutdown',
} as const;

export interface SourceText {
  /** As people named it, for messages. */
  readonly name: string;
  readonly content: string;
  /** Absolute directory in which commands of this file run. */
  readonly directory: string;
}

export interface ObjectRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ObjectResult extends ObjectRef {
  readonly action: 'created' | 'configured' | 'unchanged' | 'deleted' | 'not found';
}

export interface ApplyRequest {
  readonly files: readonly SourceText[];
  readonly defaultNamespace: string;
  readonly dryRun: boolean;
}

export interface DeleteRequest {
  readonly objects: readonly ObjectRef[];
}

export interface ChangeResponse {
  readonly problems: readonly Problem[];
  readonly results: readonly ObjectResult[];
}

/** A Kubernetes object as it was applied. */
export interface StoredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: unknown;
}

export interface ObjectsResponse {
  readonly objects: readonly StoredObject[];
}

export type ProcessKind = 'supervisor' | 'reaper' | 'citadel' | 'galley' | 'pilot' | 'sidecar' | 'app';

/** One process of the mesh. */
export interface ProcessStatus {
  /** What `local stop`, `start` and `logs` take: `pilot`, `NAMESPACE/POD/sidecar`, `NAMESPACE/POD/app`. */
  readonly name: string;
  readonly kind: ProcessKind;
  readonly namespace: string;
  /** '' for what is not part of a pod. */
  readonly pod: string;
  readonly pid: number | null;
  readonly state: 'running' | 'waiting' | 'stopped';
  readonly ready: boolean;
  /** Why it is not ready; '' where it is. */
  readonly reason: string;
  readonly restarts: number;
  /** How the last run ended; '' where it never did. */
  readonly lastEnd: string;
  readonly startedAt: string | null;
  readonly address: string;
  /** Name of each port -> number. */
  readonly ports: Readonly<Record<string, number>>;
  /** '' for a supervisor in the foreground, which logs to its standard error. */
  readonly logFile: string;
}

export interface PodStatus {
  readonly name: string;
  readonly namespace: string;
  readonly deployment: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Where this machine reaches its sidecar. */
  readonly address: string;
  /** By which the mesh knows it: with --isolation netns an address of the pods' own network. */
  readonly podIp: string;
  /** Of its processes. */
  readonly containersReady: number;
  readonly containers: number;
  readonly ready: boolean;
  readonly status: string;
  readonly restarts: number;
  readonly createdAt: string;
  readonly gateway: boolean;
  /** Service host -> this pod's own address for it. */
  readonly serviceAddresses: Readonly<Record<string, string>>;
}

export interface MeshStatus {
  /** True once everything that was applied is ready for traffic. */
  readonly ready: boolean;
  /** What is still missing. */
  readonly waitingFor: readonly string[];
  readonly block: string;
  readonly stateDir: string;
  readonly trustDomain: string;
  /** `httpsPort` is absent where only the gateway's own address takes HTTPS. */
  readonly ingress: { readonly address: string; readonly port: number; readonly httpsPort?: number | undefined };
  /** Pilot has taken the registry's reports. */
  readonly registryConnected: boolean;
  readonly processes: readonly ProcessStatus[];
  readonly pods: readonly PodStatus[];
}

export interface StopRequest {
  /** A process or a pod; see `ProcessStatus.name` and pod names. */
  readonly target: string;
  readonly signal?: string;
}

export interface StopResponse {
  readonly stopped: readonly string[];
}

export interface EnvironmentRequest {
  /** NAMESPACE/NAME. */
  readonly pod: string;
  /** What is to run there, and in which directory. */
  readonly command: readonly string[];
  readonly directory: string;
}

export interface EnvironmentResponse {
  /** Variables of the pod's application as it would have them if it started now. */
  readonly environment: Readonly<Record<string, string>>;
  /** What runs the command where the application runs. */
  readonly command: readonly string[];
}

export interface StartResponse {
  readonly started: readonly string[];
}

/** Waits until Deployments have the pods that they want, ready, and Pilot knows of everything. */
export interface SettleRequest {
  /** What was applied or deleted. */
  readonly objects: readonly ObjectRef[];
  readonly timeoutMs: number;
}

export interface SettleResponse {
  /** What is still missing when the time is over; empty where nothing is. */
  readonly waiting: readonly string[];
  /** Parts of the control plane that the user has stopped, where something is missing. */
  readonly stopped: readonly string[];
}

/** A workload that no Deployment describes, of a WorkloadGroup. */
export interface JoinRequest {
  readonly namespace: string;
  readonly group: string;
  readonly name: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The group's probe, as it stands there. */
  readonly readinessProbe?: unknown;
  /** Absolute path of the directory that its files go to. */
  readonly directory: string;
}

export interface JoinResponse {
  /** Of the workload, where its sidecar listens. */
  readonly address: string;
  /** What starts its sidecar. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}
