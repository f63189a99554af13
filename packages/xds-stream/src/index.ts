// Reading order of the client: client-types.ts, client.ts, client-sotw.ts and client-delta.ts, client-transport.ts.

export { AdsClient, type AdsClientOptions } from './client.js';
export { Backoff, type BackoffOptions } from './client-backoff.js';
export { type AdsTransport, createGrpcTransport, type GrpcTransportOptions } from './client-transport.js';
export { describeProblems } from './client-type-state.js';
export * from './client-types.js';

// Reading order of the server: server/model.ts, server/served-types.ts, server/ads-service.ts (server/sds-service.ts), server/session.ts.

export { createAdsService } from './server/ads-service.js';
export * from './server/model.js';
export { createSdsService } from './server/sds-service.js';
export { ENVOY_SERVED_TYPES, plainServedType } from './server/served-types.js';
