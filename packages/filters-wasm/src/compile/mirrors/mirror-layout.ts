// The format of a route's mirrors, in its policy record. Like layout.ts: literals only, no import.

/** Mirrors: relative offset of their count (i32), padding, then MIRROR_* records. 0 = none. */
export const POLICY_MIRRORS = 124;
export const MIRRORS_FIRST = 8;
/** Cluster slot. */
export const MIRROR_CLUSTER = 0;
/** Of 1,000,000 requests, how many are copied. */
export const MIRROR_SHARE = 4;
/** 1 = the copy's host gets no `-shadow`. */
export const MIRROR_KEEPS_HOST = 8;
export const MIRROR_BYTES = 16;
