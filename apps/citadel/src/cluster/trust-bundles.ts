// Cluster: keeps the trust bundle in every namespace: in new ones, after a change of the roots, and where somebody changed or removed it.
// One runs at a time, at the leader.

import {
  ApiError,
  type ConfigMap,
  Informer,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type KubeClient,
  type Namespace,
  resourceTypes,
} from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { Authority } from '../authority/authority.js';
import { BUNDLE_CONFIG_MAP, BUNDLE_KEY, bundleConfigMap } from './trust-bundle-object.js';

/** Istio leaves these alone, too: no workload of a mesh runs there. */
const LEFT_ALONE: ReadonlySet<string> = new Set([
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
]);
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

export interface TrustBundlesOptions {
  readonly client: KubeClient;
  readonly authority: Authority;
  /** Asked before each write. */
  readonly leads: () => boolean;
  readonly logger: Logger;
  /** Told of each write, for the metrics. */
  readonly onWrite?: (result: 'written' | 'failed') => void;
}

export class TrustBundles {
  readonly #options: TrustBundlesOptions;
  readonly #namespaces: Informer<Namespace>;
  readonly #configMaps: Informer<ConfigMap>;
  readonly #waiting = new Set<string>();
  readonly #retries = new Map<string, { readonly timer: NodeJS.Timeout; readonly delayMs: number }>();
  readonly #unsubscribe: (() => void)[] = [];
  #working: Promise<void> | undefined;
  #stopped = false;

  constructor(options: TrustBundlesOptions) {
    this.#options = options;
    const { client, logger } = options;
    const onError = (error: Error | undefined) => {
      if (error !== undefined) logger.warn({ reason: error.message }, 'trust bundles cannot be looked after');
    };
    this.#namespaces = new Informer({ client, type: resourceTypes.namespaces, onError });
    const fieldSelector = `metadata.name=${BUNDLE_CONFIG_MAP}`;
    this.#configMaps = new Informer({ client, type: resourceTypes.configMaps, fieldSelector, onError });
  }

  start(): this {
    void Promise.all([this.#namespaces.start().synced, this.#configMaps.start().synced]).then(() => this.#follow());
    return this;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const end of this.#unsubscribe.splice(0)) end();
    for (const { timer } of this.#retries.values()) clearTimeout(timer);
    await Promise.all([this.#namespaces.stop(), this.#configMaps.stop(), this.#working]);
  }

  #follow(): void {
    if (this.#stopped) return;
    const all = () => this.#namespaces.objects().map(({ metadata }) => metadata.name);
    this.#unsubscribe.push(
      this.#options.authority.subscribe(() => this.#enqueue(all())),
      this.#namespaces.subscribe((changes) => this.#enqueue(changes.map(({ object }) => object.metadata.name))),
      this.#configMaps.subscribe((changes) =>
        this.#enqueue(changes.map(({ object }) => object.metadata.namespace ?? '')),
      ),
    );
    this.#enqueue(all());
  }

  #enqueue(namespaces: readonly string[]): void {
    for (const namespace of namespaces) this.#waiting.add(namespace);
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
      // What came after the last look and before this.
      if (this.#waiting.size > 0 && !this.#stopped) this.#enqueue([]);
    });
  }

  async #work(): Promise<void> {
    for (const namespace of this.#waiting) {
      if (this.#stopped) return;
      this.#waiting.delete(namespace);
      await this.#reconcile(namespace);
    }
  }

  /** Writes where it has to. What makes no sense to try again, as in a namespace that is going, waits for the next event. */
  async #reconcile(name: string): Promise<void> {
    const { client, authority, leads, logger, onWrite } = this.#options;
    const namespace = this.#namespaces.get(undefined, name);
    if (namespace === undefined || isGoing(namespace) || LEFT_ALONE.has(name)) return this.#settled(name);
    const present = this.#configMaps.get(name, BUNDLE_CONFIG_MAP);
    const { bundlePem } = authority.current;
    if (present?.data?.[BUNDLE_KEY] === bundlePem) return this.#settled(name);
    if (!leads()) return;
    const wanted = bundleConfigMap(name, bundlePem, present);
    try {
      if (present === undefined) await client.create(resourceTypes.configMaps, wanted);
      else await client.update(resourceTypes.configMaps, wanted);
      onWrite?.('written');
      this.#settled(name);
    } catch (error) {
      // Conflicts: the watch brings what is there now. Otherwise the namespace went, or is going.
      if (isConflict(error) || isAlreadyExists(error) || isNotFound(error)) return this.#later(name);
      if (isTerminating(error)) return this.#settled(name);
      onWrite?.('failed');
      if (!this.#retries.has(name))
        logger.warn({ namespace: name, reason: (error as Error).message }, 'the trust bundle cannot be written');
      this.#later(name);
    }
  }

  #later(name: string): void {
    if (this.#stopped) return;
    const before = this.#retries.get(name);
    clearTimeout(before?.timer);
    const delayMs = Math.min(LAST_RETRY_MS, before === undefined ? FIRST_RETRY_MS : before.delayMs * 2);
    const timer = setTimeout(() => this.#enqueue([name]), delayMs);
    this.#retries.set(name, { timer, delayMs });
  }

  #settled(name: string): void {
    clearTimeout(this.#retries.get(name)?.timer);
    this.#retries.delete(name);
  }
}

function isGoing({ metadata, status }: Namespace): boolean {
  return metadata.deletionTimestamp !== undefined || status?.phase === 'Terminating';
}

function isTerminating(error: unknown): boolean {
  const causes = error instanceof ApiError ? (error.status?.details?.causes ?? []) : [];
  return causes.some(({ reason }) => reason === 'NamespaceTerminating');
}
