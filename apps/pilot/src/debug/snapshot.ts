// Debug API: the snapshot that is served, what is wrong with it, and from whom it is withheld.

import type { Problem } from '@lateen/translate';
import type { ProxySource, ProxyStatus } from '../push/proxy-source.js';
import type { TranslationCache } from '../push/translation-cache.js';
import type { SnapshotBuilder } from '../snapshot/snapshot-builder.js';

export interface SnapshotDescription {
  /** Empty before the first; then `missing` says what for. */
  readonly version: string;
  readonly missing?: string;
  /** When the change that it shows came in, RFC 3339. */
  readonly changedAt?: string;
  readonly services: number;
  readonly workloads: number;
  /** Objects by kind. */
  readonly configs: Readonly<Record<string, number>>;
  /** Of the snapshot as a whole. */
  readonly problems: readonly Problem[];
  readonly proxies: readonly ProxyStatus[];
  readonly translationCache: { readonly views: number; readonly hits: number; readonly misses: number };
}

export function describeSnapshot({
  builder,
  source,
  cache,
}: {
  readonly builder: SnapshotBuilder;
  readonly source: ProxySource;
  readonly cache: TranslationCache;
}): SnapshotDescription {
  const published = builder.current;
  const missing = published === undefined ? builder.missing() : undefined;
  const kinds = [...(published?.mesh.configsByKind ?? [])];
  return {
    version: published?.version ?? '',
    ...(missing === undefined ? {} : { missing }),
    ...(published === undefined ? {} : { changedAt: new Date(published.changedAtMs).toISOString() }),
    services: published?.mesh.services.length ?? 0,
    workloads: published?.mesh.workloads.length ?? 0,
    configs: Object.fromEntries(kinds.map(([kind, objects]) => [kind, objects.length])),
    problems: published?.mesh.problems ?? [],
    proxies: source.statuses(),
    translationCache: { views: cache.size, hits: cache.hits, misses: cache.misses },
  };
}
