// Reading order: names (spiffe-id, subject-alt-names), identities (workload-identity, identity-directory, certificate-client),
// their use (peer-verification, grpc-credentials, mtls-http-server, mtls-http-client).
// Subpaths: "@lateen/identity/authority" signs certificates, "…/tokens" makes and checks tokens, "…/plain" is this without gRPC,
// "…/host-files" follows files that hold secrets, "…/testing" and "…/testing/citadel" are for tests.
export * from './issuance/certificate-client.js';
export * from './issuance/certificate-request.js';
export * from './issuance/identity-directory.js';
export * from './spiffe-id.js';
export * from './subject-alt-names.js';
export * from './tls/admin-roles.js';
export * from './tls/grpc-credentials.js';
export * from './tls/mtls-http-client.js';
export * from './tls/mtls-http-server.js';
export * from './tls/peer-verification.js';
export * from './workload-identity.js';
export * from './write-file-atomic.js';
