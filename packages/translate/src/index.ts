// Reading order: model.ts (values), proxy-node.ts (who asks), snapshot.ts (the mesh), proxy-view.ts (what this proxy
// sees), build-resources.ts (xDS), consistency.ts (the check before serving).
export * from './model.js';
export * from './proxy-node.js';

import type { MeshSnapshot, Problem, ProxyNode, ProxyResources, SnapshotInput } from './model.js';

/** What one proxy sees of a snapshot; opaque to the caller. */
export interface ProxyView {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyNode;
  /** Warnings about the configuration as this proxy sees it. */
  readonly problems: readonly Problem[];
}

/** Sorts, indexes and hashes the input. Never throws on configuration: what it drops is in `problems`. */
export declare function buildSnapshot(input: SnapshotInput): MeshSnapshot;
/** The only step that knows the proxy (namespace, labels, address, Sidecar scope). */
export declare function resolveProxyView(snapshot: MeshSnapshot, proxy: ProxyNode): ProxyView;
/** Stable hash of what buildResources would read: equal keys mean equal resources. Key of the translation cache. */
export declare function viewKey(view: ProxyView): string;
/** Builds all xDS resources of a view. */
export declare function buildResources(view: ProxyView): ProxyResources;
/** Dangling references, duplicate names and duplicate domains; empty means that the resources may be served. */
export declare function checkConsistency(resources: ProxyResources): readonly Problem[];
