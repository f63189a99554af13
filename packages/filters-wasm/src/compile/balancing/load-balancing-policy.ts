// The typed form of a balancing policy (cluster.load_balancing_policy): the first policy that is known is used.
import { fromBinary } from '@bufbuild/protobuf';
import type { LoadBalancingPolicy } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { LeastRequestSchema } from '@lateen/xds-proto/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { RandomSchema } from '@lateen/xds-proto/envoy/extensions/load_balancing_policies/random/v3/random_pb.js';
import { RoundRobinSchema } from '@lateen/xds-proto/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import * as T from '../../table-layout.js';
import type { ProblemList } from '../problems.js';
import { refuseOtherFields } from '../supported-fields.js';
import type { LoadBalancing } from './load-balancing.js';
import { readSlowStart } from './slow-start.js';

/** Envoy takes the first policy in the list that it supports; so does this. */
export function readTypedLoadBalancing(problems: ProblemList, policy: LoadBalancingPolicy): LoadBalancing {
  const path = 'load_balancing_policy';
  for (const [index, { typedExtensionConfig }] of policy.policies.entries()) {
    const any = typedExtensionConfig?.typedConfig;
    if (any === undefined) continue;
    const where = `${path}.policies[${index}].typed_extension_config.typed_config`;
    const typeName = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
    if (typeName === RoundRobinSchema.typeName) {
      const config = fromBinary(RoundRobinSchema, any.value);
      refuseOtherFields(problems, where, RoundRobinSchema, config, 'slow_start_config');
      const warmUp = readSlowStart(problems, `${where}.slow_start_config`, config.slowStartConfig);
      return { policy: T.LB_ROUND_ROBIN, choices: 2, warmUp };
    }
    if (typeName === RandomSchema.typeName) {
      refuseOtherFields(problems, where, RandomSchema, fromBinary(RandomSchema, any.value), '');
      return { policy: T.LB_RANDOM, choices: 2 };
    }
    if (typeName === LeastRequestSchema.typeName) {
      const config = fromBinary(LeastRequestSchema, any.value);
      refuseOtherFields(problems, where, LeastRequestSchema, config, 'choice_count slow_start_config');
      const warmUp = readSlowStart(problems, `${where}.slow_start_config`, config.slowStartConfig);
      return { policy: T.LB_LEAST_REQUEST, choices: Math.min(config.choiceCount ?? 2, 100), warmUp };
    }
  }
  const names = policy.policies.map(({ typedExtensionConfig }) => typedExtensionConfig?.name ?? '').join(', ');
  problems.add(path, `has no policy that is supported (${names}); use round_robin, least_request or random`);
  return { policy: T.LB_ROUND_ROBIN, choices: 2 };
}
