// Supervisor: services and deployments -> pods with addresses, and the report of them to Pilot.

import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigObject } from '@lateen/istio-config';
import type { Logger } from '@lateen/telemetry';
import type { RegistryReport } from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import type { JoinRequest, JoinResponse, ObjectRef } from '../control/control-api.js';
import { calledServices } from '../kubernetes/called-services.js';
import type { ObjectStore } from '../kubernetes/object-store.js';
import { type KubeObjects, type KubeService, serviceHost } from '../kubernetes/objects.js';
import type { StateLayout } from '../state/state-layout.js';
import type { MeshNetwork } from './isolation/mesh-network.js';
import { PodNetwork } from './isolation/pod-network.js';
import type { AddressBook } from './network/address-book.js';
import type { IngressPorts } from './network/ingress-port.js';
import { requireLoopback } from './network/loopback-alias.js';
import { isOutsideWorkload, prepareOutsideWorkload } from './outside-workloads.js';
import { GATEWAY_POD, GATEWAY_SERVICE, gatewayBindAddresses, gatewayHostPorts } from './pods/gateway-pod.js';
import { Pod } from './pods/pod.js';
import { type PodPlan, planPods } from './pods/pod-plan.js';
import { PodSet } from './pods/pod-set.js';
import type { SidecarRunner } from './pods/sidecar-runner.js';
import type { StopOptions } from './processes/managed-process.js';
import type { Reaper } from './processes/reaper.js';
import { appProgram, ownProgram } from './programs.js';
import type { EntryHost, EntryHosts } from './registry/entry-hosts.js';
import { buildReport } from './registry/report.js';

export interface WorkloadsOptions {
  readonly layout: StateLayout;
  readonly addresses: AddressBook;
  readonly sidecars: SidecarRunner;
  readonly store: ObjectStore;
  readonly entryHosts: EntryHosts;
  readonly ingressPorts: IngressPorts;
  /** In which each pod has a network of its own; undefined where pods share this machine's. */
  readonly network: MeshNetwork | undefined;
  readonly reaper: Reaper;
  readonly logger: Logger;
  /** Called when the report to Pilot has changed. */
  readonly onChange: () => void;
  /** Resolves when Pilot knows the present state and its proxies had time to hear of it. */
  readonly settled: () => Promise<void>;
}

export class Workloads {
  readonly store: ObjectStore;
  readonly #options: WorkloadsOptions;
  readonly #pods: PodSet;

