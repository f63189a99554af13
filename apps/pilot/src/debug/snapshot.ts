// Debug API: the snapshot that is served, what is wrong with it, and from whom it is withheld.

import type { Problem, TranslationCache } from '@lateen/translate';
import { shortTypeName } from '@lateen/xds-proto';
import type { ProxySource, ProxyStatus } from '../push/proxy-source.js';
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
  readonly translationCache: {
    /** Parts of views (outbound clusters, endpoints, …) that are held, and the resources in them. */
    readonly parts: number;
    readonly resources: number;
    /** Lookups of parts. */
    readonly hits: number;
    readonly misses: number;
    /** Resources built since the start, by type. */
    readonly built: Readonly<Record<string, number>>;
  };
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
  const { built, ...counts } = cache.counts;
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
    translationCache: {
      ...counts,
      built: Object.fromEntries([...built].map(([typeUrl, count]) => [shortTypeName(typeUrl), count])),
    },
  };
}
