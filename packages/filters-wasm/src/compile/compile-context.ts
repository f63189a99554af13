// What the compilers of single resources need from their surroundings.

import type { LimitSlots } from './limits/limit-slots.js';
import type { Share } from './limits/share.js';
import type { ProblemList } from './problems.js';
import type { RouteStatistics } from './statistics/route-statistics.js';

export interface CompileContext {
  readonly problems: ProblemList;
  /** Hash as the core computes it. */
  hashName(name: string): number;
  /** Slot of a cluster's name; problems where there is none left. */
  clusterSlot(name: string): number;
  readonly limitSlots: LimitSlots;
  readonly routeStatistics: RouteStatistics;
  /** Which part of the limits of a proxy this process keeps to. */
  readonly share: Share;
  readonly nowMs: number;
  /** The name of a token bucket of this resource, made unique among resources and noted as in use. */
  bucketName(name: string): string;
  /** Offset of an immutable policy record. */
  internPolicy(content: Uint8Array): number;
}
