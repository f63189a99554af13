// Says to the core which endpoints of a cluster warm up, and how far they are.
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Core } from '../../core.js';
import { CLUSTER_STATE_BYTES, CLUSTER_STATES, ENDPOINT_STATE_BYTES, ENDPOINT_STATES } from '../../layout.js';
import { ENDPOINT_STATE_CURRENT_WEIGHT } from '../../table-layout.js';
import { ProblemList } from '../problems.js';
import { readLoadBalancing } from './load-balancing.js';
import type { WarmUpSettings } from './slow-start.js';
import { CLUSTER_STATE_WARMING, ENDPOINT_STATE_WARMTH, WARMTH_WHOLE } from './warm-up-layout.js';

/** The settings of a cluster that was compiled. */
export function warmUpOf(cluster: Cluster): WarmUpSettings | undefined {
  return readLoadBalancing(new ProblemList('Cluster', cluster.name), cluster).warmUp;
}

/** Tells the core how warm endpoints of a cluster are: all of them, by slot. */
export function setWarmth({ i32 }: Core, clusterSlot: number, warmth: ReadonlyMap<number, number>): void {
  const count = (CLUSTER_STATES + clusterSlot * CLUSTER_STATE_BYTES + CLUSTER_STATE_WARMING) >> 2;
  const warming = [...warmth.values()].filter((thousandths) => thousandths < WARMTH_WHOLE).length;
  // Turns are counted in thousandths of weights while somebody warms up: what is left of them means nothing in weights.
  const restart = (i32[count] === 0) !== (warming === 0);
  for (const [slot, thousandths] of warmth) {
    const state = (ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES) >> 2;
    i32[state + ENDPOINT_STATE_WARMTH / 4] = thousandths < WARMTH_WHOLE ? thousandths : 0;
    if (restart) i32[state + ENDPOINT_STATE_CURRENT_WEIGHT / 4] = 0;
  }
  i32[count] = warming;
}
