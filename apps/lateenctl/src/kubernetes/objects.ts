// Kubernetes: the few objects that local mode plays, reduced to what it acts on.

import type { PodField } from '@lateen/istio-config';
import type { Probe } from '../supervisor/pods/probe.js';

export interface KubeNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface KubeServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

export interface KubeServicePort {
  readonly name: string;
  readonly port: number;
  /** Port of the container: its number or its name. */
  readonly targetPort: number | string;
  /** '' where unset. */
  readonly appProtocol: string;
}

export interface KubeService {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Empty selects no pod. */
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly KubeServicePort[];
  /** `clusterIP: None`: each of its pods can be called by name. */
  readonly headless: boolean;
  /** `internalTrafficPolicy: Local`: called on the client's own node only. */
  readonly nodeLocal: boolean;
  /** Which endpoints are called before others, as Kubernetes writes it; undefined: none are. */
  readonly trafficDistribution?: string;
}

/** A value of the container's environment: a text, or a field of the pod that is known when it starts. */
export type KubeEnvValue = { readonly text: string } | { readonly field: PodField };

export interface KubeContainerPort {
  readonly name: string;
  readonly port: number;
}

export interface KubePodTemplate {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly containerName: string;
  /** What local mode runs in place of the image. */
  readonly command: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: KubeEnvValue }[];
  readonly ports: readonly KubeContainerPort[];
  readonly readinessProbe: Probe;
  readonly terminationGraceMs: number;
}

export interface KubeDeployment {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly replicas: number;
  readonly template: KubePodTemplate;
  /** Directory of the YAML file: where the command runs. */
  readonly directory: string;
}

/** What of a Secret gateways use: certificates, keys and trust roots by the Secret's own keys. Never to be shown. */
export interface KubeCredential {
  readonly namespace: string;
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

/** Everything that was applied, by `NAMESPACE/NAME` (namespaces by name). */
export interface KubeObjects {
  readonly namespaces: ReadonlyMap<string, KubeNamespace>;
  readonly serviceAccounts: ReadonlyMap<string, KubeServiceAccount>;
  readonly services: ReadonlyMap<string, KubeService>;
  readonly deployments: ReadonlyMap<string, KubeDeployment>;
  readonly credentials: ReadonlyMap<string, KubeCredential>;
}

/** NAME.NAMESPACE.svc.cluster.local */
export function serviceHost(service: { readonly name: string; readonly namespace: string }): string {
  return `${service.name}.${service.namespace}.svc.cluster.local`;
}

/** True where every label of a non-empty selector is on the pod. */
export function selects(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}
