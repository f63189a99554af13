// Reading order: compile.ts (the filter's configuration), jwt-filter.ts (what becomes of a request), requirement.ts (which
// tokens it needs), token-locations.ts (where they are), parse-token.ts, key-set.ts and token-verifier.ts (whether one is good).

export * from './claim-values.js';
export * from './compile.js';
export * from './jwt-filter.js';
export * from './jwt-status.js';
export * from './key-set.js';
export * from './parse-token.js';
export * from './redact-key-sets.js';
export * from './request-head.js';
export type { UncheckedSignature } from './requirement.js';
export * from './token-verifier.js';
