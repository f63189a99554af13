// Reading order: model.ts (values), proxy-node.ts (who asks), snapshot.ts (the mesh), proxy-view.ts (what this proxy
// sees; resolve/), xds/resources.ts (xDS; xds/), consistency.ts (the check before serving).

export { checkConsistency } from './consistency.js';
export * from './model.js';
export * from './proxy-node.js';
export { type OutboundAddress, type ProxyView, resolveProxyView, viewKey } from './proxy-view.js';
export { buildSnapshot } from './snapshot.js';
export { buildResources } from './xds/resources.js';