  constructor(options: WorkloadsOptions) {
    this.#options = options;
    this.store = options.store;
    this.#pods = new PodSet({
      createPod: (plan) => this.#createPod(plan),
      onChange: options.onChange,
      settled: options.settled,
      onRemoved: (pod) => this.#removed(pod),
      logger: options.logger,
    });
  }

  get pods(): readonly Pod[] {
    return this.#pods.pods;
  }

  /** The applied objects and the gateway's service. */
  get objects(): KubeObjects {
    const { services, ...others } = this.store.objects;
    return { ...others, services: new Map([...services, [serviceHost(GATEWAY_SERVICE), GATEWAY_SERVICE]]) };
  }

  get services(): readonly KubeService[] {
    return [...this.objects.services.values()];
  }

  /** What pods call by addresses of their own: services, and the pods of headless ones. */
  get called(): readonly KubeService[] {
    return this.#called([...this.#plans(), ...this.pods.map(({ plan }) => plan)]);
  }

  #called(plans: readonly PodPlan[]): readonly KubeService[] {
    const pods = plans.map(({ name, namespace, deployment }) => ({
      name,
      namespace,
      labels: deployment.template.labels,
    }));
    return calledServices(this.services, pods);
  }

  /** Makes the pods those of the store; addresses are durable before their pods start. */
  async reconcile(): Promise<void> {
    const plans = this.#plans();
    this.#removeForeignDirectories(plans);
    const { called } = this;
    const all = [...plans, ...this.pods.map(({ plan }) => plan)];
    const owners = new Set([...all.flatMap((plan) => this.#ownersOf(plan, called)), ...this.#virtualOwners()]);
    // A service or host that is taken away and comes back has the address that running applications know.
    const kept = new Set(all.map(servicesOwner));
    this.#options.addresses.prune(
      (owner) => owners.has(owner) || isOutsideWorkload(owner) || kept.has(owner.slice(0, owner.lastIndexOf('/') + 1)),
    );
    const addresses = [...owners].map((owner) => this.#options.addresses.addressOf(owner));
    await this.#options.addresses.save();
    if (process.platform !== 'linux') await requireLoopback(addresses);
    this.#pods.reconcile(plans);
    for (const pod of this.pods) pod.writeHosts();
  }

  /** What is missing until the Deployments among the objects have the pods that they want, and no others. */
  unsettled(objects: readonly ObjectRef[]): string[] {
    return objects.flatMap(({ kind, namespace, name }) =>
      kind === 'Deployment' ? this.#pods.unsettled(namespace, name) : [],
    );
  }

  /** Writes what a workload that no Deployment describes joins with. */
  async join(order: JoinRequest): Promise<JoinResponse> {
    if (this.#options.network !== undefined) {
      throw new Error(
        'this mesh runs with --isolation netns: its pods are in a network of their own, which processes outside of it cannot join; start it without the flag',
      );
    }
    return prepareOutsideWorkload(this.#options, order);
  }

  /** Hosts of ServiceEntries that are being applied together with pods, which are about to start. */
  announce(entries: readonly ConfigObject<'ServiceEntry'>[]): void {
    this.#options.entryHosts.announce(entries);
  }

  /** Hosts of ServiceEntries that pods of a namespace see. */
  entryHosts(namespace: string): readonly EntryHost[] {
    return this.#options.entryHosts.seenFrom(namespace);
  }

  /** Pilot has said which hosts there are beside services. */
  async takeEntryHosts(hosts: readonly EntryHost[]): Promise<void> {
    if (await this.#options.entryHosts.replace(hosts)) await this.reconcile();
  }

  /** The pod's own address for calls to a service. */
  serviceAddress(pod: PodPlan, host: string): string {
    if (this.#options.network !== undefined) return this.#virtualAddresses(host)[0]!;
    return this.#options.addresses.addressOf(serviceOwner(pod, host));
  }

  buildReport(sequence: bigint): RegistryReport {
    return buildReport({
      sequence,
      objects: this.objects,
      pods: this.pods,
      called: this.called,
      serviceAddress: (pod, host) => this.serviceAddress(pod.plan, host),
      clusterIps: (service) => (service.headless ? [] : this.#virtualAddresses(serviceHost(service))),
      entryHosts: (namespace) => this.entryHosts(namespace),
      gatewayBindAddresses: gatewayBindAddresses(this.#options.ingressPorts),
    });
  }

  close(options: StopOptions): Promise<void> {
    return this.#pods.close(options);
  }

  #plans(): PodPlan[] {
    const { deployments } = this.store.objects;
    return [GATEWAY_POD, ...[...deployments.values()].flatMap((each) => planPods(each, this.services))];
  }

  #ownersOf(plan: PodPlan, called: readonly KubeService[]): string[] {
    if (plan.gateway || this.#options.network !== undefined) return [podOwner(plan)];
    const hosts = [...called.map(serviceHost), ...this.entryHosts(plan.namespace).map(({ host }) => host)];
    return [podOwner(plan), ...hosts.map((host) => serviceOwner(plan, host))];
  }

  /** Whose addresses all intercepted pods call. */
  #virtualOwners(): string[] {
    if (this.#options.network === undefined) return [];
    return this.services.map((service) => virtualOwner(serviceHost(service)));
  }

  #virtualAddresses(host: string): readonly string[] {
    const { network, addresses } = this.#options;
    return network?.serviceAddresses(addresses.addressOf(virtualOwner(host))) ?? [];
  }

  #networkOf(plan: PodPlan, directory: string, onLost: () => void): PodNetwork | undefined {
    const { network, addresses, ingressPorts, logger } = this.#options;
    if (network === undefined) return undefined;
    const { labels, annotations } = plan.deployment.template;
    return new PodNetwork({
      network,
      hostAddress: addresses.addressOf(podOwner(plan)),
      directory,
      podName: plan.name,
      namespace: plan.namespace,
      labels,
      annotations,
      gateway: plan.gateway,
      hostPorts: plan.gateway ? gatewayHostPorts(ingressPorts) : new Map(),
      redirectProgram: appProgram('redirect'),
      relayProgram: ownProgram('relay'),
      logger,
      onLost,
    });
  }

  #createPod(plan: PodPlan): Pod {
    const { layout, addresses, sidecars, reaper, logger, onChange } = this.#options;
    const directory = layout.pod(plan.namespace, plan.name);
    const pod: Pod = new Pod({
      plan,
      directory,
      address: addresses.addressOf(podOwner(plan)),
      network: this.#networkOf(plan, directory, () => pod.restart()),
      sidecar: sidecars,
      services: () => this.services,
      called: () => this.called,
      entryHosts: () => this.entryHosts(plan.namespace),
      serviceAddress: (host) => this.serviceAddress(plan, host),
      reaper,
      logger,
      onChange,
    });
    return pod;
  }

  #removed(pod: Pod): void {
    rm(pod.directory, { recursive: true, force: true }).catch((error: Error) =>
      this.#options.logger.error({ pod: pod.key, error }, "an ended pod's directory could not be removed"),
    );
  }

  /** Directories of pods that an earlier run had and this one has not: their keys are of no use any more. */
  #removeForeignDirectories(plans: readonly PodPlan[]): void {
    const { layout, logger } = this.#options;
    if (this.pods.length > 0 || !existsSync(layout.pods)) return;
    const known = new Set(plans.map((plan) => `${plan.namespace}.${plan.name}`));
    for (const name of readdirSync(layout.pods)) {
      if (known.has(name)) continue;
      rm(join(layout.pods, name), { recursive: true, force: true }).catch((error: Error) =>
        logger.error({ name, error }, "a former pod's directory could not be removed"),
      );
    }
  }
}

function podOwner(plan: PodPlan): string {
  return `pod/${plan.namespace}/${plan.name}`;
}

function virtualOwner(host: string): string {
  return `virtual/${host}`;
}

function servicesOwner(plan: PodPlan): string {
  return `service/${plan.namespace}/${plan.name}/`;
}

function serviceOwner(plan: PodPlan, host: string): string {
  return `${servicesOwner(plan)}${host}`;
}
