// ADS: subscribes to every type, hands updates to the store and its verdicts back, and follows the names that it needs.

import type { Message } from '@bufbuild/protobuf';
import { PUSH_ORDER, shortTypeName, TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  AdsClient,
  type AdsTransport,
  type ResourceProblem,
  type SubscriptionHandle,
  type SubscriptionStatus,
  type TypeSubscription,
} from '@lateen/xds-stream';
import type { AdsConfig } from './ads-config.js';
import { decodeResource } from './decode-resource.js';
import type { ConfigStore } from './store/config-store.js';
import type { NamedSources } from './store/needed-names.js';
import type { ResourceChange } from './store/resource-state.js';

export interface AdsSessionOptions {
  readonly config: AdsConfig;
  readonly node: Node;
  readonly transport: AdsTransport;
  readonly store: ConfigStore;
  /** More that is asked for, beside what the data path is made of. */
  readonly more?: readonly TypeSubscription<Message>[];
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

/** The longest time that removed clusters stay after a reconnection while other types are still to come. */
const SYNC_LIMIT_MS = 5_000;
/** The longest time that a proxy which stops waits until it is out of the endpoints. */
const LEAVE_LIMIT_MS = 1_000;

export class AdsSession {
  readonly #client: AdsClient;
  readonly #handles = new Map<string, SubscriptionHandle>();
  readonly #needed = new Map<XdsTypeUrl, ReadonlySet<string>>();
  /** Types that answered on the present stream; undefined when everything was seen. */
  #answered: Set<string> | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #failures = 0;
  /**
   * Listeners that the store has and the client was told to refuse, since they cannot be bound yet. The protocol's
   * bookkeeping does not know of them, so that their removal has to be noticed here.
   */
  readonly #unheld = new Set<string>();
  /** No listeners have come on the present stream; the first ones are complete in either form of the protocol. */
  #listenersAwaited = true;

