// A cluster's balancing policy and its settings, from lb_policy or from load_balancing_policy.
import {
  type Cluster,
  Cluster_LbPolicy as LbPolicy,
  Cluster_LeastRequestLbConfigSchema as LeastRequestLbConfigSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import * as T from '../../table-layout.js';
import { type ConsistentHashing, readMaglev, readRingHash } from '../hashing/consistent-hashing.js';
import { LB_MAGLEV, LB_RING_HASH } from '../hashing/hash-layout.js';
import type { ProblemList } from '../problems.js';
import { refuseOtherFields } from '../supported-fields.js';
import { readTypedLoadBalancing } from './load-balancing-policy.js';
import { readSlowStart, type WarmUpSettings } from './slow-start.js';

/** Balancing settings. */
export interface LoadBalancing {
  readonly policy: number;
  readonly choices: number;
  readonly hashing?: ConsistentHashing;
  /** Undefined where new endpoints get their share at once. */
  readonly warmUp?: WarmUpSettings | undefined;
}

/** The policy of a cluster and its settings, from either form. */
export function readLoadBalancing(problems: ProblemList, cluster: Cluster): LoadBalancing {
  if (cluster.loadBalancingPolicy !== undefined) return readTypedLoadBalancing(problems, cluster.loadBalancingPolicy);
  if (cluster.lbSubsetConfig !== undefined) problems.add('lb_subset_config', 'is not supported');
  const config = cluster.lbConfig;
  let choices = 2;
  let leastRequestWarmUp: WarmUpSettings | undefined;
  let roundRobinWarmUp: WarmUpSettings | undefined;
  if (config.case === 'leastRequestLbConfig') {
    const path = 'least_request_lb_config';
    refuseOtherFields(problems, path, LeastRequestLbConfigSchema, config.value, 'choice_count slow_start_config');
    choices = Math.min(config.value.choiceCount ?? 2, 100);
    leastRequestWarmUp = readSlowStart(problems, `${path}.slow_start_config`, config.value.slowStartConfig);
  } else if (config.case === 'roundRobinLbConfig') {
    const path = 'round_robin_lb_config.slow_start_config';
    roundRobinWarmUp = readSlowStart(problems, path, config.value.slowStartConfig);
  }
  switch (cluster.lbPolicy) {
    case LbPolicy.ROUND_ROBIN:
      return { policy: T.LB_ROUND_ROBIN, choices, warmUp: roundRobinWarmUp };
    case LbPolicy.LEAST_REQUEST:
      return { policy: T.LB_LEAST_REQUEST, choices, warmUp: leastRequestWarmUp };
    case LbPolicy.RANDOM:
      return { policy: T.LB_RANDOM, choices };
    case LbPolicy.RING_HASH:
      return { policy: LB_RING_HASH, choices, hashing: readRingHash(problems, cluster) };
    case LbPolicy.MAGLEV:
      return { policy: LB_MAGLEV, choices, hashing: readMaglev(problems, cluster) };
    default:
      problems.add(
        'lb_policy',
        `${LbPolicy[cluster.lbPolicy]} is not supported; use ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH or MAGLEV`,
      );
      return { policy: T.LB_ROUND_ROBIN, choices };
  }
}
