// Supervisor: the status of every process and pod, as `local status` shows it.

import { join } from 'node:path';
import type { MeshStatus, PodStatus, ProcessStatus } from '../control/control-api.js';
import { type KubeService, serviceHost } from '../kubernetes/objects.js';
import type { StateLayout } from '../state/state-layout.js';
import type { Component, ControlPlane } from './control-plane.js';
import type { MeshAddresses } from './mesh-addresses.js';
import type { IngressPorts } from './network/ingress-port.js';
import { GATEWAY_HTTP_PORT, SYSTEM_NAMESPACE } from './pods/gateway-pod.js';
import type { Pod } from './pods/pod.js';
import type { ManagedProcess } from './processes/managed-process.js';
import type { EntryHost } from './registry/entry-hosts.js';

export interface StatusInput {
  /** Of the supervisor and its reaper; '' where it logs to the standard error that it was given. */
  readonly ownLogFile: string;
  readonly layout: StateLayout;
  readonly mesh: MeshAddresses;
  readonly trustDomain: string;
  readonly ingressPorts: IngressPorts;
  readonly controlPlane: ControlPlane;
  readonly pods: readonly Pod[];
  /** What pods call by addresses of their own. */
  readonly called: readonly KubeService[];
  readonly serviceAddress: (pod: Pod, host: string) => string;
  /** Hosts of ServiceEntries that pods of a namespace see. */
  readonly entryHosts: (namespace: string) => readonly EntryHost[];
  readonly reaperPid: number | undefined;
  /** Why Pilot does not take the registry's reports; undefined where it does. */
  readonly registryFailure: string | undefined;
}

const SIDECAR_PORTS = { admin: 15000, metrics: 15020, ready: 15021, proxyMetrics: 15090 };

/** Everything that runs, and what is still missing. */
export function buildStatus(input: StatusInput): MeshStatus {
  const components = [...input.controlPlane.components.values()];
  const processes = [
    ownProcess(input, 'supervisor', process.pid),
    ownProcess(input, 'reaper', input.reaperPid),
    ...components.map((each) => componentStatus(input, each)),
    ...input.pods.flatMap((pod) => podProcesses(pod)),
  ];
  const waitingFor = [
    ...components.filter((each) => !each.probe.ready).map((each) => `${each.name} (${each.probe.reason})`),
    ...input.pods
      .filter((pod) => !pod.ready && !pod.terminating)
      .map((pod) => `pod ${pod.key} (${pod.notReadyReason})`),
    ...(input.registryFailure === undefined ? [] : [`the workload registry in pilot (${input.registryFailure})`]),
  ];
  return {
    ready: waitingFor.length === 0,
    waitingFor,
    block: `127.${input.mesh.block}.0.0/16`,
    stateDir: input.layout.root,
    trustDomain: input.trustDomain,
    ingress: { address: '127.0.0.1', port: input.ingressPorts.http, httpsPort: input.ingressPorts.https },
    registryConnected: input.registryFailure === undefined,
    processes,
    pods: input.pods.map((pod) => podStatus(input, pod)),
  };
}

function ownProcess(input: StatusInput, kind: 'supervisor' | 'reaper', pid: number | undefined): ProcessStatus {
  return {
    name: kind,
    kind,
    namespace: SYSTEM_NAMESPACE,
    pod: '',
    pid: pid ?? null,
    state: pid === undefined ? 'waiting' : 'running',
    ready: pid !== undefined,
    reason: '',
    restarts: 0,
    lastEnd: '',
    startedAt: null,
    address: '',
    ports: {},
    logFile: input.ownLogFile,
  };
}

function processFields(child: ManagedProcess) {
  return {
    pid: child.pid ?? null,
    state: child.state,
    restarts: child.restarts,
    lastEnd: child.lastEnd ?? '',
    startedAt: child.startedAtMs === undefined ? null : new Date(child.startedAtMs).toISOString(),
  };
}

function componentStatus(input: StatusInput, component: Component): ProcessStatus {
  const { address, ...ports } = input.mesh[component.name];
  return {
    name: component.name,
    kind: component.name,
    namespace: SYSTEM_NAMESPACE,
    pod: '',
    ...processFields(component.process),
    ready: component.probe.ready,
    reason: component.probe.ready ? '' : component.probe.reason,
    address,
    ports,
    logFile: join(input.layout.logs, `${component.name}.log`),
  };
}

function podProcesses(pod: Pod): ProcessStatus[] {
  const { name, namespace, gateway } = pod.plan;
  const sidecar: ProcessStatus = {
    name: `${pod.key}/sidecar`,
    kind: 'sidecar',
    namespace,
    pod: name,
    ...processFields(pod.sidecar),
    ready: pod.sidecarReady,
    reason: pod.sidecarReady ? '' : (pod.notReadyReason ?? ''),
    address: pod.address,
    ports: gateway
      ? { ...SIDECAR_PORTS, http: GATEWAY_HTTP_PORT }
      : {
          ...SIDECAR_PORTS,
          ...(pod.intercepted ? {} : { forwardProxy: 15007 }),
          ...Object.fromEntries(pod.plan.ports.map(({ port }) => [`inbound-${port}`, port])),
        },
    logFile: join(pod.directory, 'sidecar.log'),
  };
  if (pod.app === undefined) return [sidecar];
  const app: ProcessStatus = {
    name: `${pod.key}/app`,
    kind: 'app',
    namespace,
    pod: name,
    ...processFields(pod.app),
    ready: pod.appReady,
    reason: pod.appReady ? '' : (pod.notReadyReason ?? ''),
    address: pod.intercepted ? pod.ips[0]! : '127.0.0.1',
    ports: Object.fromEntries(
      [...pod.appPorts].map(([containerPort, appPort]) => [`container-${containerPort}`, appPort]),
    ),
    logFile: join(pod.directory, 'app.log'),
  };
  return [sidecar, app];
}

function podStatus(input: StatusInput, pod: Pod): PodStatus {
  const { name, namespace, deployment, gateway } = pod.plan;
  const children = pod.app === undefined ? [pod.sidecar] : [pod.sidecar, pod.app];
  const hosts =
    gateway || pod.intercepted
      ? []
      : [...input.called.map(serviceHost), ...input.entryHosts(namespace).map(({ host }) => host)];
  return {
    name,
    namespace,
    deployment: deployment.name,
    serviceAccount: deployment.template.serviceAccount,
    labels: deployment.template.labels,
    address: pod.address,
    podIp: pod.ips[0]!,
    containersReady: (pod.sidecarReady ? 1 : 0) + (pod.app !== undefined && pod.appReady ? 1 : 0),
    containers: children.length,
    ready: pod.ready,
    status: podPhase(pod, children),
    restarts: children.reduce((sum, child) => sum + child.restarts, 0),
    createdAt: new Date(pod.createdAtMs).toISOString(),
    gateway,
    serviceAddresses: Object.fromEntries(hosts.map((host) => [host, input.serviceAddress(pod, host)])),
  };
}

function podPhase(pod: Pod, children: readonly ManagedProcess[]): string {
  if (pod.terminating) return 'Terminating';
  if (children.some((child) => child.state === 'stopped')) return 'Stopped';
  if (children.some((child) => child.state === 'waiting' && child.lastEnd !== undefined)) return 'CrashLoopBackOff';
  return pod.ready ? 'Running' : 'Starting';
}
