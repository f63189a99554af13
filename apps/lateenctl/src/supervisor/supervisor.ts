// Supervisor: the running mesh, and what may be done to it.

import { rm } from 'node:fs/promises';
import type { Problem } from '@lateen/istio-config';
import type { Logger } from '@lateen/telemetry';
import type {
  ChangeResponse,
  EnvironmentRequest,
  EnvironmentResponse,
  JoinRequest,
  JoinResponse,
  MeshStatus,
  ObjectRef,
  SettleResponse,
  StoredObject,
} from '../control/control-api.js';
import type { SupervisedDocuments } from '../documents/split-documents.js';
import type { StateLayout } from '../state/state-layout.js';
import type { ControlPlane } from './control-plane.js';
import type { ControlServer } from './control-server.js';
import type { MeshAddresses } from './mesh-addresses.js';
import type { IngressPorts } from './network/ingress-port.js';
import type { Reaper } from './processes/reaper.js';
import type { ProxySettingsSource } from './proxy-settings-source.js';
import type { EntryHost } from './registry/entry-hosts.js';
import type { RegistryStream } from './registry/registry-stream.js';
import type { ChangeBell } from './settling/change-bell.js';
import { settle } from './settling/settle.js';
import { buildStatus } from './status.js';
import { findApplication, findProcesses } from './targets.js';
import type { Workloads } from './workloads.js';

export interface SupervisorParts {
  readonly layout: StateLayout;
  /** Where its own log goes; '' where that is standard error. */
  readonly ownLogFile: string;
  readonly mesh: MeshAddresses;
  readonly trustDomain: string;
  readonly ingressPorts: IngressPorts;
  readonly controlPlane: ControlPlane;
  readonly workloads: Workloads;
  readonly settings: ProxySettingsSource;
  readonly registry: RegistryStream;
  /** Rings at each change of what runs. */
  readonly changes: ChangeBell;
  readonly reaper: Reaper;
  readonly logger: Logger;
  /** What else is to be closed when the mesh ends, in order. */
  readonly closers: readonly (() => void | Promise<void>)[];
}

/** How long a process has to end before it is killed, when the whole mesh ends. */
const SHUTDOWN_GRACE_MS = 3000;
const ROTATE_LOGS_EVERY_MS = 60_000;

export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #rotation: NodeJS.Timeout;
  #control: ControlServer | undefined;
  #closing: Promise<void> | undefined;
  /** Changes run one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => {};

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#rotation = setInterval(() => this.#rotateLogs(), ROTATE_LOGS_EVERY_MS);
  }

  /** The control socket closes with the mesh. */
  attachControl(control: ControlServer): void {
    this.#control = control;
  }

  /** Resolves when the mesh has ended. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  status(): MeshStatus {
    const { workloads, registry, reaper } = this.#parts;
    return buildStatus({
      ...this.#parts,
      pods: workloads.pods,
      called: workloads.called,
      entryHosts: (namespace) => workloads.entryHosts(namespace),
      serviceAddress: (pod, host) => workloads.serviceAddress(pod.plan, host),
      reaperPid: reaper.pid,
      registryFailure: registry.failure,
    });
  }

  /**
   * Takes Kubernetes objects in, all or none.
   *
   * ServiceEntries and ProxyConfigs that are applied with them count for pods that start now: Galley gets them after us.
   */
  apply(
    { objects, entries, proxyConfigs }: SupervisedDocuments,
    problems: Problem[],
    dryRun: boolean,
  ): Promise<ChangeResponse> {
    return this.#inTurn(async () => {
      const { workloads, settings } = this.#parts;
      if (!dryRun) {
        workloads.announce(entries);
        settings.announce(proxyConfigs);
      }
      const results = await workloads.store.apply(objects, problems, dryRun);
      if (!dryRun) await workloads.reconcile();
      return { problems, results };
    });
  }

  /** A workload that no Deployment describes is to join. */
  join(order: JoinRequest): Promise<JoinResponse> {
    return this.#inTurn(() => this.#parts.workloads.join(order));
  }

  delete(refs: readonly ObjectRef[]): Promise<ChangeResponse> {
    return this.#inTurn(async () => {
      const { workloads } = this.#parts;
      const results = await workloads.store.delete(refs);
      if (results.some(({ action }) => action === 'deleted')) await workloads.reconcile();
      return { problems: [], results };
    });
  }

  /** Waits until what was applied runs and what was deleted is leaving, and Pilot has been told of both. */
  settle(objects: readonly ObjectRef[], timeoutMs: number): Promise<SettleResponse> {
    return settle(this.#parts, objects, timeoutMs);
  }

  /** Pilot has said which hosts of ServiceEntries there are. */
  takeEntryHosts(hosts: readonly EntryHost[]): void {
    const { workloads, logger } = this.#parts;
    this.#inTurn(() => workloads.takeEntryHosts(hosts)).catch((error: Error) =>
      logger.error({ error }, 'hosts of ServiceEntries got no addresses; free space or fix the state directory'),
    );
  }

  /** The applied Kubernetes objects. */
  objects(): readonly StoredObject[] {
    return this.#parts.workloads.store.list();
  }

  /** Ends the target's processes and keeps them down. @throws UnknownTargetError */
  async stop(target: string, signal: NodeJS.Signals | undefined): Promise<string[]> {
    const processes = findProcesses(target, this.#parts.controlPlane, this.#parts.workloads.pods);
    await Promise.all(processes.map((each) => each.stop({ signal })));
    return processes.map((each) => each.name);
  }

  /** Starts what `stop` ended. @throws UnknownTargetError */
  start(target: string): string[] {
    const processes = findProcesses(target, this.#parts.controlPlane, this.#parts.workloads.pods);
    for (const each of processes) each.start();
    return processes.map((each) => each.name);
  }

  /** How a program runs as a pod's application would. @throws UnknownTargetError where there is no such pod, or it is a gateway */
  environment({ pod: name, directory, command }: EnvironmentRequest): EnvironmentResponse {
    const pod = findApplication(name, this.#parts.workloads.pods);
    return { environment: pod.environment(), command: pod.commandInPod(directory, command) };
  }

  /** Ends every process and leaves nothing behind but the state directory. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { workloads, controlPlane, registry, reaper, layout, closers, logger } = this.#parts;
    clearInterval(this.#rotation);
    registry.close();
    await rm(layout.meshFile, { force: true });
    const options = { graceMs: SHUTDOWN_GRACE_MS };
    const workloadsEnd = workloads.close(options);
    await Promise.all([workloadsEnd, controlPlane.close(options, workloadsEnd)]);
    for (const close of closers) await close();
    await reaper.close();
    await this.#control?.close();
    logger.info({}, 'the mesh has ended');
    this.#resolveClosed();
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => undefined); // the caller hears of it
    return result;
  }

  #rotateLogs(): void {
    const { controlPlane, workloads, logger } = this.#parts;
    const children = [
      ...[...controlPlane.components.values()].map((each) => each.process),
      ...workloads.pods.flatMap((pod) => (pod.app === undefined ? [pod.sidecar] : [pod.sidecar, pod.app])),
    ];
    for (const child of children) {
      try {
        child.rotateLog();
      } catch (error) {
        logger.warn({ process: child.name, error }, 'a log could not be shortened');
      }
    }
  }
}
