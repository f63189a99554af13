// Build: the resources of a proxyless gRPC client, which asks for them by name: for each host that it may call a listener
// with nothing but an API listener, its routes, its clusters and their endpoints. They are made of what a sidecar gets, less
// what gRPC does not do. Read grpc-listeners.ts, grpc-routes.ts, grpc-clusters.ts.

import type { ProxyView } from '../../proxy-view.js';
import type { ResourcePart } from '../recipe.js';
import type { ViewParts } from '../resources.js';
import { grpcClusterPart, grpcEndpointPart } from './grpc-clusters.js';
import { grpcListenerPart } from './grpc-listeners.js';
import { grpcRoutePart } from './grpc-routes.js';

const NOTHING: ResourcePart<never> = { key: 'none', list: () => ({ recipes: [], problems: [] }) };

/** The parts of a proxyless client's view, the same for all clients of a scope. */
export function grpcParts({ scope, place }: ProxyView): ViewParts {
  return {
    outboundClusters: grpcClusterPart(scope, place),
    endpoints: grpcEndpointPart(scope, place),
    localClusters: NOTHING,
    listeners: grpcListenerPart(scope),
    routes: grpcRoutePart(scope),
    secrets: NOTHING,
    names: NOTHING,
  };
}
