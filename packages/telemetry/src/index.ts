// Reading order: logger.ts, metric-names.ts, monitoring-server.ts, exit-with-parent.ts; the shapes of what Pilot and Citadel answer: mesh-description.ts, distribution-report.ts, authority-status.ts.
export * from './authority-status.js';
export * from './distribution-report.js';
export * from './exit-with-parent.js';
export * from './logger.js';
export * from './mesh-description.js';
export * from './metric-names.js';
export * from './monitoring-server.js';
