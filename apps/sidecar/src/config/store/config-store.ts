// Store: the one owner of the configuration. Takes updates of every type, warms, applies them together, and judges them.

import { PUSH_ORDER, TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { ResourceProblem } from '@lateen/xds-stream';
import { type ConfigProblem, ConfigRejected, type DataPlane, type TlsSecret } from '../../data-plane.js';
import type { DnsDiscovery } from '../../upstream/discovery/dns-discovery.js';
import { assembleConfig, followedSecrets, type StaticResources } from './assemble-config.js';
import { BindRetry, Unbindable, type UnboundListener } from './bind-retry.js';
import { findNewSourceClashes, findStaticClashes } from './clashes.js';
import { collectNeeded, dropUnneeded, type NamedSources, type NeededNames } from './needed-names.js';
import { findUnbindable } from './probe-addresses.js';
import { isClusterReady, isListenerReady } from './readiness.js';
import {
  applyChange,
  EMPTY_STATE,
  type ResourceChange,
  type ResourceEntry,
  type ResourceState,
  revertResource,
} from './resource-state.js';
import { type PendingUpdate, type RejectedResource, Verdicts } from './verdicts.js';
import { Warming } from './warming.js';

export interface ConfigStoreOptions {
  readonly dataPlane: Pick<DataPlane, 'apply' | 'updateSecrets' | 'listeners'>;
  readonly statics: StaticResources;
  /** How long a resource waits for what it refers to. */
  readonly fetchTimeoutMs: number;
  readonly now?: () => number;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
  /** Called after each applied batch with what is accepted now. */
  readonly onApplied?: (accepted: ResourceState) => void;
  /** Called after each batch with the secrets whose files are to be followed. */
  readonly onSecrets?: (secrets: readonly Secret[]) => void;
  /** Called when a listener that was refused, since it could not be bound, is in effect. */
  readonly onBound?: (listenerName: string) => void;
  /** Called when the names of a type that are needed may have changed. */
  readonly onNeeded?: (typeUrl: XdsTypeUrl, names: NamedSources) => void;
  /** Finds the endpoints of clusters whose endpoints are names. */
  readonly discovery?: Pick<DnsDiscovery, 'follow' | 'isReady' | 'assignmentOf'>;
}

export class ConfigStore {
  #accepted: ResourceState = EMPTY_STATE;
  #localSecrets: ReadonlyMap<string, TlsSecret> = new Map();
  readonly #listeners: Warming<Listener>;
  readonly #clusters: Warming<Cluster>;
  #pending: PendingUpdate[] = [];
  #scheduled = false;
  #running: Promise<void> = Promise.resolve();
  #deadlineTimer: NodeJS.Timeout | undefined;
  readonly #bindRetry = new BindRetry(() => this.#schedule());
  #closed = false;
  /** Clusters that the control plane removed while its other types were not yet known again. */
  #leaving: Set<string> | undefined;
  readonly #verdicts: Verdicts;
  #appliedOnce = false;
  /** Grows with each discovery; what was applied has seen all before. */
  #discoveries = 0;
  #discoveriesApplied = 0;
  #batchesUnderWay = 0;
  #needed: NeededNames | undefined;
  #neededFrom: readonly unknown[] = [];

  constructor(private readonly options: ConfigStoreOptions) {
    const warming = { timeoutMs: options.fetchTimeoutMs, now: options.now ?? Date.now };
    this.#listeners = new Warming(warming);
    this.#clusters = new Warming(warming);
    this.#verdicts = new Verdicts(options);
  }

  get accepted(): ResourceState {
    return this.#accepted;
  }
  get activeListeners(): ReadonlyMap<string, ResourceEntry<Listener>> {
    return this.#listeners.active;
  }
  get activeClusters(): ReadonlyMap<string, ResourceEntry<Cluster>> {
    return this.#clusters.active;
  }
  /** Every secret in use, by SDS name. */
  get secrets(): ReadonlyMap<string, TlsSecret> {
    return this.#config().secrets;
  }
  get rejected(): Iterable<RejectedResource> {
    return this.#verdicts.rejected;
  }
  /** Names of listeners and clusters that wait for something. */
  get warmingNames(): string[] {
    return [...this.#listeners.warming, ...this.#clusters.warming].map(({ name }) => name);
  }
  /** Accepted listeners that are not in effect since an address cannot be bound; they are tried again. */
  get unbound(): ReadonlyMap<string, UnboundListener> {
    return this.#bindRetry.unbound;
  }
  get appliedOnce(): boolean {
    return this.#appliedOnce;
  }

  /** Puts what was kept on disk in place; to be called before the first update. */
  restore(state: ResourceState): void {
    for (const typeUrl of PUSH_ORDER) {
      const upserts = [...state[typeUrl].values()] as ResourceChange['upserts'];
      // Nobody waits for the verdict; what is refused is logged.
      if (upserts.length > 0) this.#pending.push({ change: { typeUrl, upserts, removed: [] }, settle: undefined });
    }
  }

  /** Adds an update to the next batch. Resolves, when it was applied, to the problems of its resources. */
  update(change: ResourceChange): Promise<readonly ResourceProblem[]> {
    return new Promise((settle) => {
      this.#pending.push({ change, settle });
      this.#schedule();
    });
  }

  /** Applies everything that waits, also where nothing changed. Resolves to what was refused. */
  applyNow(): Promise<readonly ConfigProblem[]> {
    this.#batchesUnderWay++;
    const run = this.#running.then(() => this.#flush()).finally(() => this.#batchesUnderWay--);
    this.#running = run.then(() => undefined);
    return run;
  }

  /** To be called when endpoints were discovered: applies what there is, with them. */
  refresh(): void {
    this.#discoveries++;
    this.#schedule();
  }

  /** True while updates wait for the next batch. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** What came is not, or not all, in effect yet: a listener that no longer waits is being bound, for example. */
  get isApplying(): boolean {
    return this.#batchesUnderWay > 0 || this.hasPending;
  }

  /**
   * Remembers resources that did not decode, for the admin API; they are forgotten when they are accepted or gone.
   * @param listed everything that there is, where a source said that
   */
  noteRefused(typeUrl: XdsTypeUrl, problems: readonly ResourceProblem[], listed?: ReadonlySet<string>): void {
    if (listed !== undefined) this.#verdicts.forgetUnlisted(typeUrl, listed);
    this.#verdicts.remember(problems.map((problem) => ({ ...problem, resourceType: typeUrl })));
  }

  /** The own identity: a renewal goes to new handshakes at once, without applying a configuration. */
  setLocalSecrets(secrets: ReadonlyMap<string, TlsSecret>): void {
    this.#localSecrets = secrets;
    this.reloadSecrets();
    if (this.#listeners.warming.length + this.#clusters.warming.length > 0) this.#schedule();
  }

  /** Puts the secrets of the moment in effect, for new handshakes. */
  reloadSecrets(): void {
    // After the batch under way, which still has the old ones.
    this.#running = this.#running.then(() => {
      if (!this.#appliedOnce) return;
      try {
        this.options.dataPlane.updateSecrets(this.#config().secrets);
      } catch (error) {
        const reason = (error as Error).message;
        this.options.log('error', 'the renewed certificate cannot be used; the previous one stays', { reason });
      }
    });
  }

  /**
   * While a stream is new its types arrive one after another. A cluster that the first response lacks may still be used
   * by routes that are replaced a moment later, so it stays until `endSync`.
   */
  beginSync(): void {
    this.#leaving ??= new Set();
  }
  endSync(): void {
    const leaving = this.#leaving;
    this.#leaving = undefined;
    if (leaving === undefined || leaving.size === 0) return;
    void this.update({ typeUrl: TYPE_URL.cluster, upserts: [], removed: [...leaving] });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#deadlineTimer);
    this.#bindRetry.close();
  }

  /** Updates that arrive in the same turn of the event loop are applied together. */
  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.applyNow();
    });
  }

  async #flush(): Promise<readonly ConfigProblem[]> {
    if (this.#closed) return [];
    const batch = this.#pending;
    this.#pending = [];
    const good = this.#accepted;
    let next = batch.reduce((state, { change }) => applyChange(state, this.#withoutHeld(change)), good);
    const { statics } = this.options;
    const clashes = [
      ...batch.flatMap(({ change }) => findStaticClashes(statics, change)),
      ...findNewSourceClashes(statics, next, good),
    ];
    for (const { resourceType, resourceName } of clashes) {
      next = revertResource(next, good, resourceType as XdsTypeUrl, resourceName);
    }
    this.#announceNeeded(next);
    const unboundBefore = this.unbound;
    const problems = [...clashes, ...(await this.#applyWithoutFaults(next, good))];
    this.#accepted = dropUnneeded(this.#accepted, this.#announceNeeded(this.#accepted));
    this.options.onSecrets?.(
      followedSecrets(this.options.statics, this.#accepted, this.#clusters.active, this.#listeners.active),
    );
    this.#armDeadline();
    if (!this.#closed) this.#bindRetry.arm();
    this.#reportBound(unboundBefore);
    this.#verdicts.report(batch, problems, unboundBefore, this.unbound);
    this.options.onApplied?.(this.#accepted);
    return problems;
  }

  /**
   * Applies; takes out what the data path refuses and applies the rest, until it is accepted or nothing is left. A
   * listener that cannot be bound stays accepted and out of effect: each batch tries it again.
   */
  async #applyWithoutFaults(wanted: ResourceState, good: ResourceState): Promise<ConfigProblem[]> {
    const found: ConfigProblem[] = [];
    const unbindable = new Unbindable();
    const { now = Date.now } = this.options;
    let next = wanted;
    for (;;) {
      const { clusters, listeners } = this.#resolve(next, unbindable);
      try {
        // After an attempt to bind that failed again there may be nothing else to apply.
        const discoveries = this.#discoveries;
        const seen = discoveries === this.#discoveriesApplied;
        const same =
          seen && next === good && clusters === this.#clusters.active && listeners === this.#listeners.active;
        if (unbindable.size === 0 || !same || !this.#appliedOnce) {
          await this.options.dataPlane.apply(this.#assemble(next, clusters, listeners));
        }
        this.#discoveriesApplied = discoveries;
        this.#clusters.commit(clusters);
        this.#listeners.commit(listeners);
        this.#accepted = next;
        this.#appliedOnce = true;
        // Those that wait are bound when they no longer do; that they cannot be is known, and to be told, now.
        const waiting = await findUnbindable(this.#listeners.warming, this.options.dataPlane.listeners());
        unbindable.add(waiting, next[TYPE_URL.listener], listeners);
        found.push(...waiting);
        this.#bindRetry.settle(unbindable.among(next[TYPE_URL.listener], listeners, now()));
        return found;
      } catch (error) {
        const problems = error instanceof ConfigRejected ? error.problems : [];
        found.push(...problems);
        const unbound = unbindable.add(problems, next[TYPE_URL.listener], this.#listeners.active);
        const reverted = this.#revertFaults(next, problems);
        next = reverted ?? next;
        if (unbound || reverted !== undefined) continue;
        // Nothing of it can be taken out by name: the whole batch is refused, and what ran keeps running.
        found.push(wholeProblem(error as Error));
        if (next === good || this.#appliedOnce) {
          this.#resolve(good, unbindable);
          return found;
        }
        next = good;
      }
    }
  }

  #resolve(state: ResourceState, unbindable: Unbindable) {
    const secrets = { local: this.#localSecrets, static: this.options.statics.secrets };
    return {
      clusters: this.#clusters.resolve(
        state[TYPE_URL.cluster],
        (cluster) => isClusterReady(cluster, state, secrets) && this.options.discovery?.isReady(cluster) !== false,
      ),
      listeners: this.#listeners.resolve(
        state[TYPE_URL.listener],
        (listener) => isListenerReady(listener, state, secrets),
        (listener) => unbindable.has(listener),
      ),
    };
  }

  /** Undefined where no problem names a resource that differs from the good one. */
  #revertFaults(state: ResourceState, problems: readonly ConfigProblem[]): ResourceState | undefined {
    let next = state;
    let changed = false;
    for (const { resourceType, resourceName, mayPass } of problems) {
      if (mayPass === true || !(resourceType in state)) continue;
      const typeUrl = resourceType as XdsTypeUrl;
      const fallback = this.#lastGood(typeUrl);
      const entry = next[typeUrl].get(resourceName);
      if (entry === undefined || entry.value === fallback[typeUrl].get(resourceName)?.value) continue;
      next = revertResource(next, fallback, typeUrl, resourceName);
      changed = true;
    }
    return changed ? next : undefined;
  }

  /** For listeners and clusters the good one is what is in effect: an accepted one may have been waiting until now. */
  #lastGood(typeUrl: XdsTypeUrl): ResourceState {
    if (typeUrl === TYPE_URL.listener) return { ...this.#accepted, [TYPE_URL.listener]: this.#listeners.active };
    if (typeUrl === TYPE_URL.cluster) return { ...this.#accepted, [TYPE_URL.cluster]: this.#clusters.active };
    return this.#accepted;
  }

  #config() {
    return this.#assemble(this.#accepted, this.#clusters.active, this.#listeners.active);
  }

  #assemble(
    state: ResourceState,
    clusters: ReadonlyMap<string, ResourceEntry<Cluster>>,
    listeners: ReadonlyMap<string, ResourceEntry<Listener>>,
  ) {
    const { statics, discovery } = this.options;
    const discoveredOf = (cluster: Cluster) => discovery?.assignmentOf(cluster);
    return assembleConfig({ statics, local: this.#localSecrets, state, clusters, listeners, discoveredOf });
  }

  #withoutHeld(change: ResourceChange): ResourceChange {
    if (change.typeUrl !== TYPE_URL.cluster || this.#leaving === undefined) return change;
    for (const name of change.removed) this.#leaving.add(name);
    for (const { name } of change.upserts) this.#leaving.delete(name);
    return { ...change, removed: [] };
  }

  /** Tells which names are needed; also what the state needs while the new takes the place of what is in effect. */
  #announceNeeded(state: ResourceState): NeededNames {
    const inputs = [state[TYPE_URL.cluster], this.#clusters.active, state[TYPE_URL.listener], this.#listeners.active];
    // An update of endpoints or routes alone, which is frequent, changes no reference.
    if (this.#needed !== undefined && inputs.every((input, index) => input === this.#neededFrom[index])) {
      return this.#needed;
    }
    const needed = collectNeeded(this.options.statics, inputs);
    this.options.discovery?.follow([
      ...this.options.statics.clusters,
      ...[...state[TYPE_URL.cluster].values(), ...this.#clusters.active.values()].map(({ value }) => value),
    ]);
    this.#needed = needed;
    this.#neededFrom = inputs;
    this.options.onNeeded?.(TYPE_URL.endpoint, needed.endpoints);
    this.options.onNeeded?.(TYPE_URL.route, needed.routes);
    this.options.onNeeded?.(TYPE_URL.secret, needed.secrets);
    return needed;
  }

  #reportBound(unboundBefore: ReadonlyMap<string, UnboundListener>): void {
    for (const name of unboundBefore.keys()) {
      const active = this.#listeners.active.get(name)?.value;
      if (this.unbound.has(name) || active === undefined) continue;
      if (active !== this.#accepted[TYPE_URL.listener].get(name)?.value) continue;
      this.options.log('info', 'a listener that could not be bound is in effect now', { resource: name });
      this.options.onBound?.(name);
    }
  }

  #armDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const waits = [this.#listeners.nextDeadlineInMs, this.#clusters.nextDeadlineInMs].filter((ms) => ms !== undefined);
    if (waits.length === 0 || this.#closed) return;
    this.#deadlineTimer = setTimeout(
      () => {
        this.options.log('warn', 'configuration goes on without what it waited for', { waiting: this.warmingNames });
        this.#schedule();
      },
      Math.min(...waits),
    );
  }
}

/** For every update of a batch: what the data path said, without a name. */
function wholeProblem(error: Error): ConfigProblem {
  const message = `the configuration as a whole is refused: ${error.message}`;
  return { resourceType: '', resourceName: '', path: '', message };
}