  constructor(private readonly options: AdsSessionOptions) {
    const { config, node, transport } = options;
    this.#client = new AdsClient({
      transport,
      protocol: config.protocol,
      node,
      onConnected: () => this.#connected(),
      onDisconnected: (reason, retryInMs) => this.#disconnected(reason, retryInMs),
      onReject: (typeUrl, message) =>
        options.log('error', 'configuration refused; the previous one stays', {
          type: shortTypeName(typeUrl),
          message,
        }),
    });
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  get statuses(): SubscriptionStatus[] {
    return [...this.#handles.values()].map(({ status }) => status);
  }

  /** True when listeners and clusters were received at least once by this process. */
  get initialized(): boolean {
    const { listeners, clusters } = this.options.config;
    const received = (typeUrl: string) => (this.#handles.get(typeUrl)?.status.lastResponseMs ?? 0) > 0;
    return (!listeners || received(TYPE_URL.listener)) && (!clusters || received(TYPE_URL.cluster));
  }

  /** Subscribes and connects. Call it after the store was restored, so that held versions are told. */
  start(): void {
    const { listeners, clusters } = this.options.config;
    for (const typeUrl of PUSH_ORDER) {
      if (typeUrl === TYPE_URL.listener && !listeners) continue;
      if (typeUrl === TYPE_URL.cluster && !clusters) continue;
      this.#subscribe(typeUrl);
    }
    for (const each of this.options.more ?? []) this.#handles.set(each.typeUrl, this.#client.subscribe(each));
    this.#client.start();
  }

  /** To be called by the store: the names that it needs now; those that come from elsewhere are left out here. */
  setNeeded(typeUrl: XdsTypeUrl, needed: NamedSources): void {
    const names = new Set([...needed].flatMap(([name, source]) => (source === 'ads' ? [name] : [])));
    this.#needed.set(typeUrl, names);
    this.#handles.get(typeUrl)?.setNames(names);
  }

  /** To be called by the store: a listener that was refused, since its address was busy, serves now. */
  listenerBound(name: string): void {
    if (this.#handles.get(TYPE_URL.listener)?.withdrawRefusal(name) === true) this.#unheld.delete(name);
  }

  /** Tells how the application is; see AdsClient. */
  reportHealth(fault: string | undefined): void {
    this.#client.reportHealth(fault);
  }

  /** Tells that nobody should call the application any more. Resolves when that was taken, or after a short while. */
  leave(): Promise<void> {
    return this.#client.leave('the proxy is stopping', LEAVE_LIMIT_MS);
  }

  close(): void {
    clearTimeout(this.#syncTimer);
    this.#client.close();
  }

  #subscribe(typeUrl: XdsTypeUrl): void {
    const { store } = this.options;
    const mode = typeUrl === TYPE_URL.listener || typeUrl === TYPE_URL.cluster ? 'wildcard' : 'named';
    const held = new Map([...store.accepted[typeUrl]].map(([name, { version }]) => [name, version]));
    // Not told as held, a listener that cannot be bound comes again, and the control plane learns why from the answer.
    if (typeUrl === TYPE_URL.listener) {
      for (const name of store.unbound.keys()) if (held.delete(name)) this.#unheld.add(name);
    }
    const handle = this.#client.subscribe<Message>(
      {
        typeUrl,
        mode,
        decode: (any, name) => decodeResource(typeUrl, any, name),
        onUpdate: ({ upserts, removed: told, rejected }) => {
          const names = upserts.map(({ name }) => name);
          const listed = new Set([...names, ...rejected.map(({ resourceName }) => resourceName)]);
          const full = mode === 'wildcard' && this.options.config.protocol === 'sotw';
          store.noteRefused(typeUrl, rejected, full ? listed : undefined);
          const removed = typeUrl === TYPE_URL.listener ? [...told, ...this.#vanished(listed)] : told;
          // Everything in it was refused, or it only says that nothing changed.
          if (upserts.length === 0 && removed.length === 0 && this.initialized) {
            this.#answer(typeUrl);
            return undefined;
          }
          const updatedMs = Date.now();
          // The entries' messages are of this type, since decodeResource made them.
          const entries = upserts.map((upsert) => ({ ...upsert, updatedMs })) as unknown as ResourceChange['upserts'];
          const verdict = store.update({ typeUrl, upserts: entries, removed });
          verdict.then((problems) => {
            if (typeUrl === TYPE_URL.listener) this.#noteUnheld([...names, ...removed], problems);
            this.#answer(typeUrl);
          });
          return verdict;
        },
      },
      held,
    );
    this.#handles.set(typeUrl, handle);
    const names = this.#needed.get(typeUrl);
    if (mode === 'named' && names !== undefined) handle.setNames(names);
  }

  /** Refused listeners that the store tries to bind, and that a complete list lacks. */
  #vanished(listed: ReadonlySet<string>): string[] {
    const complete = this.options.config.protocol === 'sotw' || this.#listenersAwaited;
    this.#listenersAwaited = false;
    // A nameless fault may be any of them.
    if (!complete || listed.has('')) return [];
    return [...this.#unheld].filter((name) => !listed.has(name));
  }

  #noteUnheld(judged: readonly string[], problems: readonly ResourceProblem[]): void {
    const refused = new Set(problems.map(({ resourceName }) => resourceName));
    if (refused.has('')) return;
    for (const name of judged) this.#unheld.delete(name);
    for (const name of refused) if (this.options.store.unbound.has(name)) this.#unheld.add(name);
  }

  #connected(): void {
    this.options.log('info', 'connected to the control plane', { target: this.options.config.target });
    this.#failures = 0;
    this.#answered = new Set();
    this.#listenersAwaited = true;
    // Clusters of other sources are not what a new stream could bring late.
    if (this.options.config.clusters) this.options.store.beginSync();
  }

  #disconnected(reason: string, retryInMs: number): void {
    this.#failures++;
    clearTimeout(this.#syncTimer);
    this.#answered = undefined;
    const fields = { target: this.options.config.target, reason, retryInMs: Math.round(retryInMs) };
    // One line for an outage; the attempts that follow are no news.
    if (this.#failures === 1) {
      this.options.log('warn', 'the control plane is away; what is in effect stays', fields);
    }
  }

  /** The first answers of a stream are in when every type that is wanted has come, or after a while. */
  #answer(typeUrl: XdsTypeUrl): void {
    const answered = this.#answered;
    if (answered === undefined) return;
    answered.add(typeUrl);
    const { listeners, clusters } = this.options.config;
    const routes = (this.#needed.get(TYPE_URL.route)?.size ?? 0) > 0;
    const complete =
      (!listeners || answered.has(TYPE_URL.listener)) &&
      (!clusters || answered.has(TYPE_URL.cluster)) &&
      (!routes || answered.has(TYPE_URL.route));
    if (complete) {
      this.#endSync();
    } else if (this.#syncTimer === undefined) {
      this.#syncTimer = setTimeout(() => this.#endSync(), SYNC_LIMIT_MS);
    }
  }

  #endSync(): void {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    this.#answered = undefined;
    this.options.store.endSync();
  }
}
