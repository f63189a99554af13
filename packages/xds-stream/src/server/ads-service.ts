// ADS server: the gRPC end of it.

import type { AdsService, AdsServiceOptions } from './model.js';

/**
 * Makes the AggregatedDiscoveryService for a @grpc/grpc-js server, both forms:
 * `server.addService(ads.definition, ads.implementation)`.
 */
export function createAdsService(_options: AdsServiceOptions): AdsService {
  throw new Error('not built yet');
}
