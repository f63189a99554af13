// Pods: one replica: an application process (a gateway has none) and its sidecar process, with address and readiness.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SidecarNode } from '@lateen/bootstrap';
import type { Logger } from '@lateen/telemetry';
import type { KubeService } from '../../kubernetes/objects.js';
import { makePrivateDirectory } from '../../state/private-directory.js';
import { releasePort, takeFreePort } from '../network/free-port.js';
import { ManagedProcess, type StopOptions } from '../processes/managed-process.js';
import type { Reaper } from '../processes/reaper.js';
import type { EntryHost } from '../registry/entry-hosts.js';
import { buildEnvironment } from './environment.js';
import { hostsFileText } from './hosts-file.js';
import type { PodPlan } from './pod-plan.js';
import { type ProbeLoop, type ProbeTarget, startProbeLoop } from './probe.js';
import type { SidecarRunner } from './sidecar-runner.js';

const LOOPBACK = '127.0.0.1';

export interface PodOptions {
  readonly plan: PodPlan;
  readonly directory: string;
  readonly address: string;
  readonly sidecar: SidecarRunner;
  /** All services of the mesh. */
  readonly services: () => readonly KubeService[];
  /** These, and the pods of headless ones as services of their own. */
  readonly called: () => readonly KubeService[];
  /** Hosts of ServiceEntries that the pod sees. */
  readonly entryHosts: () => readonly EntryHost[];
  /** The pod's own address for calls to a service. */
  readonly serviceAddress: (host: string) => string;
  readonly reaper: Reaper;
  readonly logger: Logger;
  /** Called when readiness, a process or a port changed. */
  readonly onChange: () => void;
}

export type PodPart = 'app' | 'sidecar';

export class Pod {
  readonly plan: PodPlan;
  readonly address: string;
  readonly directory: string;
  /** Undefined for a gateway. */
  readonly app: ManagedProcess | undefined;
  readonly sidecar: ManagedProcess;
  readonly createdAtMs = Date.now();
  readonly #options: PodOptions;
  readonly #appProbe: ProbeLoop | undefined;
  readonly #sidecarProbe: ProbeLoop;
  #appPorts = new Map<number, number>();
  #terminating = false;
  #hosts = '';
  #lastAppPid: number | undefined;
  #lastSidecarPid: number | undefined;

  constructor(options: PodOptions) {
    this.#options = options;
    this.plan = options.plan;
    this.address = options.address;
    this.directory = makePrivateDirectory(options.directory);
    this.sidecar = options.sidecar.process(this.#node(), this.directory, () => this.#sidecarChanged());
    this.#sidecarProbe = options.sidecar.probe(
      this.address,
      () => this.sidecar.state === 'running',
      () => this.#options.onChange(),
    );
    if (this.plan.gateway) return;
    const { reaper, logger } = options;
    this.app = new ManagedProcess({
      name: `${this.key}/app`,
      plan: () => this.#planApp(),
      reaper,
      logger,
      onChange: () => this.#appChanged(),
    });
    const probe = this.plan.deployment.template.readinessProbe;
    this.#appProbe = startProbeLoop(probe, () => this.#probeTarget(), options.onChange);
  }

  get key(): string {
    return `${this.plan.namespace}/${this.plan.name}`;
  }

  get appPorts(): ReadonlyMap<number, number> {
    return this.#appPorts;
  }

  get appReady(): boolean {
    return this.#appProbe?.ready ?? true;
  }

  get sidecarReady(): boolean {
    return this.#sidecarProbe.ready;
  }

  /** Ready for traffic, as Kubernetes means it: both containers are, and the pod is not on its way out. */
  get ready(): boolean {
    return !this.#terminating && this.appReady && this.sidecarReady;
  }

  get terminating(): boolean {
    return this.#terminating;
  }

  /** The user has stopped its application or its sidecar. */
  get stopped(): boolean {
    return this.sidecar.state === 'stopped' || this.app?.state === 'stopped';
  }

