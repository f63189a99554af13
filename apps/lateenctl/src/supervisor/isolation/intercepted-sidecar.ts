// Isolation: starts the sidecar of a pod with a network of its own: as in a cluster, by its environment and the pod's files.

import { join } from 'node:path';
import type { SidecarNode } from '@lateen/bootstrap';
import type { ProxySettings } from '@lateen/translate';
import type { Probe } from '../pods/probe.js';
import type { LaunchPlan } from '../processes/managed-process.js';
import { podFiles } from './pod-files.js';
import type { PodNetwork } from './pod-network.js';

/** How long a pod that leaves goes on serving, and then waits for requests in flight: its callers have been told before. */
const DEFAULT_DRAIN = '1500ms';

export interface InterceptedSidecarOptions {
  readonly node: SidecarNode;
  readonly directory: string;
  readonly network: PodNetwork;
  readonly program: string;
  readonly trustDomain: string;
  readonly logLevel: string;
  readonly settings: ProxySettings;
  /** Of the application, by the path at which it is asked. */
  readonly probers: Readonly<Record<string, object>>;
}

/** What runs the sidecar; its files have to be there. */
export function interceptedLaunchPlan(options: InterceptedSidecarOptions): LaunchPlan {
  const { node, directory, network, program, logLevel } = options;
  const type = node.gateway ? 'router' : 'sidecar';
  const words = [process.execPath, program, '--pod', type, '--log-level', logLevel, '--exit-with-parent'];
  const [command, ...args] = network.commandOfProxy(directory, words) as [string, ...string[]];
  return {
    command,
    args,
    workingDirectory: directory,
    env: environmentOf(options),
    logFile: join(directory, 'sidecar.log'),
    holdsInput: true,
  };
}

/** As injection sets it for the container `istio-proxy`. */
function environmentOf(options: InterceptedSidecarOptions): Record<string, string> {
  const { node, settings, directory, network } = options;
  const { environment, concurrency, terminationDrainMs } = settings;
  return {
    ...(process.env.TZ === undefined ? {} : { TZ: process.env.TZ }),
    ...environment,
    PATH: process.env.PATH ?? '',
    LATEEN_POD_ROOT: podFiles(directory).proxyRoot,
    POD_NAME: node.podName,
    POD_NAMESPACE: node.namespace,
    INSTANCE_IP: network.address,
    SERVICE_ACCOUNT: node.serviceAccount,
    TRUST_DOMAIN: options.trustDomain,
    PILOT_ADDRESS: network.controlPlane.pilot,
    CITADEL_ADDRESS: network.controlPlane.citadel,
    PROXY_CONFIG: JSON.stringify({ concurrency, proxyMetadata: environment }),
    TERMINATION_DRAIN_DURATION_SECONDS: terminationDrainMs === undefined ? DEFAULT_DRAIN : `${terminationDrainMs}ms`,
    ISTIO_META_WORKLOAD_NAME: node.workloadName,
    ISTIO_META_CLUSTER_ID: 'Kubernetes',
    ...(node.gateway
      ? {}
      : {
          ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
          ISTIO_META_DNS_CAPTURE: 'true',
          ISTIO_KUBE_APP_PROBERS: JSON.stringify(options.probers),
        }),
  };
}

/** The path at which the sidecar answers for the readiness of the application. */
export function readinessPath(containerName: string): string {
  return `/app-health/${containerName}/readyz`;
}

/** The probe as the sidecar asks it, in the form of Kubernetes. @param port of the application */
export function proberOf(probe: Probe, port: number): object {
  const { kind, path, headers, timeoutMs } = probe;
  const httpHeaders = Object.entries(headers).map(([name, value]) => ({ name, value }));
  return {
    ...(kind === 'http' ? { httpGet: { path, port, httpHeaders } } : { tcpSocket: { port } }),
    timeoutSeconds: Math.max(1, Math.ceil(timeoutMs / 1000)),
  };
}
