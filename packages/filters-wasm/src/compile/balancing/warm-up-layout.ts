// Where it is kept which endpoints of a cluster warm up. Like layout.ts: literals only, no import.

/** In the cluster state: how many of its endpoints warm up; 0 = all weights count whole. */
export const CLUSTER_STATE_WARMING = 48;

/** In the endpoint state: how many thousandths of its weight count, 0 = all. */
export const ENDPOINT_STATE_WARMTH = 16;
export const WARMTH_WHOLE = 1000;