  /** Why the pod is not ready, for people. */
  get notReadyReason(): string | undefined {
    if (this.ready) return undefined;
    if (this.#terminating) return 'terminating';
    if (!this.appReady) return `app: ${this.#appProbe?.reason}`;
    return `sidecar: ${this.#sidecarProbe.reason}`;
  }

  start(): void {
    this.app?.start();
    this.sidecar.start();
  }

  get #hostsFile(): string {
    return join(this.directory, 'hosts');
  }

  /** Writes the names that the application may call, if they are not those that it has. */
  writeHosts(): void {
    if (this.plan.gateway) return;
    const { called, entryHosts, serviceAddress } = this.#options;
    const { namespace } = this.plan;
    const text = hostsFileText({ namespace, services: called(), entryHosts: entryHosts(), serviceAddress });
    if (text === this.#hosts) return;
    this.#hosts = text;
    // Readers see the old file or the new one, never a half.
    const fresh = `${this.#hostsFile}.new`;
    writeFileSync(fresh, text);
    renameSync(fresh, this.#hostsFile);
  }

  /** The variables of its application. */
  environment(): Record<string, string> {
    const { name, namespace, deployment } = this.plan;
    const { serviceAccount, labels, annotations, env } = deployment.template;
    return buildEnvironment({
      fields: { podName: name, namespace, serviceAccount, address: this.address, labels, annotations },
      env,
      appPorts: this.#appPorts,
      services: this.#options.services().filter((service) => service.namespace === namespace),
      entryHosts: this.#options.entryHosts(),
      hostsFile: this.#hostsFile,
      serviceAddress: this.#options.serviceAddress,
    });
  }

  /** Marks the pod as leaving, so that it is reported as not ready; its processes still run. */
  markTerminating(): void {
    this.#terminating = true;
  }

  /** Ends both processes: the sidecar first, so that it drains while its application still answers. */
  async terminate(options: StopOptions = {}): Promise<void> {
    this.markTerminating();
    this.#appProbe?.stop();
    this.#sidecarProbe.stop();
    const graceMs = options.graceMs ?? this.plan.deployment.template.terminationGraceMs;
    await this.sidecar.stop({ ...options, graceMs });
    await this.app?.stop({ ...options, graceMs });
    for (const port of this.#appPorts.values()) releasePort(port);
    this.#options.sidecar.forget(this.directory);
  }

  #node(): SidecarNode {
    const { name, namespace, deployment, gateway } = this.plan;
    return {
      podName: name,
      namespace,
      workloadName: deployment.name,
      serviceAccount: deployment.template.serviceAccount,
      labels: deployment.template.labels,
      annotations: deployment.template.annotations,
      address: this.address,
      gateway,
    };
  }

  async #planApp() {
    const { plan, directory } = this;
    // A fresh port at each start: another program may have taken the last one meanwhile.
    for (const port of this.#appPorts.values()) releasePort(port);
    const ports = new Map<number, number>();
    for (const { port } of plan.ports) ports.set(port, await takeFreePort());
    this.#appPorts = ports;
    this.writeHosts();
    const [command, ...args] = plan.deployment.template.command as [string, ...string[]];
    return {
      command,
      args,
      workingDirectory: plan.deployment.directory,
      env: this.environment(),
      logFile: join(directory, 'app.log'),
      holdsInput: false,
    };
  }

  #appChanged(): void {
    if (this.app?.pid !== this.#lastAppPid) {
      this.#lastAppPid = this.app?.pid;
      this.#appProbe?.reset();
    }
    this.#options.onChange();
  }

  #sidecarChanged(): void {
    if (this.sidecar.pid !== this.#lastSidecarPid) {
      this.#lastSidecarPid = this.sidecar.pid;
      this.#sidecarProbe.reset();
    }
    this.#options.onChange();
  }

  /** Where the probe's container port really is. */
  #probeTarget(): ProbeTarget | undefined {
    if (this.app?.state !== 'running') return undefined;
    const wanted = this.plan.deployment.template.readinessProbe.containerPort;
    const [first] = this.#appPorts.values();
    return { host: LOOPBACK, port: wanted === undefined ? first : this.#appPorts.get(wanted) };
  }
}
