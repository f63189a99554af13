// A route's mirrors (request_mirror_policies) as a list in its policy record: clusters that get a copy of requests.
import {
  type RouteAction_RequestMirrorPolicy as RequestMirrorPolicy,
  RouteAction_RequestMirrorPolicySchema as RequestMirrorPolicySchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { BlobWriter } from '../blob-writer.js';
import type { CompileContext } from '../compile-context.js';
import { millionths } from '../fraction.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import * as P from './mirror-layout.js';

const ALL = 1_000_000;

export function writeMirrors(
  { problems, clusterSlot }: Pick<CompileContext, 'problems' | 'clusterSlot'>,
  blob: BlobWriter,
  path: string,
  policies: readonly RequestMirrorPolicy[],
): void {
  if (policies.length === 0) return;
  const list = blob.reserve(P.MIRRORS_FIRST + policies.length * P.MIRROR_BYTES);
  blob.int(P.POLICY_MIRRORS, list);
  blob.int(list, policies.length);
  policies.forEach((policy, index) => {
    const where = `${path}[${index}]`;
    // Copies have no spans.
    refuseOtherFields(
      problems,
      where,
      RequestMirrorPolicySchema,
      policy,
      'cluster runtime_fraction trace_sampled disable_shadow_host_suffix_append',
    );
    if (policy.cluster === '') problems.add(join(where, 'cluster'), 'is empty');
    const share = millionths(policy.runtimeFraction?.defaultValue);
    const at = list + P.MIRRORS_FIRST + index * P.MIRROR_BYTES;
    blob.int(at + P.MIRROR_CLUSTER, clusterSlot(policy.cluster));
    blob.int(at + P.MIRROR_SHARE, policy.runtimeFraction === undefined ? ALL : Math.max(share, 0));
    blob.int(at + P.MIRROR_KEEPS_HOST, policy.disableShadowHostSuffixAppend ? 1 : 0);
  });
}
