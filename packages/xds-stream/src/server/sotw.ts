// ADS server, state-of-the-world form: what a DiscoveryRequest means, and the DiscoveryResponse of a plan.
// Rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { DiscoveryRequest, DiscoveryResponse } from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryResponseSchema } from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import type { TypeState } from './type-state.js';

const WILDCARD = '*';

/** A request whose nonce is not that of the newest response says nothing about it: the client will answer that one. */
export function isStale(state: TypeState, request: DiscoveryRequest): boolean {
  return request.responseNonce !== state.sentNonce;
}

/** Replaces the subscription by the request's names. */
export function applySotwSubscription(state: TypeState, request: DiscoveryRequest): void {
  const listed = request.resourceNames;
  if (listed.length > 0) state.explicit = true;
  const wildcard = listed.includes(WILDCARD) || (listed.length === 0 && !state.explicit && state.type.fullSet);
  if (wildcard && !state.wildcard) state.answerOwed = true;
  if (wildcard !== state.wildcard) state.dirty = true;
  state.wildcard = wildcard;
  const names = new Set(listed.filter((name) => name !== WILDCARD));
  const before = state.names.size;
  for (const name of state.names) if (!names.has(name)) state.names.delete(name);
  if (state.names.size !== before) state.dirty = true;
  for (const name of names) {
    if (state.names.has(name)) continue;
    state.names.add(name);
    state.demanded.add(name);
    state.dirty = true;
    // Absence from a full set is how a client learns that a name does not exist.
    if (state.type.fullSet) state.answerOwed = true;
  }
  if (state.dirty) state.forgetUnwanted();
}

/** Encodes the named resources of a state. */
export function sotwResponse(
  state: TypeState,
  response: { names: readonly string[]; version: string; nonce: string; controlPlaneId: string },
): DiscoveryResponse {
  const resources: Any[] = [];
  for (const name of response.names) {
    const entry = state.target(name);
    if (entry !== undefined) resources.push(entry.any);
  }
  return create(DiscoveryResponseSchema, {
    versionInfo: response.version,
    nonce: response.nonce,
    typeUrl: state.type.typeUrl,
    resources,
    controlPlane: { identifier: response.controlPlaneId },
  });
}
