// Push: what each connected proxy is served from: the newest snapshot, through its own view, if it is consistent.

import type { Logger } from '@lateen/telemetry';
import {
  type Problem,
  type ProxyNode,
  type ProxyView,
  parseProxyNode,
  resolveProxyView,
  type Translation,
} from '@lateen/translate';
import type { AdsSubscriber, ResourceSource, ResourceView, ServedSnapshot } from '@lateen/xds-stream';
import type { PublishedSnapshot } from '../snapshot/snapshot-builder.js';

/** How a proxy stands, for the debug API. */
export interface ProxyStatus {
  readonly proxyId: string;
  /** Version that it is served; empty before the first. */
  readonly servedVersion: string;
  /** Why the newest snapshot is withheld from it; empty where it is not. */
  readonly faults: readonly Problem[];
  readonly problems: readonly Problem[];
}

/** What views translate to; in the process a TranslationCache. */
export interface Translator {
  translate(view: ProxyView): Translation;
  /** A new snapshot is out. */
  startGeneration(): void;
}

export interface ProxySourceOptions {
  readonly cache: Translator;
  readonly logger: Logger;
  /** Told how long a proxy's translation took, cache hits included. */
  readonly onTranslated?: (elapsedMs: number) => void;
}

/** The id by which people name a proxy: POD.NAMESPACE. */
export function proxyIdOf(proxy: ProxyNode): string {
  return `${proxy.podName}.${proxy.namespace}`;
}

export class ProxySource implements ResourceSource {
  private snapshot: PublishedSnapshot | undefined;
  private readonly views = new Set<PushedView>();

  constructor(private readonly options: ProxySourceOptions) {}

  /** Serves a snapshot from now on. */
  publish(snapshot: PublishedSnapshot): void {
    this.snapshot = snapshot;
    this.options.cache.startGeneration();
    for (const view of this.views) view.onChange();
  }

  /** For clients that have proved who they are. */
  open(client: AdsSubscriber, onChange: () => void): ResourceView {
    return this.openView(client, onChange, true);
  }

  /** For clients without a certificate: they are served everything but Secrets. */
  readonly withoutSecrets: ResourceSource = {
    open: (client, onChange) => this.openView(client, onChange, false),
  };

  private openView(client: AdsSubscriber, onChange: () => void, authenticated: boolean): ResourceView {
    const parsed = parseProxyNode(client.node);
    // Admission parsed the same node and refuses what is not a proxy.
    if (!parsed.ok) throw new Error(`a proxy was admitted whose node is not valid: ${parsed.errors.join('; ')}`);
    const view = new PushedView(
      parsed.proxy,
      authenticated,
      () => this.snapshot,
      this.options,
      onChange,
      () => this.views.delete(view),
    );
    this.views.add(view);
    return view;
  }

  statuses(): readonly ProxyStatus[] {
    return [...this.views].map((view) => view.status());
  }
}

class PushedView implements ResourceView {
  private seen: PublishedSnapshot | undefined;
  private served: ServedSnapshot | undefined;
  private translation: Translation | undefined;

  constructor(
    private readonly proxy: ProxyNode,
    private readonly authenticated: boolean,
    private readonly newest: () => PublishedSnapshot | undefined,
    private readonly options: ProxySourceOptions,
    readonly onChange: () => void,
    readonly close: () => void,
  ) {}

  current(): ServedSnapshot | undefined {
    const newest = this.newest();
    if (newest === undefined || newest === this.seen) return this.served;
    this.seen = newest;
    const startedMs = performance.now();
    const { cache, logger, onTranslated } = this.options;
    this.translation = cache.translate(resolveProxyView(newest.mesh, this.proxy, this.authenticated));
    onTranslated?.(performance.now() - startedMs);
    const { faults, resources } = this.translation;
    if (faults.length > 0) {
      logger.error(
        { proxy: proxyIdOf(this.proxy), version: newest.version, faults: faults.map(({ message }) => message) },
        'inconsistent snapshot is not served; the proxy keeps the one before',
      );
      return this.served;
    }
    const { version, changedAtMs, revision } = newest;
    this.served = { version, resources, createdAtMs: changedAtMs, revision };
    return this.served;
  }

  status(): ProxyStatus {
    return {
      proxyId: proxyIdOf(this.proxy),
      servedVersion: this.served?.version ?? '',
      faults: this.translation?.faults ?? [],
      problems: this.translation?.problems ?? [],
    };
  }
}
