// What counts of the weights of endpoints while some of them warm up (Envoy's slow start). The embedder says how warm each is.
import { ENDPOINT_STATES, ENDPOINT_STATE_BYTES } from '../../../src/layout';
import { CLUSTER_ENDPOINT_BYTES } from '../../../src/table-layout';
import { ENDPOINT_STATE_WARMTH, WARMTH_WHOLE } from '../../../src/compile/balancing/warm-up-layout';
import { randomBelow } from '../../random';

/** Weights that add up to more are scaled down to whole ones: sums and turns stay far below 2^31. */
const SCALED_SUM_MAX: i64 = 500_000;

/** WARMTH_WHOLE where weights count in thousandths, 1 where they are too large for that. */
let scale: i64 = WARMTH_WHOLE;

/** To be called before any other function here: `sum` is that of the weights that are chosen from. */
export function beginWarm(sum: i32): void {
  scale = <i64>sum <= SCALED_SUM_MAX ? WARMTH_WHOLE : 1;
}

/** What counts of an endpoint's weight now. */
export function warmWeight(slot: i32, weight: i32): i32 {
  const warmth = load<i32>(ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES + ENDPOINT_STATE_WARMTH);
  const counted = <i64>weight * scale * <i64>(warmth == 0 ? WARMTH_WHOLE : warmth) / WARMTH_WHOLE;
  return counted > 0 ? <i32>counted : 1;
}

/** A random index by what counts of the weights. */
export function drawWarm(endpoints: i32, size: i32): i32 {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += warmAt(endpoints, i);
  let left = randomBelow(sum);
  for (let i = 0; i < size; i++) {
    left -= warmAt(endpoints, i);
    if (left < 0) return i;
  }
  return size - 1;
}

@inline
function warmAt(endpoints: i32, index: i32): i32 {
  const entry = endpoints + index * CLUSTER_ENDPOINT_BYTES;
  return warmWeight(load<i32>(entry), load<i32>(entry + 4));
}
