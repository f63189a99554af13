// Kubernetes, leader only: writes back to each resource whether it is in force, and what should be known of it.
import type { Problem } from '@lateen/istio-config';
import { isConflict, isNotFound, type KubeClient } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { ConfigRules } from '../rules.js';
import type { ConfigStore } from '../store/config-store.js';
import { objectOf, type ResourceKey } from '../store/stored-resource.js';
import type { KindInformers } from './kind-informers.js';
import type { ResourceSource } from './resource-source.js';
import { type ResourceStatus, statusChange } from './resource-status.js';

export interface StatusWriterOptions {
  readonly client: KubeClient;
  readonly kinds: KindInformers;
  readonly resources: ResourceSource;
  readonly rules: ConfigRules;
  readonly store: ConfigStore;
  readonly isLeader: () => boolean;
  readonly onWritten: (outcome: 'written' | 'conflict' | 'failed') => void;
  readonly logger: Logger;
  /** Least time between two writes. */
  readonly intervalMs?: number;
  /** Before a write that failed is tried again. */
  readonly retryMs?: number;
}

/** Twenty writes a second at the most: a start with thousands of resources must not be felt. */
const INTERVAL_MS = 50;
const RETRY_MS = 1_000;
/** Changes are looked at together. */
const GATHER_MS = 100;

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #unsubscribe: () => void;
  readonly #abort = new AbortController();
  #queue = new Set<ResourceKey>();
  /** Problems between resources, by the one that they are about. */
  #together: ReadonlyMap<string, readonly Problem[]> = new Map();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#unsubscribe = options.resources.subscribe((keys) => this.#mark(keys));
  }

  /** Looks at every resource: this replica leads now. */
  refresh(): void {
    this.#mark(this.#options.resources.seen.keys());
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#abort.abort();
    clearTimeout(this.#timer);
    await this.#writing;
  }

  #mark(keys: Iterable<ResourceKey>): void {
    if (!this.#options.isLeader()) return;
    for (const key of keys) this.#queue.add(key);
    this.#soon(GATHER_MS);
  }

  #soon(ms: number): void {
    if (this.#timer !== undefined || this.#abort.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined;
        if (this.#queue.size > 0) this.#soon(GATHER_MS);
      });
    }, ms);
  }

  async #writeAll(): Promise<void> {
    const { isLeader, intervalMs = INTERVAL_MS } = this.#options;
    this.#lookBetween();
    const keys = this.#queue;
    this.#queue = new Set();
    for (const key of keys) {
      if (this.#abort.signal.aborted || !isLeader()) return;
      if (await this.#write(key)) await new Promise((resolve) => setTimeout(resolve, intervalMs));
    }
  }

  /** A change may take away, or bring, problems of resources that did not change. */
  #lookBetween(): void {
    const { rules, resources } = this.#options;
    const objects = [...resources.seen.values()].flatMap(({ content }) => (content ? [objectOf(content)] : []));
    const next = new Map<string, Problem[]>();
    for (const problem of rules.checkTogether(objects)) {
      const key = `${problem.kind}/${problem.namespace}/${problem.name}`;
      next.set(key, [...(next.get(key) ?? []), problem]);
    }
    for (const key of new Set([...next.keys(), ...this.#together.keys()])) {
      const [before, after] = [this.#together.get(key), next.get(key)];
      if (JSON.stringify(before) !== JSON.stringify(after)) this.#queue.add(key as ResourceKey);
    }
    this.#together = next;
  }

  /** True when something was sent. */
  async #write(key: ResourceKey): Promise<boolean> {
    const { client, kinds, resources, store, onWritten, logger, retryMs = RETRY_MS } = this.#options;
    const read = resources.seen.get(key);
    const type = read && kinds.typeOf(read.kind);
    if (read === undefined || type === undefined) return false;
    const { namespace, name, generation, resourceVersion } = read.object.metadata;
    const problems = [...read.problems, ...(this.#together.get(key) ?? [])];
    const finding = { problems, generation, lastGoodStays: store.state.resources.has(key) };
    const status = statusChange(read.object.status as ResourceStatus | undefined, finding, new Date().toISOString());
    if (status === undefined) return false;
    try {
      // With the version that was judged: a newer one is judged anew, and nobody's status is overwritten.
      const merge = { metadata: { resourceVersion }, status };
      await client.patch(type, { namespace, name }, { merge }, { subresource: 'status', signal: this.#abort.signal });
      onWritten('written');
    } catch (error) {
      if (this.#abort.signal.aborted || isNotFound(error)) return true;
      onWritten(isConflict(error) ? 'conflict' : 'failed');
      if (!isConflict(error)) {
        logger.warn({ resource: key, error }, `the status of ${key} could not be written: ${(error as Error).message}`);
      }
      // After a conflict the informer brings the newer version, perhaps has already.
      setTimeout(() => this.#mark([key]), retryMs).unref();
    }
    return true;
  }
}
