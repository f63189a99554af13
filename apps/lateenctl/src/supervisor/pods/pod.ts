// Pods: one replica: an application process (a gateway has none) and its sidecar process, with address and readiness.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SidecarNode } from '@lateen/bootstrap';
import type { Logger } from '@lateen/telemetry';
import type { KubeService } from '../../kubernetes/objects.js';
import { makePrivateDirectory } from '../../state/private-directory.js';
import { proberOf, readinessPath } from '../isolation/intercepted-sidecar.js';
import type { PodNetwork } from '../isolation/pod-network.js';
import { releasePort, takeFreePort } from '../network/free-port.js';
import { ManagedProcess, type StopOptions } from '../processes/managed-process.js';
import type { Reaper } from '../processes/reaper.js';
import type { EntryHost } from '../registry/entry-hosts.js';
import { buildEnvironment } from './environment.js';
import { hostsFileText } from './hosts-file.js';
import type { PodPlan } from './pod-plan.js';
import { type Probe, type ProbeLoop, type ProbeTarget, startProbeLoop } from './probe.js';
import type { Interception, SidecarRunner } from './sidecar-runner.js';

const LOOPBACK = '127.0.0.1';
/** Where a sidecar that intercepts answers for the probes of its application. */
const PROBES_PORT = 15020;
/** The sidecar says itself that the application did not answer in time. */
const ANSWER_MARGIN_MS = 500;

export interface PodOptions {
  readonly plan: PodPlan;
  readonly directory: string;
  /** Where this machine reaches its sidecar. */
  readonly address: string;
  /** The pod's own network; undefined where it shares this machine's. */
  readonly network: PodNetwork | undefined;
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
  readonly #interception: Interception | undefined;
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
    const { network } = options;
    this.#interception = network && { network, probers: this.#probers() };
    if (network !== undefined) this.#appPorts = new Map(this.plan.ports.map(({ port }) => [port, port]));
    this.sidecar = options.sidecar.process(this.#node(), this.directory, this.#interception, () =>
      this.#sidecarChanged(),
    );
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
    const probe = network === undefined ? this.plan.deployment.template.readinessProbe : this.#probeBySidecar();
    this.#appProbe = startProbeLoop(probe, () => this.#probeTarget(), options.onChange);
  }

  /** By these the mesh knows the pod, the first of all. */
  get ips(): readonly string[] {
    return this.#options.network?.addresses ?? [this.address];
  }

  /** Its connections are redirected to its sidecar. */
  get intercepted(): boolean {
    return this.#options.network !== undefined;
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
    if (!this.appReady) return `app: ${unstarted(this.app) ?? this.#appProbe?.reason}`;
    return `sidecar: ${unstarted(this.sidecar) ?? this.#sidecarProbe.reason}`;
  }

  /** Ends both processes by force: they start again. */
  restart(): void {
    this.app?.kill();
    this.sidecar.kill();
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
    if (this.plan.gateway || this.intercepted) return;
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
    const services = this.#options.services().filter((service) => service.namespace === namespace);
    const { intercepted } = this;
    return buildEnvironment({
      fields: { podName: name, namespace, serviceAccount, address: this.ips[0]!, labels, annotations },
      env,
      appPorts: this.#appPorts,
      // As in a cluster: what has no address of its own has no variables.
      services: services.filter(({ headless }) => !(intercepted && headless)),
      entryHosts: intercepted ? [] : this.#options.entryHosts(),
      hostsFile: intercepted ? undefined : this.#hostsFile,
      serviceAddress: this.#options.serviceAddress,
    });
  }

  /** The command line of a program that runs where the application does. */
  commandInPod(directory: string, command: readonly string[]): readonly string[] {
    return this.#options.network?.commandOfApplication(directory, command) ?? command;
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
    if (!this.intercepted) for (const port of this.#appPorts.values()) releasePort(port);
    this.#options.sidecar.forget(this.directory, this.#interception);
    await this.#options.network?.close();
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
      address: this.ips[0]!,
      gateway,
    };
  }

  async #planApp() {
    const { plan, directory } = this;
    await this.#options.network?.ready();
    if (!this.intercepted) await this.#takePorts();
    this.writeHosts();
    const workingDirectory = plan.deployment.directory;
    const [command, ...args] = this.commandInPod(workingDirectory, plan.deployment.template.command);
    return {
      command: command!,
      args,
      workingDirectory,
      env: this.environment(),
      logFile: join(directory, 'app.log'),
      holdsInput: false,
    };
  }

  /** Fresh ones at each start: another program may have taken the last ones meanwhile. */
  async #takePorts(): Promise<void> {
    for (const port of this.#appPorts.values()) releasePort(port);
    const ports = new Map<number, number>();
    for (const { port } of this.plan.ports) ports.set(port, await takeFreePort());
    this.#appPorts = ports;
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
    const port = this.#probedPort();
    if (this.intercepted) return { host: this.address, port: port && PROBES_PORT };
    return { host: LOOPBACK, port };
  }

  /** Undefined for an application that listens nowhere. */
  #probedPort(): number | undefined {
    const wanted = this.plan.deployment.template.readinessProbe.containerPort;
    const [first] = this.#appPorts.values();
    return wanted === undefined ? first : this.#appPorts.get(wanted);
  }

  /** Nobody but the sidecar reaches the application without the mesh's certificates: it asks, as in a cluster. */
  #probeBySidecar(): Probe {
    const { containerName, readinessProbe } = this.plan.deployment.template;
    const timeoutMs = readinessProbe.timeoutMs + ANSWER_MARGIN_MS;
    return { ...readinessProbe, kind: 'http', path: readinessPath(containerName), headers: {}, timeoutMs };
  }

  #probers(): Readonly<Record<string, object>> {
    const { containerName, readinessProbe, ports } = this.plan.deployment.template;
    const port = readinessProbe.containerPort ?? ports[0]?.port ?? this.plan.ports[0]?.port;
    return port === undefined ? {} : { [readinessPath(containerName)]: proberOf(readinessProbe, port) };
  }
}

/** Why a process never ran; undefined where it has, or nothing is known to be wrong. */
function unstarted(child: ManagedProcess | undefined): string | undefined {
  return child?.startedAtMs === undefined ? child?.lastEnd : undefined;
}
