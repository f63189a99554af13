// Reading order: logger.ts, metric-names.ts, monitoring-server.ts, exit-with-parent.ts; mesh-description.ts for describe.
export * from './exit-with-parent.js';
export * from './logger.js';
export * from './mesh-description.js';
export * from './metric-names.js';
export * from './monitoring-server.js';
