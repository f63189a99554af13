// ADS server, incremental form: what a DeltaDiscoveryRequest means, and the DeltaDiscoveryResponse of a plan.
// Rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds

import { create } from '@bufbuild/protobuf';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import {
  DeltaDiscoveryResponseSchema,
  ResourceSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import type { TypeState } from './type-state.js';

const WILDCARD = '*';

/**
 * Changes the subscription. Wildcard and named subscriptions are tracked apart; `initial_resource_versions` of a stream's
 * first request says what the client holds and subscribes to nothing by itself.
 */
export function applyDeltaSubscription(state: TypeState, request: DeltaDiscoveryRequest, first: boolean): void {
  const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request;
  if (subscribe.length + unsubscribe.length === 0 && !first) return;
  const startsWildcard = subscribe.includes(WILDCARD) || (first && subscribe.length === 0 && state.type.fullSet);
  if (startsWildcard && !state.wildcard) {
    state.wildcard = true;
    state.answerOwed = true;
  }
  const held = first ? request.initialResourceVersions : {};
  for (const name of subscribe) {
    if (name === WILDCARD) continue;
    state.names.add(name);
    // What is asked for is sent even if unchanged, unless the client just said which version it holds.
    if (held[name] === undefined) state.demanded.add(name);
  }
  for (const [name, version] of Object.entries(held)) if (state.wants(name)) state.sent.set(name, { version });
  for (const name of unsubscribe) {
    if (name === WILDCARD) state.wildcard = false;
    // Under a wildcard the name is still wanted; the client may have dropped it, so it is sent again.
    else if (state.names.delete(name) && state.wildcard) {
      state.demanded.add(name);
      if (state.target(name) === undefined) state.sent.delete(name);
    }
  }
  state.forgetUnwanted();
  state.dirty = true;
}

/** Encodes the named resources and removals of a state. */
export function deltaResponse(
  state: TypeState,
  response: {
    names: readonly string[];
    removed: readonly string[];
    version: string;
    nonce: string;
    controlPlaneId: string;
  },
): DeltaDiscoveryResponse {
  const resources = [];
  for (const name of response.names) {
    const entry = state.target(name);
    if (entry !== undefined) {
      resources.push(create(ResourceSchema, { name, version: entry.version, resource: entry.any }));
    }
  }
  return create(DeltaDiscoveryResponseSchema, {
    systemVersionInfo: response.version,
    nonce: response.nonce,
    typeUrl: state.type.typeUrl,
    resources,
    removedResources: [...response.removed],
    controlPlane: { identifier: response.controlPlaneId },
  });
}
