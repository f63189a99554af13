// Workload groups in a cluster: workloads that registered themselves are WorkloadEntries of the API server, which all replicas see.

import { type CustomResource, isConflict, isNotFound, type KubeClient, type ResourceType } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import { CONTROLLER_ANNOTATION, type WorkloadEntry } from './group-entry.js';

export const WORKLOAD_ENTRIES: ResourceType<CustomResource> = {
  group: 'networking.istio.io',
  version: 'v1',
  kind: 'WorkloadEntry',
  plural: 'workloadentries',
  namespaced: true,
};

export interface EntryObjectsOptions {
  readonly client: KubeClient;
  /** Of this pod: stands in what it writes. */
  readonly controller: string;
  /** Whether there is a pod of this name that could hold the stream of a workload. */
  readonly isAlive: (controller: string) => boolean;
  /** The entries that there should be of workloads which are connected here. */
  readonly desired: () => readonly WorkloadEntry[];
  /** All entries that configuration has. */
  readonly stored: () => readonly WorkloadEntry[];
  readonly logger: Logger;
  /** How long the entries of a replica that is gone stay, for their workloads to come to another. */
  readonly orphanMs?: number;
}

const ORPHAN_MS = 30_000;
const LOOK_MS = 5_000;
const FIELD_MANAGER = 'lateen-pilot';

interface EntryName {
  readonly namespace: string;
  readonly name: string;
}

function keyOf({ namespace, name }: EntryName): string {
  return `${namespace}/${name}`;
}

/** Brings what the API server has to what is desired, one call after the other, for as long as it takes. */
export class EntryObjects {
  /** What was written last, by key. */
  readonly #written = new Map<string, { readonly at: EntryName; readonly text: string }>();
  /** Since when the replica of an entry has been missed. */
  readonly #missedSinceMs = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #isStale = false;

  constructor(private readonly options: EntryObjectsOptions) {
    this.#timer = setInterval(() => this.changed(), LOOK_MS);
  }

  /** What is desired may be something else. */
  changed(): void {
    this.#isStale = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#isStale && !this.#abort.signal.aborted) {
      this.#isStale = false;
      try {
        await this.#write();
        await this.#removeOrphans();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        // The next look tries again; the workloads that are connected here are served by this replica all the same.
        const reason = (error as Error).message;
        this.options.logger.warn({ reason }, 'WorkloadEntries of registered workloads cannot be written; trying again');
        return;
      }
    }
  }

  async #write(): Promise<void> {
    const desired = new Map(this.options.desired().map((entry) => [keyOf(entry.metadata), entry]));
    for (const [key, entry] of desired) {
      const { namespace, name, labels, annotations } = entry.metadata;
      const metadata = {
        name,
        namespace,
        labels,
        annotations: { ...annotations, [CONTROLLER_ANNOTATION]: this.options.controller },
      };
      const text = JSON.stringify([metadata, entry.spec]);
      if (this.#written.get(key)?.text === text) continue;
      const patch = { apply: { metadata, spec: entry.spec }, force: true };
      const options = { fieldManager: FIELD_MANAGER, signal: this.#abort.signal };
      await this.options.client.patch(WORKLOAD_ENTRIES, { namespace, name }, patch, options);
      this.#written.set(key, { at: { namespace, name }, text });
    }
    for (const [key, { at }] of this.#written) {
      if (desired.has(key)) continue;
      await this.#remove(at, this.options.controller);
      this.#written.delete(key);
    }
  }

  /** Those of replicas that are gone, and whose workloads have come to no other. */
  async #removeOrphans(): Promise<void> {
    const { stored, isAlive, controller, orphanMs = ORPHAN_MS } = this.options;
    const nowMs = performance.now();
    const missed = new Set<string>();
    for (const { metadata } of stored()) {
      const holder = metadata.annotations[CONTROLLER_ANNOTATION];
      if (holder === undefined || holder === controller || isAlive(holder)) continue;
      const key = `${keyOf(metadata)} ${holder}`;
      missed.add(key);
      const sinceMs = this.#missedSinceMs.get(key) ?? nowMs;
      this.#missedSinceMs.set(key, sinceMs);
      if (nowMs - sinceMs >= orphanMs) await this.#remove(metadata, holder);
    }
    for (const key of this.#missedSinceMs.keys()) if (!missed.has(key)) this.#missedSinceMs.delete(key);
  }

  /** Unless it has become another replica's meanwhile. */
  async #remove(at: EntryName, controller: string): Promise<void> {
    const { client, logger } = this.options;
    const { signal } = this.#abort;
    try {
      const { metadata } = await client.get(WORKLOAD_ENTRIES, at, signal);
      if (metadata.annotations?.[CONTROLLER_ANNOTATION] !== controller) return;
      const { uid, resourceVersion } = metadata;
      await client.delete(WORKLOAD_ENTRIES, at, {
        ...(uid !== undefined && { uid }),
        ...(resourceVersion !== undefined && { resourceVersion }),
        signal,
      });
      logger.info({ workloadEntry: keyOf(at), controller }, 'the WorkloadEntry of a workload that is gone was deleted');
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}
