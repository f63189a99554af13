// Build: where a rule sends copies of its requests.

import { create } from '@bufbuild/protobuf';
import type { HttpRoute } from '@lateen/istio-config';
import {
  type RouteAction_RequestMirrorPolicy,
  RouteAction_RequestMirrorPolicySchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { BLACK_HOLE_CLUSTER } from '../names.js';
import { share } from './share.js';

type Destination = NonNullable<HttpRoute['mirror']>;

/** With their percentages: `mirror` has its own beside it in the rule; all of the requests where none is said. */
function mirrorsOf(rule: HttpRoute): { readonly destination: Destination; readonly percent: number }[] {
  const percent = rule.mirrorPercentage?.value ?? rule.mirrorPercent ?? rule.mirror_percent ?? 100;
  return [
    ...(rule.mirror === undefined ? [] : [{ destination: rule.mirror, percent }]),
    ...(rule.mirrors ?? []).map(({ destination, percentage }) => ({
      destination,
      percent: percentage === undefined ? 100 : (percentage.value ?? 0),
    })),
  ];
}

/** A mirror for no request is left out, as in Istio, and one that leads nowhere. */
export function buildMirrors(
  rule: HttpRoute,
  clusterOf: (destination: Destination) => string,
): RouteAction_RequestMirrorPolicy[] {
  return mirrorsOf(rule)
    .filter(({ percent }) => percent > 0)
    .map(({ destination, percent }) => ({ cluster: clusterOf(destination), percent }))
    .filter(({ cluster }) => cluster !== BLACK_HOLE_CLUSTER)
    .map(({ cluster, percent }) =>
      create(RouteAction_RequestMirrorPolicySchema, {
        cluster,
        runtimeFraction: { defaultValue: share(percent) },
        traceSampled: false,
      }),
    );
}
