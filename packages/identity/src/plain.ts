// Subpath "@lateen/identity/plain": what needs neither gRPC nor a certificate service, for programs that start for one command.
export * from './issuance/identity-directory.js';
export * from './spiffe-id.js';
export * from './subject-alt-names.js';
export * from './tls/admin-roles.js';
export * from './tls/mtls-http-client.js';
export * from './tls/peer-verification.js';
export * from './workload-identity.js';
export * from './write-file-atomic.js';
