// Reading order: names (spiffe-id, subject-alt-names), identities (workload-identity, identity-directory, certificate-client),
// their use (peer-verification, grpc-credentials, mtls-http-server, mtls-http-client).
// Subpaths: "@lateen/identity/authority" signs certificates, "…/tokens" makes and checks tokens, "…/testing" is for tests.
export * from './certificate-client.js';
export * from './certificate-request.js';
export * from './grpc-credentials.js';
export * from './identity-directory.js';
export * from './mtls-http-client.js';
export * from './mtls-http-server.js';
export * from './peer-verification.js';
export * from './spiffe-id.js';
export * from './subject-alt-names.js';
export * from './workload-identity.js';
export * from './write-file-atomic.js';
