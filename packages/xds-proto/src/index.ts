// Reading order: type-urls.ts (names on the wire), type-registry.ts (Any and Envoy YAML/JSON).

export * from './grpc-service.js';
export * from './type-registry.js';
export * from './type-urls.js';
