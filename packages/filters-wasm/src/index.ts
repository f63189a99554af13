// Reading order: layout.ts (the memory), core-functions.ts (what WebAssembly does), core.ts (the loader), tables.ts (names
// to slots, resources to tables), listener-options.ts, metric-series.ts.

export * from './claims/claims.js';
export * from './claims/claims-layout.js';
export * from './compile/balancing/priority-layout.js';
export * from './compile/balancing/slow-start.js';
export * from './compile/balancing/warm-up.js';
export * from './compile/balancing/warm-up-layout.js';
export * from './compile/filters/fault.js';
export * from './compile/hashing/hash-layout.js';
export * from './compile/http-connection-manager.js';
export * from './compile/limits/ask-layout.js';
export type { LimitSlots, RateLimitCounts } from './compile/limits/limit-slots.js';
export type { QuotaBranch, QuotaBranches } from './compile/limits/quota-branches.js';
export * from './compile/limits/quota-strategy.js';
export * from './compile/match/retry-headers.js';
export * from './compile/mirrors/mirror-layout.js';
export { isOwnHeader } from './compile/mutations.js';
export * from './compile/problems.js';
export * from './compile/rbac/compile-rules.js';
export type { RuleScope } from './compile/rbac/read-rules.js';
export type { RulesHash } from './compile/rbac/write-index.js';
export * from './compile/statistics/route-statistics.js';
export * from './connection-records.js';
export * from './core.js';
export * from './core-functions.js';
export * from './filter-layout.js';
export * from './http2/h2-layout.js';
export * from './layout.js';
export * from './listener-options.js';
export * from './metric-series.js';
export * from './rbac/rbac-layout.js';
export * from './rbac/rbac-region.js';
export * from './regex-layout.js';
export * from './slot-pool.js';
export * from './stable-region.js';
export * from './table-layout.js';
export * from './tables.js';
