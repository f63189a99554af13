// Pods: makes the running pods those that the deployments ask for, new ones before old ones go.

import type { Logger } from '@lateen/telemetry';
import type { StopOptions } from '../processes/managed-process.js';
import type { Pod } from './pod.js';
import type { PodPlan } from './pod-plan.js';

/** How long old pods of a deployment wait for their successors to become ready. */
const ROLLOUT_LIMIT_MS = 60_000;
const ROLLOUT_POLL_MS = 100;

export interface PodSetOptions {
  readonly createPod: (plan: PodPlan) => Pod;
  /** Called after every change of the set. */
  readonly onChange: () => void;
  /** Resolves when callers have had time to hear that a pod is leaving. */
  readonly settled: () => Promise<void>;
  /** The pod's processes are gone: gives back what it used. */
  readonly onRemoved: (pod: Pod) => void;
  readonly logger: Logger;
}

export class PodSet {
  readonly #options: PodSetOptions;
  readonly #pods = new Map<string, Pod>();
  #wanted = new Map<string, PodPlan>();
  #closing = false;

  constructor(options: PodSetOptions) {
    this.#options = options;
  }

  /** All pods, those on their way out included, in the order of their names. */
  get pods(): readonly Pod[] {
    return [...this.#pods.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Starts what is missing and retires what is too much. */
  reconcile(plans: readonly PodPlan[]): void {
    if (this.#closing) return;
    this.#wanted = new Map(plans.map((plan) => [keyOf(plan), plan]));
    for (const plan of plans) {
      const existing = this.#pods.get(keyOf(plan));
      if (existing === undefined) this.#add(plan);
      else if (!existing.terminating && !samePorts(existing.plan, plan)) this.#retire(existing, Promise.resolve());
    }
    for (const pod of this.#pods.values()) {
      if (pod.terminating || this.#wanted.has(pod.key)) continue;
      this.#retire(pod, this.#successorsReady(pod.plan));
    }
    this.#options.onChange();
  }

  /** What is missing until a deployment's pods are ready and others of it are on their way out; of stopped ones nothing is. */
  unsettled(namespace: string, deployment: string): string[] {
    const isOf = (plan: PodPlan) => plan.namespace === namespace && plan.deployment.name === deployment;
    const missing = [...this.#wanted.values()].filter(isOf).flatMap((plan) => {
      const pod = this.#pods.get(keyOf(plan));
      if (pod !== undefined && !pod.terminating && (pod.ready || pod.stopped)) return [];
      return [`pod ${keyOf(plan)} (${pod?.notReadyReason ?? 'starting'})`];
    });
    const leaving = this.pods.filter((pod) => isOf(pod.plan) && !pod.terminating && !this.#wanted.has(pod.key));
    return [...missing, ...leaving.map(({ key }) => `pod ${key} to leave`)];
  }

  /** Ends every pod at once. */
  async close(options: StopOptions): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#pods.values()].map((pod) => pod.terminate(options)));
    this.#pods.clear();
  }

  #add(plan: PodPlan): void {
    const pod = this.#options.createPod(plan);
    this.#pods.set(pod.key, pod);
    pod.start();
  }

  readonly #leaving = new Set<string>();

  #retire(pod: Pod, before: Promise<void>): void {
    if (this.#leaving.has(pod.key)) return;
    this.#leaving.add(pod.key);
    const leave = async () => {
      await before;
      // It may have been asked for again while its successors were starting.
      const plan = this.#wanted.get(pod.key);
      if (this.#closing || (plan !== undefined && samePorts(pod.plan, plan))) return;
      pod.markTerminating();
      this.#options.onChange();
      await this.#options.settled();
      await pod.terminate();
      this.#pods.delete(pod.key);
      this.#options.onRemoved(pod);
      const again = this.#wanted.get(pod.key);
      if (again !== undefined && !this.#closing) this.#add(again);
      this.#options.onChange();
    };
    leave()
      .catch((error: Error) => this.#options.logger.error({ pod: pod.key, error }, 'a pod could not be ended'))
      .finally(() => this.#leaving.delete(pod.key));
  }

  /** Resolves when the deployment's new pods are ready, at once where it has none, or after the limit. */
  async #successorsReady(old: PodPlan): Promise<void> {
    const deadline = Date.now() + ROLLOUT_LIMIT_MS;
    while (!this.#closing && Date.now() < deadline) {
      const successors = [...this.#wanted.values()].filter(
        (plan) => plan.namespace === old.namespace && plan.deployment.name === old.deployment.name,
      );
      if (successors.every((plan) => this.#pods.get(keyOf(plan))?.ready === true)) return;
      await new Promise((wake) => setTimeout(wake, ROLLOUT_POLL_MS));
    }
  }
}

function keyOf(plan: PodPlan): string {
  return `${plan.namespace}/${plan.name}`;
}

function samePorts(a: PodPlan, b: PodPlan): boolean {
  return JSON.stringify(a.ports) === JSON.stringify(b.ports);
}
