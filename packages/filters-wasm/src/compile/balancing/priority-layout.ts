// The formats of a cluster's priorities and localities, and where the core keeps what it worked out of them. Like layout.ts:
// literals only, no import.

// ---- Small shared places (after HASH64_RESULT) ---------------------------------------------------------------------------
/** A bit for each of the first 31 priorities that the next pick() leaves out where another has somebody; pick() sets it to 0. */
export const PICK_EXCLUDED = 102496;
export const PICK_EXCLUDED_MAX = 31;

// ---- In the policy record of a route (table-layout.ts) -------------------------------------------------------------------
/** After so many attempts each, retries leave out the priorities that were tried; 0 = they do not. */
export const POLICY_PRIORITY_FREQUENCY = 132;

// ---- In the cluster state (table-layout.ts) ------------------------------------------------------------------------------
/** Counts changes of the health of its endpoints; whoever changes ENDPOINT_STATE_EJECTED adds one. */
export const CLUSTER_STATE_HEALTH_CHANGES = 44;

// ---- In the cluster table ------------------------------------------------------------------------------------------------
/** CLUSTER_STATE_HEALTH_CHANGES + 1 for which the shares of priorities and localities were worked out; 0 = not yet. */
export const CLUSTER_BALANCED = 52;
/** Below so many hundredths of a percent of healthy endpoints all of a priority are used. */
export const CLUSTER_PANIC_THRESHOLD = 56;
/** How many percent of its share a healthy endpoint may take (Envoy's default 140). */
export const CLUSTER_OVERPROVISIONING = 60;
/** Relative offset of LOCALITY_* records. */
export const CLUSTER_LOCALITIES = 64;

/** Endpoints of one priority. What stands from PRIORITY_CURSOR on is worked out by the core. */
export const PRIORITY_FIRST = 0;
export const PRIORITY_COUNT = 4;
/** First record among CLUSTER_LOCALITIES, and how many; 0 = localities have no weights. */
export const PRIORITY_LOCALITIES = 8;
export const PRIORITY_LOCALITY_COUNT = 12;
/** Round-robin cursor where the cluster has several priorities. */
export const PRIORITY_CURSOR = 16;
/** Percent of the cluster's requests, summed up to this priority; its health in percent; 1 = in panic. */
export const PRIORITY_LOAD = 20;
export const PRIORITY_HEALTH = 24;
export const PRIORITY_PANIC = 28;
export const PRIORITY_BYTES = 32;

/** Endpoints of one locality of a priority, its weight (u32), the endpoints' weights before it, its round-robin cursor. */
export const LOCALITY_FIRST = 0;
export const LOCALITY_COUNT = 4;
export const LOCALITY_WEIGHT = 8;
export const LOCALITY_WEIGHT_BEFORE = 12;
export const LOCALITY_CURSOR = 16;
/** Weight by health (u64), summed up to this locality; worked out by the core. */
export const LOCALITY_SHARE = 24;
export const LOCALITY_BYTES = 32;
