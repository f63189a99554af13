// Build: by what requests of a route are hashed, from the DestinationRules of where it leads.

import { create } from '@bufbuild/protobuf';
import type { TrafficPolicy } from '@lateen/istio-config';
import {
  type RouteAction_HashPolicy,
  RouteAction_HashPolicySchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { policyForPort } from '../../resolve/destination-rules.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { durationOfText } from '../durations.js';

/** The hash policies for requests to these clusters, one for each that hashes, in order; equal ones once. */
export function hashPolicies(scope: ClientScope, clusters: readonly string[]): RouteAction_HashPolicy[] {
  const policies = new Map<string, RouteAction_HashPolicy>();
  for (const name of clusters) {
    const cluster = outboundClusters(scope).byName.get(name);
    if (cluster === undefined) continue;
    const { loadBalancer } = policyForPort(scope.destinationRule(cluster.service), cluster.subset, cluster.port.port);
    const policy = hashPolicy(loadBalancer);
    if (policy !== undefined) policies.set(JSON.stringify(loadBalancer?.consistentHash), policy);
  }
  return [...policies.values()];
}

/** Undefined where nothing is hashed: then an endpoint is picked at random. */
function hashPolicy(loadBalancer: TrafficPolicy['loadBalancer']): RouteAction_HashPolicy | undefined {
  const hash = loadBalancer?.consistentHash;
  if (hash?.httpHeaderName) {
    return create(RouteAction_HashPolicySchema, {
      policySpecifier: { case: 'header', value: { headerName: hash.httpHeaderName } },
    });
  }
  if (hash?.httpCookie !== undefined) {
    const { name, path, ttl, attributes = [] } = hash.httpCookie;
    const value = { name, path: path ?? '', ttl: durationOfText(ttl), attributes: [...attributes] };
    return create(RouteAction_HashPolicySchema, { policySpecifier: { case: 'cookie', value } });
  }
  if (hash?.useSourceIp === true) {
    return create(RouteAction_HashPolicySchema, {
      policySpecifier: { case: 'connectionProperties', value: { sourceIp: true } },
    });
  }
  if (hash?.httpQueryParameterName) {
    return create(RouteAction_HashPolicySchema, {
      policySpecifier: { case: 'queryParameter', value: { name: hash.httpQueryParameterName } },
    });
  }
  return undefined;
}
