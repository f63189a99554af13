// Reading order of the client: client-types.ts, client.ts, client-sotw.ts and client-delta.ts, client-transport.ts.

export { AdsClient, type AdsClientOptions } from './client.js';
export { Backoff, type BackoffOptions } from './client-backoff.js';
export { type AdsTransport, createGrpcTransport, type GrpcTransportOptions } from './client-transport.js';
export { describeProblems } from './client-type-state.js';
export * from './client-types.js';
