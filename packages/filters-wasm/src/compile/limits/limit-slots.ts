// Places of token buckets and counters by stable name: a limit keeps its tokens when a new configuration still has it.
import type { Core } from '../../core.js';
import * as B from '../../filter-layout.js';
import { createSlotNames } from '../../slot-names.js';

/** Counters of the limits with one stat_prefix, as Envoy names them. */
export interface RateLimitCounts {
  readonly statPrefix: string;
  readonly enabled: number;
  readonly enforced: number;
  readonly ok: number;
  readonly rateLimited: number;
}

/** Filters that routes and virtual hosts may configure. */
export const FILTER_KINDS = ['rate limit', 'fault', 'cors', 'limit service'] as const;
/** Under the last of them routes have their rate limit actions, which are for filters of any name. */
export type FilterKind = (typeof FILTER_KINDS)[number] | 'rate limit actions';

export interface LimitSlots {
  /** Number of a filter by its name, by which routes refer to it; a name stands for one filter of each kind. */
  filterId(name: string, kind?: FilterKind): number;
  /** Place of a bucket, 0 where there are too many. */
  bucket(name: string, nowMs: number): number;
  /** Says that no limit has the bucket any more. */
  retireBucket(name: string, nowMs: number): void;
  /** Place of the counters of a stat_prefix, 0 where there are too many. */
  counters(statPrefix: string): number;
  counts(): RateLimitCounts[];
}

/** Counters are kept as long as the process runs, so they may not take all the room. */
const MAX_PREFIXES = 4096;

export function createLimitSlots(core: Core): LimitSlots {
  const place = (slot: number) => B.BUCKETS + slot * B.BUCKET_BYTES;
  const filterIds = new Map<string, number>();
  const prefixes = new Map<string, number>();
  const buckets = createSlotNames(
    B.BUCKET_COUNT - MAX_PREFIXES,
    () => true,
    (slot) => core.bytes.fill(0, place(slot + MAX_PREFIXES), place(slot + MAX_PREFIXES + 1)),
  );
  return {
    filterId(name, kind = 'rate limit') {
      const key = `${kind} ${name}`;
      let id = filterIds.get(key);
      if (id === undefined) {
        id = filterIds.size + 1;
        filterIds.set(key, id);
      }
      return id;
    },
    bucket(name, nowMs) {
      const slot = buckets.slot(name, nowMs);
      return slot < 0 ? 0 : place(slot + MAX_PREFIXES);
    },
    retireBucket: (name, nowMs) => buckets.retire(name, nowMs),
    counters(statPrefix) {
      let slot = prefixes.get(statPrefix);
      if (slot === undefined) {
        if (prefixes.size === MAX_PREFIXES) return 0;
        slot = prefixes.size;
        prefixes.set(statPrefix, slot);
      }
      return place(slot);
    },
    counts: () =>
      [...prefixes].map(([statPrefix, slot]) => {
        const count = (field: number) => core.f64[(place(slot) + field) >> 3] as number;
        return {
          statPrefix,
          enabled: count(B.COUNTER_ENABLED),
          enforced: count(B.COUNTER_ENFORCED),
          ok: count(B.COUNTER_OK),
          rateLimited: count(B.COUNTER_RATE_LIMITED),
        };
      }),
  };
}
